"""Beaker on Bottle, as WSGI middleware, with the options of Bottle's recipe for it.

It loads at the first use of the session and then saves in every request, also in one that only
reads: the time of the last access is in the session. So nested changes are saved, and the later of
two parallel requests undoes what the other one wrote, even if it only reads. Data is pickled, in
files and Redis twice. The cookie is sent once, so that the browser forgets it 300 seconds after the
first visit, and any id that a client brings is accepted. Memory never forgets a session, and
memcached is given no expiry. pymemcache is none of the clients of memcached that it knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beaker.middleware import SessionMiddleware
from bottle import Bottle, request

from ..hand import bare
from ..timing import App
from ._bottle import add_routes

REQUIREMENTS = [
    "Beaker==1.14.1",
    "bottle==0.13.4",
    "python-memcached==1.62",
    "redis==8.1.0",
]
BACKENDS = ("SimpleCache", "FileSystem", "Redis", "Memcached")
IMPORT = "import beaker.middleware"


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    options: dict[str, dict[str, Any]] = {
        "SimpleCache": {"session.type": "memory"},
        "FileSystem": {"session.type": "file", "session.data_dir": str(folder)},
        "Redis": {"session.type": "ext:redis", "session.url": f"redis://{address}"},
        "Memcached": {"session.type": "ext:memcached", "session.url": address},
    }
    config = {
        "session.auto": True,
        "session.timeout": 300,
        "session.cookie_expires": 300,
        "session.httponly": True,
        "session.secure": True,
        "session.samesite": "Lax",
        **options[backend],
    }
    app = add_routes(Bottle(), lambda: request.environ["beaker.session"])
    return {"bare": bare(), "sessions": SessionMiddleware(app, config)}
