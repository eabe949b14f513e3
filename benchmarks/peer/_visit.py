"""What the routes do with a session, whichever library it is of."""

from __future__ import annotations

from typing import Any

from ..content import NEW, Content


def fill(session: Any, size: str) -> str:
    session.update(Content(size).values())
    return "ok"


def read(session: Any) -> str:
    return str(session["name"])


def write(session: Any) -> str:
    session["count"] += 1
    return "ok"


def new(session: Any) -> str:
    for key, value in NEW.items():
        session[key] = value
    return "ok"
