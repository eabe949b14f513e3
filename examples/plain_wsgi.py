"""Sessions in a plain WSGI app, with session_core alone: no framework, nothing else installed.

    python examples/plain_wsgi.py

PORT chooses another port than 8080.
"""

import os
from contextlib import suppress
from wsgiref.simple_server import make_server

from session_core import IdCookie, MemoryStore, SessionManager
from session_core.wsgi import SessionMiddleware, get_session

PORT = int(os.environ.get("PORT", "8080"))


def visits(environ, start_response):
    """Count the visits of each visitor."""
    path, status = environ["PATH_INFO"], "200 OK"
    if path == "/":
        session = get_session(environ)
        session["visits"] = session.get("visits", 0) + 1
        text = f"Visit number {session['visits']}.\n"
    elif path == "/forget":
        get_session(environ).session_delete()
        text = "Forgotten.\n"
    else:
        status, text = "404 Not Found", "Not here.\n"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]


# A session ends an hour after its last write, and a day after it began at the latest.
manager = SessionManager(MemoryStore(), idle_timeout=3600, absolute_timeout=24 * 3600)

# secure=False because this demo is plain http on your own machine. Leave it out in anything real.
app = SessionMiddleware(visits, manager, IdCookie("visits", secure=False))

if __name__ == "__main__":
    here = f"http://localhost:{PORT}"
    print(f"Open {here}/ in a browser, or try:")
    for path in ("/", "/", "/forget", "/"):
        print(f"    curl -b cookies.txt -c cookies.txt {here}{path}")
    print("Ctrl-C ends the program.", flush=True)
    with make_server("localhost", PORT, app) as server, suppress(KeyboardInterrupt):
        server.serve_forever()
