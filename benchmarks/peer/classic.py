"""BottleSessions 21.9.21, the last release before this rewrite, on Bottle.

It loads at the first use of the session, and saves and sends the cookie only if something was
changed through the session itself: nested changes are not noticed. Data is JSON, which cachelib
pickles (its memcached client does not). The later of two parallel writes undoes the earlier one.
The life time is left to the cache. The cookie has no SameSite, and any id that a client brings is
accepted. With memcached it needs a client that cachelib knows: pymemcache is not one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bottle import Bottle, request

from BottleSessions import BottleSessions

from ..hand import bare
from ..timing import App
from ._bottle import add_routes

REQUIREMENTS = [
    "BottleSessions==21.9.21",
    "bottle==0.13.4",
    "cachelib==0.17.0",
    "python-memcached==1.62",
    "redis==8.1.0",
]
BACKENDS = ("SimpleCache", "FileSystem", "Redis", "Memcached")
IMPORT = "import BottleSessions"


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    host, _, port = address.partition(":")
    options: dict[str, dict[str, Any]] = {
        "SimpleCache": {"threshold": 10**9},
        "FileSystem": {"cache_dir": str(folder), "threshold": 0},
        "Redis": {"host": host, "port": int(port or 0)},
        "Memcached": {"servers": [address]},
    }
    app = Bottle()
    BottleSessions(app, session_backing={"cache_type": backend, **options[backend]})
    return {"bare": bare(), "sessions": add_routes(app, lambda: request.session).wsgi}
