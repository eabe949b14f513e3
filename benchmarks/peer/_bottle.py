"""The routes on Bottle, for libraries whose sessions can be got without an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bottle import Bottle

from . import _visit


def add_routes(app: Bottle, session: Callable[[], Any]) -> Bottle:
    """Add the routes; ``session`` returns the session of the current request."""
    app.route("/plain", callback=lambda: "ok")
    app.route("/fill/<size>", callback=lambda size: _visit.fill(session(), size))
    app.route("/read", callback=lambda: _visit.read(session()))
    app.route("/write", callback=lambda: _visit.write(session()))
    app.route("/new", callback=lambda: _visit.new(session()))
    return app
