"""Who tries out session ids? Count them for each client, and slow the diligent ones down.

    python examples/unknown_ids.py

PORT chooses another port than 8080.

Nobody guesses an id of 256 random bits. Somebody who tries may still be worth a line in the log,
and there are harmless reasons for a few: a session has expired, or the store was emptied.
"""

import os
import threading
import time

from bottle import Bottle, HTTPResponse, request

from BottleSessions import BottleSessions

PORT = int(os.environ.get("PORT", "8080"))

LIMIT = 5
"""So many within `WINDOW` are tolerated."""

WINDOW = 60
"""Seconds."""

CLIENTS = 10_000
"""So many clients are remembered at most, or counting would be an attack of its own."""


class Guesses:
    """Counts by client. One for each process: use what your processes share to have one in all."""

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.lock = threading.Lock()
        self.counts = {}

    def note(self, client):
        with self.lock:
            count, since = self.current(client)
            self.counts.pop(client, None)  # to the end of the dict
            self.counts[client] = count + 1, since
            while len(self.counts) > CLIENTS:
                del self.counts[next(iter(self.counts))]
            return count + 1

    def current(self, client):
        count, since = self.counts.get(client, (0, self.clock()))
        return (count, since) if self.clock() - since < WINDOW else (0, self.clock())


guesses = Guesses()


def on_event(event):
    """Called inside of the request, so that `bottle.request` is the one it is about."""
    if event.name in ("unknown", "signature refused"):
        # Behind a proxy this is the proxy's address: have your server set it from a header that
        # the proxy sets itself, and never believe one that the client sends.
        guesses.note(request.remote_addr)


app = Bottle()

# session_secure=False because this demo is plain http on your own machine. Leave it out in
# anything that is real.
BottleSessions(app, session_on_event=on_event, session_secure=False)


@app.hook("before_request")
def slow_down():
    if guesses.current(request.remote_addr)[0] >= LIMIT:
        raise HTTPResponse("Too many unknown session ids.\n", 429, {"Retry-After": str(WINDOW)})


@app.route("/")
def visits():
    request.session["visits"] = request.session.get("visits", 0) + 1
    return f"Visit number {request.session['visits']}.\n"


if __name__ == "__main__":
    here = f"http://localhost:{PORT}"
    print(f"Open {here}/ in a browser, or try:")
    print(f"    curl -b cookies.txt -c cookies.txt {here}/")
    for number in range(LIMIT + 1):
        print(f"    curl -b bottlecookie={number:043} {here}/")
    print("Ctrl-C ends the program.", flush=True)
    app.run(host="localhost", port=PORT, quiet=True)
