"""starsessions on Starlette, behind an adapter from WSGI to ASGI that both apps have.

The route loads the session, and what was loaded is saved, and the cookie sent, in every such
request, also in one that only reads: the time of the last access is in the session. So nested
changes are saved, and the later of two parallel requests undoes what the other one wrote, even if
it only reads. Data is JSON. Any id that a client brings is accepted. Memory never forgets a
session, nor looks at its age. There is no store in files, and none in memcached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starsessions import InMemoryStore, SessionMiddleware, load_session
from starsessions.stores.redis import RedisStore

from ..timing import App
from . import _visit
from ._asgi import over_wsgi

REQUIREMENTS = ["starsessions==2.2.1", "starlette==1.10.0", "redis==8.1.0"]
BACKENDS = ("SimpleCache", "Redis")
IMPORT = "import starsessions"


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    if backend == "SimpleCache":
        store = InMemoryStore()
    else:
        store = RedisStore(connection=Redis.from_url(f"redis://{address}"))
    # Rolling: a session ends 300 seconds after its last use, not after the first.
    middleware = Middleware(SessionMiddleware, store=store, lifetime=300, rolling=True)
    routes = [
        Route("/plain", plain),
        Route("/fill/{size}", loaded(_visit.fill)),
        Route("/read", loaded(_visit.read)),
        Route("/write", loaded(_visit.write)),
        Route("/new", loaded(_visit.new)),
    ]
    loop = asyncio.new_event_loop()
    bare = Starlette(routes=[Route(route.path, plain) for route in routes])
    sessions = Starlette(routes=routes, middleware=[middleware])
    return {"bare": over_wsgi(bare, loop), "sessions": over_wsgi(sessions, loop)}


async def plain(request: Request) -> Response:
    return PlainTextResponse("ok")


def loaded(visit: Callable[..., str]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        await load_session(request)
        return PlainTextResponse(visit(request.session, **request.path_params))

    return endpoint
