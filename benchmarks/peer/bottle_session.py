"""bottle-session on Bottle, with Redis, the only store that it has.

A session is a hash in Redis, and every access to a key goes there: a read is four commands one
after another (is there a session, extend it, extend it again, get the key), a write six. So the
size of a session does not matter, and parallel writes of different keys do not undo each other.
Values are texts: what is not, the app converts, as it does here with JSON; a key that was never set
is None. There is no update(). Every request whose route takes the session sends the cookie, which
has no SameSite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bottle import Bottle
from bottle_session import SessionPlugin

from ..content import NEW, Content
from ..hand import bare
from ..timing import App

REQUIREMENTS = ["bottle-session==1.0", "bottle==0.13.4", "redis==8.1.0"]
BACKENDS = ("Redis",)
IMPORT = "import bottle_session"


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    host, _, port = address.partition(":")
    app = Bottle()
    app.install(
        SessionPlugin(
            host, int(port), cookie_lifetime=300, cookie_secure=True, cookie_httponly=True
        )
    )

    # The plugin looks for an argument with the name "session".

    @app.route("/plain")
    def plain() -> str:
        return "ok"

    @app.route("/fill/<size>")
    def fill(session: Any, size: str) -> str:
        for key, value in Content(size).values().items():
            session[key] = value if isinstance(value, str) else json.dumps(value)
        return "ok"

    @app.route("/read")
    def read(session: Any) -> str:
        return str(session["name"])

    @app.route("/write")
    def write(session: Any) -> str:
        session["count"] = int(session["count"]) + 1
        return "ok"

    @app.route("/new")
    def new(session: Any) -> str:
        for key, value in NEW.items():
            session[key] = value
        return "ok"

    return {"bare": bare(), "sessions": app.wsgi}
