"""The app under stress: each path does one thing to the session of whoever asks.

`new_app` makes it from the options of `BottleSessions` in the environment variable STRESS_OPTIONS
(JSON), and has used its store before a server forks its processes from this one. The first part
of a path is the kind of cookie: ``/brief/…`` without a Max-Age, ``/lasting/…`` with one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from wsgiref.util import shift_path_info

from bottle import Bottle, HTTPError, request, response

from BottleSessions import BottleSessions
from session_core import Event, find_store
from session_core.store import Store

KINDS = ("brief", "lasting")
MAX_BYTES = 16 * 1024 * 1024


def keep(key: str) -> dict[str, Any]:
    """Write a key and say whether it was kept: with the commit, before the answer."""
    request.session[key] = True
    request.session.session_save()
    return outcome()


def put(key: str) -> dict[str, Any]:
    """Write a key; the commit comes after the handler, and 200 says that it was kept."""
    request.session[key] = True
    return {}


def count() -> dict[str, Any]:
    number = request.session.session_atomic(increment)
    return {**outcome(), "number": number}


def increment(data: dict[str, Any]) -> int:
    number: int = data.get("number", 0) + 1
    data["number"] = number
    return number


def payload(number: str) -> dict[str, Any]:
    request.session["payload"] = new_payload(int(number))
    request.session.session_save()
    return outcome()


def login() -> dict[str, Any]:
    request.session.session_login("user")
    return {}


def renew() -> dict[str, Any]:
    request.session.session_regenerate()
    return {}


def logout() -> dict[str, Any]:
    request.session.session_delete()
    return {}


def read() -> dict[str, Any]:
    session = request.session
    return {"data": dict(session), "gone": session.session_gone, "owner": session.session_owner}


def unavailable(error: HTTPError) -> str:
    """The app's own page for 503."""
    response.content_type = "application/json"
    return json.dumps({"cause": type(error.exception).__name__})


def ready() -> str:
    """Say that the app is there, without a look at the store."""
    return "ready"


def outcome() -> dict[str, Any]:
    """What a client has to know: kept or not, how often merged, and whose keys are there."""
    session = request.session
    return {
        "kept": not session.session_gone,
        "merged": request.environ.get("stress.merged", 0),
        "owners": sorted({key.partition("-")[0] for key in session if "-" in key}),
        "process": os.getpid(),
    }


def new_payload(number: int) -> dict[str, Any]:
    """Return a value of 4 MB, different everywhere for each number, with a checksum."""
    text = hashlib.sha256(str(number).encode()).hexdigest() * 65536
    return {"number": number, "text": text, "sum": hashlib.sha256(text.encode()).hexdigest()}


def note_event(event: Event) -> None:
    if event.name == "conflict":
        request.environ["stress.merged"] = request.environ.get("stress.merged", 0) + 1


def new_bottle(kind: str, options: dict[str, Any]) -> Bottle:
    app = Bottle()
    plugin = BottleSessions(
        app,
        session_cookie=kind,
        session_secure=False,
        session_persistent=kind == "lasting",
        session_max_bytes=MAX_BYTES,
        session_on_event=note_event,
        **options,
    )
    app.post("/keep/<key>", callback=keep)
    app.post("/put/<key>", callback=put)
    app.post("/count", callback=count)
    app.post("/payload/<number>", callback=payload)
    app.post("/login", callback=login)
    app.post("/renew", callback=renew)
    app.post("/logout", callback=logout)
    app.post("/read", callback=read)
    app.get("/ready", callback=ready)
    app.error(503)(unavailable)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(use, find_store(plugin.backing)), range(200)))
    return app


def use(store: Store, number: int) -> None:
    """Have the connections and lock files there that a pre-forking server must not share."""
    key = f"before-the-fork-{number}"
    store.create(key, b"a record", 60)
    store.delete(key)


def new_app() -> Callable[..., Iterable[bytes]]:
    options = json.loads(os.environ["STRESS_OPTIONS"])
    apps = {kind: new_bottle(kind, options) for kind in KINDS}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = apps[shift_path_info(environ) or ""](environ, start_response)
        return answer

    return app
