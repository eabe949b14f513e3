"""Sessions in a cachelib cache."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from cachelib.base import BaseCache, NullCache
from cachelib.file import FileSystemCache
from cachelib.memcached import MemcachedCache
from cachelib.simple import SimpleCache

from session_core.errors import ConfigurationError

__all__ = ["CacheStore"]


class CacheStore:
    """A store in a cachelib cache, with what such a cache lacks.

    That is: `create` and `replace` in one atomic step, records as the bytes they are (never through
    pickle), faults that raise instead of looking like a missing record, and expired records that
    are freed without anybody's doing. How far this goes depends on the cache, and so does the
    class of the object that you get:

    - SimpleCache: everything, for the threads of one process.
    - FileSystemCache: everything, for all threads and processes of one host.
    - any other cachelib cache: as good as its methods allow; a warning says what is not promised.

    ``threshold`` is the number of live sessions that are kept at most; 0 means no bound. None (the
    default) takes the cache's own, unless that is 500, cachelib's default, which nobody chose.
    ``wait`` is the time in seconds that a call waits for a lock at most. ``lock_dir`` is where a
    FileSystemCache's lock files are (default: its folder's name and ``.locks``). ``clock`` returns
    seconds since the epoch.

    Raises `ConfigurationError` for what cannot hold sessions.
    """

    def __new__(cls, cache: BaseCache, **_options: Any) -> CacheStore:
        return super().__new__(_class_for(cache) if cls is CacheStore else cls)

    def __init__(
        self,
        cache: BaseCache,
        *,
        clock: Callable[[], float] = time.time,
        wait: float = 2.0,
        threshold: int | None = None,
        lock_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        raise NotImplementedError  # the signature of all three

    def load(self, key: str) -> tuple[bytes, Any] | None:
        raise NotImplementedError

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        raise NotImplementedError

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        raise NotImplementedError

    def delete(self, key: str) -> None:
        raise NotImplementedError


def _class_for(cache: object) -> type[CacheStore]:
    if isinstance(cache, SimpleCache):
        from .simple import SimpleStore

        return SimpleStore
    if isinstance(cache, FileSystemCache):
        from .file import FileStore

        return FileStore
    if isinstance(cache, MemcachedCache):
        raise ConfigurationError(
            "a cachelib MemcachedCache cannot hold sessions: its client library unpickles whatever "
            "it reads; use cache_type='Memcached' or a MemcachedStore"
        )
    if isinstance(cache, NullCache):
        raise ConfigurationError("a NullCache keeps nothing: use SimpleCache to try things out")
    if isinstance(cache, BaseCache):
        from .foreign import ForeignStore

        return ForeignStore
    raise ConfigurationError(f"CacheStore needs a cachelib cache, not {type(cache).__name__}")
