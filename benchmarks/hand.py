"""What a Bottle user would write by hand, and the same routes with BottleSessions.

Every app has the same routes. ``bare`` has no sessions at all: what it takes is subtracted from
what the others take. ``attribute`` has a plugin that sets one request attribute and does nothing
else.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bottle import Bottle, request, response

from .content import NEW, Content

App = Callable[..., Any]


class Attribute:
    """The smallest plugin that gives a request something."""

    api = 2
    name = "attribute"

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            request.session = None
            return callback(*args, **kwargs)

        return wrapper


class Hand:
    """The floor: the minimal code that works as long as nothing happens.

    No check of the cookie's shape, no detection of nested changes, no types beyond JSON's, no
    merging of parallel requests, no expiry of its own, no word about a store that is down.
    """

    life = 300
    cookie = "sid"

    def __init__(self, backend: str, address: str, folder: Path) -> None:
        self.get: Callable[[str], Any]
        self.set: Callable[[str, str], Any]
        if backend == "SimpleCache":
            from cachelib import SimpleCache

            cache = SimpleCache(threshold=10**9, default_timeout=self.life)
            self.get, self.set = cache.get, cache.set
        elif backend == "FileSystem":
            from cachelib import FileSystemCache

            files = FileSystemCache(str(folder), threshold=0, default_timeout=self.life)
            self.get, self.set = files.get, files.set
        elif backend == "Redis":
            from redis import Redis

            host, _, port = address.partition(":")
            client = Redis(host, int(port))
            self.get = client.get
            self.set = lambda key, text: client.set(key, text, ex=self.life)
        else:
            from pymemcache import PooledClient

            # Its default does not wait for the answer to a write.
            pool = PooledClient(address, default_noreply=False)
            self.get = pool.get
            self.set = lambda key, text: pool.set(key, text, expire=self.life)

    def load(self) -> tuple[str, dict[str, Any]]:
        sid = request.get_cookie(self.cookie)
        text = self.get(sid) if sid else None
        if text is None:
            return secrets.token_urlsafe(32), {}
        return sid, json.loads(text)

    def save(self, sid: str, data: dict[str, Any]) -> None:
        self.set(sid, json.dumps(data))
        response.set_cookie(
            self.cookie,
            sid,
            max_age=self.life,
            path="/",
            httponly=True,
            secure=True,
            samesite="lax",
        )


def add_plain(app: Bottle) -> Bottle:
    """Add the route that has nothing to do with sessions."""

    @app.route("/plain")
    def plain() -> str:
        return "ok"

    for name in ("read", "write", "new"):
        app.route(f"/{name}", callback=plain)
    app.route("/fill/<size>", callback=lambda size: "ok")
    return app


def bare() -> App:
    return add_plain(Bottle()).wsgi


def attribute() -> App:
    app = add_plain(Bottle())
    app.install(Attribute())
    return app.wsgi


def by_hand(backend: str, address: str, folder: Path) -> App:
    hand = Hand(backend, address, folder)
    app = Bottle()

    @app.route("/plain")
    def plain() -> str:
        return "ok"

    @app.route("/fill/<size>")
    def fill(size: str) -> str:
        hand.save(secrets.token_urlsafe(32), Content(size).values())
        return "ok"

    @app.route("/read")
    def read() -> str:
        _, data = hand.load()
        return str(data["name"])

    @app.route("/write")
    def write() -> str:
        sid, data = hand.load()
        data["count"] += 1
        hand.save(sid, data)
        return "ok"

    @app.route("/new")
    def new() -> str:
        sid, data = hand.load()
        for key, value in NEW.items():
            data[key] = value
        hand.save(sid, data)
        return "ok"

    return app.wsgi


def our_backing(backend: str, address: str, folder: Path) -> dict[str, Any]:
    """Return the options of the backing that BottleSessions gets."""
    if backend == "FileSystem":
        return {"cache_type": backend, "cache_dir": str(folder)}
    if backend == "Redis":
        host, _, port = address.partition(":")
        return {"cache_type": backend, "host": host, "port": int(port)}
    if backend == "Memcached":
        return {"cache_type": backend, "servers": [address]}
    return {"cache_type": backend}


def ours(backend: str, address: str, folder: Path, **options: Any) -> App:
    from BottleSessions import BottleSessions

    app = Bottle()
    BottleSessions(app, session_backing=our_backing(backend, address, folder), **options)

    @app.route("/plain")
    def plain() -> str:
        return "ok"

    @app.route("/fill/<size>")
    def fill(size: str) -> str:
        request.session.update(Content(size).values())
        return "ok"

    @app.route("/read")
    def read() -> str:
        return str(request.session["name"])

    @app.route("/write")
    def write() -> str:
        request.session["count"] += 1
        return "ok"

    @app.route("/new")
    def new() -> str:
        session = request.session
        for key, value in NEW.items():
            session[key] = value
        return "ok"

    return app.wsgi
