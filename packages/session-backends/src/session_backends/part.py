"""The two parts of a `Backing` for each type: the app's cache and the store of the sessions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from cachelib.base import BaseCache
from cachelib.file import FileSystemCache
from cachelib.redis import RedisCache
from cachelib.simple import SimpleCache

from session_core.errors import ConfigurationError
from session_core.store import Store

from .cache import CacheStore
from .option import options_of, refuse_unknown

__all__ = ["MAKERS", "Parts"]

Parts = tuple[BaseCache, Store]


def _simple(options: dict[str, Any], wait: float) -> Parts:
    refuse_unknown("SimpleCache", options, options_of(SimpleCache))
    sessions = CacheStore(SimpleCache(), wait=wait, threshold=options.get("threshold", 0))
    if options.get("threshold") == 0:
        options["threshold"] = sys.maxsize  # cachelib would turn 0 into 500
    return SimpleCache(**options), sessions


def _file_system(options: dict[str, Any], wait: float) -> Parts:
    refuse_unknown("FileSystem", options, options_of(FileSystemCache))
    given = options.get("cache_dir")
    if not given or not isinstance(given, str | os.PathLike):
        raise ConfigurationError(
            "cache_type='FileSystem' needs cache_dir, the folder for the files, such as "
            "cache_dir='./sessions'"
        )
    # Absolute, so that a program that changes its working directory goes on using the same one.
    folder = os.path.abspath(os.fspath(given))
    mode = options.get("mode")
    try:
        for part in ("sessions", "cache"):
            access = 0o777 if mode is not None and mode & 0o077 else 0o700
            os.makedirs(os.path.join(folder, part), access, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cache_dir={given!r} cannot be made ({error.strerror}): give a folder that this "
            "process may write to"
        ) from error
    cache = FileSystemCache(**{**options, "cache_dir": os.path.join(folder, "cache")})
    place = FileSystemCache(os.path.join(folder, "sessions"), threshold=0, mode=mode)
    sessions = CacheStore(
        place,
        wait=wait,
        threshold=options.get("threshold", 0),
        lock_dir=os.path.join(folder, "locks"),
    )
    return cache, sessions


def _redis(options: dict[str, Any], wait: float) -> Parts:
    from .redis import RedisStore
    from .redis_cache import RedisAppCache
    from .redis_client import import_redis, new_client

    import_redis()
    prefix = options.pop("key_prefix", "")
    own = {name: options.pop(name) for name in _own_options() if name in options}
    host = options.get("host", "localhost")
    if host is None or host == "":
        raise ConfigurationError("host is empty: give the name of the Redis server, or a client")
    if not isinstance(host, str):
        others = sorted(set(options) - {"host"})
        if others:
            raise ConfigurationError(
                f"{', '.join(others)}: the client in host has its own settings; make it with these"
            )
        client = host
    elif "://" in host:
        client = new_client({**options, "url": options.pop("host")}, wait)
    else:
        client = new_client(options, wait)
    sessions = RedisStore(client, prefix=f"{prefix}session:", wait=wait)
    try:
        cache = RedisAppCache(host=client, key_prefix=f"{prefix}cache:", **own)
    except RuntimeError as error:
        raise ConfigurationError("check_connection: the Redis server does not answer") from error
    return cache, sessions


def _own_options() -> list[str]:
    """Return which of RedisCache's options do not describe the connection."""
    client = {"host", "port", "password", "db", "key_prefix"}
    return [name for name in options_of(RedisCache) if name not in client]


def _memcached(options: dict[str, Any], wait: float) -> Parts:
    from .memcached import MemcachedStore
    from .memcached_cache import MemcachedAppCache
    from .memcached_client import find_servers

    base = options_of(BaseCache)
    refuse_unknown("Memcached", options, ["servers", "key_prefix", *base])
    servers = options.pop("servers", None)
    if not servers:
        raise ConfigurationError(
            "cache_type='Memcached' needs servers, such as servers=['127.0.0.1:11211']"
        )
    prefix = options.pop("key_prefix", "")
    found = find_servers(servers, wait)
    sessions = MemcachedStore(found, prefix=f"{prefix}session:")
    cache = MemcachedAppCache(
        found.nodes, f"{found.key_prefix}{prefix}cache:", found.serde, **options
    )
    return cache, sessions


MAKERS: Final[dict[str, Callable[[dict[str, Any], float], Parts]]] = {
    "SimpleCache": _simple,
    "FileSystem": _file_system,
    "Redis": _redis,
    "Memcached": _memcached,
}
