"""A counter for every visitor, and four places to keep it.

    python examples/sample_session_app.py
    CACHE_TYPE=FileSystem PORT=8081 python examples/sample_session_app.py

CACHE_TYPE is SimpleCache (the default), FileSystem, Redis or Memcached; the last two need their
server on this machine. PORT is 8080. CACHE_DIR, REDIS_PORT and MEMCACHED_PORT say where the
sessions go, if the places below do not suit you.
"""

import os
import sys

from bottle import Bottle, redirect, request

from BottleSessions import BottleSessions

PORT = int(os.environ.get("PORT", "8080"))
CACHE_TYPE = os.environ.get("CACHE_TYPE", "SimpleCache")

# Everything that differs between the backends. The rest of the program does not know which it is.
BACKINGS = {
    "SimpleCache": {},
    "FileSystem": {"cache_dir": os.environ.get("CACHE_DIR", ".cache/sample_sessions")},
    "Redis": {"host": "localhost", "port": os.environ.get("REDIS_PORT", "6379")},
    "Memcached": {"servers": ["localhost:" + os.environ.get("MEMCACHED_PORT", "11211")]},
}
if CACHE_TYPE not in BACKINGS:
    sys.exit(f"CACHE_TYPE is {CACHE_TYPE!r}; choose one of {', '.join(BACKINGS)}")

app = Bottle()

# session_secure=False is for this demo, which is plain http on your own machine: a Secure cookie
# goes over https only. Leave the option out, and the cookie is Secure, in anything that is real.
btl = BottleSessions(
    app,
    session_backing={"cache_type": CACHE_TYPE, **BACKINGS[CACHE_TYPE]},
    session_cookie="samplecookie",
    session_secure=False,
)


@app.route("/")
def show():
    """A visitor of whom nothing is stored gets no cookie."""
    who = request.session.get("name", "stranger")
    return f"Hello {who}, your counter is at {request.session.get('count', 0)}.\n"


@app.route("/up")
def up():
    return change(+1)


@app.route("/down")
def down():
    return change(-1)


def change(step):
    """Count such that two requests at the same time count as two."""

    def count(data):
        data["count"] = data.get("count", 0) + step
        return data["count"]

    return f"The counter is now at {request.session.session_atomic(count)}.\n"


@app.route("/login/<name>")
def login(name):
    """The counter stays, the session id changes: nobody who knew the old one is logged in."""
    request.session.session_login(name)
    request.session["name"] = name
    redirect("/")


@app.route("/logout")
def logout():
    request.session.session_delete()
    return "Goodbye.\n"


if __name__ == "__main__":
    here = f"http://localhost:{PORT}"
    print(f"Sessions are kept in {CACHE_TYPE}. Open {here}/up in a browser, or try:")
    for path in ("/up", "/up", "/login/alice", "/", "/logout", "/"):
        print(f"    curl -b cookies.txt -c cookies.txt -L {here}{path}")
    print("Count up and start this program anew: all but SimpleCache remember.", flush=True)
    app.run(host="localhost", port=PORT)
