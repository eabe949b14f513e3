"""Django's sessions in its cache, with no middleware but theirs.

It loads at the first use of the session and saves what was changed through the session itself; a
save first gets the stored session again, to see whether it was deleted meanwhile, without locking
it. Data is pickled (and compressed in files). Nested changes are not noticed, and the later of two
parallel writes undoes the earlier one. The cache in files lists its folder at every write, so that
a write takes longer the more sessions there are. The connection to memcached is closed at the end
of each request.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.urls import path

from ..timing import App
from . import _visit

REQUIREMENTS = ["Django==5.2.19", "pymemcache==4.0.0", "redis==8.1.0"]
BACKENDS = ("SimpleCache", "FileSystem", "Redis", "Memcached")
IMPORT = "import django.contrib.sessions.middleware"

View = Callable[..., str]


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    many = {"OPTIONS": {"MAX_ENTRIES": 10**9}}
    caches: dict[str, dict[str, Any]] = {
        "SimpleCache": {"BACKEND": "locmem.LocMemCache", **many},
        "FileSystem": {"BACKEND": "filebased.FileBasedCache", "LOCATION": str(folder), **many},
        "Redis": {"BACKEND": "redis.RedisCache", "LOCATION": f"redis://{address}"},
        "Memcached": {"BACKEND": "memcached.PyMemcacheCache", "LOCATION": address},
    }
    cache = caches[backend]
    cache["BACKEND"] = f"django.core.cache.backends.{cache['BACKEND']}"
    settings.configure(
        ALLOWED_HOSTS=["example.com"],
        CACHES={"default": cache},
        DEBUG=False,
        ROOT_URLCONF=(),
        SESSION_COOKIE_AGE=300,
        SESSION_COOKIE_SECURE=True,
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
    )
    django.setup()
    names = ("plain", "fill/<size>", "read", "write", "new")
    bare: dict[str, View] = {name: lambda request, size="": "ok" for name in names}
    sessions: dict[str, View] = {
        "plain": lambda request: "ok",
        "fill/<size>": lambda request, size: _visit.fill(request.session, size),
        "read": lambda request: _visit.read(request.session),
        "write": lambda request: _visit.write(request.session),
        "new": lambda request: _visit.new(request.session),
    }
    middleware = "django.contrib.sessions.middleware.SessionMiddleware"
    return {"bare": make(bare, []), "sessions": make(sessions, [middleware])}


def make(views: dict[str, View], middleware: list[str]) -> App:
    """Return an app of its own. Settings belong to the process, but it reads these ones once."""
    settings.MIDDLEWARE = middleware
    handler = WSGIHandler()
    urls = tuple(path(route, answering(view)) for route, view in views.items())
    handler.request_class = type("Request", (WSGIRequest,), {"urlconf": urls})
    return handler


def answering(view: View) -> Callable[..., HttpResponse]:
    return lambda request, **found: HttpResponse(view(request, **found))
