"""Flask-Session on Flask.

By its default, SESSION_REFRESH_EACH_REQUEST, it loads, saves and sends the cookie in every request
of a visitor who has a session, also where the route does not touch it. So nested changes are saved,
and the later of two parallel requests undoes what the other one wrote, even if it only reads. Data
is msgpack in Redis and memcached, and pickled by cachelib in memory and files.

The client of memcached is one that threads can share and that waits for the answer to a write, as
those of the other libraries do. The one that Flask-Session makes of pymemcache when it is given
none does neither, and its requests take 30 ms here: a read that follows a write without an answer
on the same connection is held back by the kernel (Nagle's algorithm).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cachelib import FileSystemCache, SimpleCache
from flask import Flask, session
from flask_session import Session
from pymemcache import PooledClient
from redis import Redis

from ..timing import App
from . import _visit

REQUIREMENTS = [
    "Flask-Session==0.8.0",
    "Flask==3.1.3",
    "cachelib==0.17.0",
    "pymemcache==4.0.0",
    "redis==8.1.0",
]
BACKENDS = ("SimpleCache", "FileSystem", "Redis", "Memcached")
IMPORT = "import flask_session.cachelib"  # flask_session alone loads nothing, not even Flask


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    bare = Flask("bare")
    for path in ("plain", "read", "write", "new", "fill/<size>"):
        bare.add_url_rule(f"/{path}", path, lambda size="": "ok")

    app = Flask("sessions")
    app.config.update(
        store(backend, address, folder),
        PERMANENT_SESSION_LIFETIME=300,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=True,
    )
    Session(app)
    app.add_url_rule("/plain", "plain", lambda: "ok")
    app.add_url_rule("/fill/<size>", "fill", lambda size: _visit.fill(session, size))
    app.add_url_rule("/read", "read", lambda: _visit.read(session))
    app.add_url_rule("/write", "write", lambda: _visit.write(session))
    app.add_url_rule("/new", "new", lambda: _visit.new(session))
    return {"bare": bare, "sessions": app}


def store(backend: str, address: str, folder: Path) -> dict[str, Any]:
    """Return the settings for a backend."""
    if backend == "SimpleCache":
        return {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": SimpleCache(threshold=10**9)}
    if backend == "FileSystem":
        # The type "filesystem" is deprecated in favour of this.
        files = FileSystemCache(str(folder), threshold=0)
        return {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": files}
    if backend == "Redis":
        client = Redis.from_url(f"redis://{address}")
        return {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
    pool = PooledClient(address, default_noreply=False)
    return {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": pool}
