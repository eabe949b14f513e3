"""One cache for the app's own use and one store for the sessions, from the same options."""

from __future__ import annotations

from typing import Any

from cachelib.base import BaseCache

from session_core.store import Store

from .option import canonical_type, tidy_options
from .part import MAKERS
from .wait import as_wait

__all__ = ["Backing"]


class Backing:
    """Where sessions are kept, and a general cache beside them.

    ======================= ==================================================================
    ``cache_type``          options
    ======================= ==================================================================
    SimpleCache (default)   ``threshold``: how many; memory of this process
    FileSystem              ``cache_dir`` (required; relative to the working directory),
                            ``threshold``, ``mode`` (of the files, default 0o600),
                            ``hash_method`` (of the app's own keys)
    Redis                   ``host`` (a name, a ``redis://`` address or a client; default
                            localhost), ``port``, ``password``, ``db``, ``key_prefix``, and
                            whatever else `redis.Redis` takes
    Memcached               ``servers`` (required: see `MemcachedStore`), ``key_prefix``
    ======================= ==================================================================

    FileSystemCache, RedisCache and MemcachedCache are accepted as names too, ``prefix_key`` is
    ``key_prefix``, and numbers may be text. Further options for all: ``default_timeout`` in
    seconds, for the app's own values only (default 300, 0 is for ever), and ``wait``, the seconds
    that each call of the store waits at most (default 2).

    The object itself is the cache, with cachelib's methods: ``set``, ``get``, ``add``, ``delete``,
    ``has``, ``inc``, ``dec``, ``get_many``, ``get_dict``, ``set_many``, ``delete_many``, ``clear``.
    Its keys and the sessions are in separate objects, folders or key spaces: neither can reach the
    other, and ``clear`` ends no session. ``threshold`` counts for each of the two; 0 means
    no bound. Without one the cache has cachelib's (500), and sessions have no bound.

    Raises `ConfigurationError` that says what to write instead. Connects to nothing yet.
    """

    def __init__(self, cache_type: str = "SimpleCache", **options: Any) -> None:
        self._cache_type = canonical_type(cache_type)
        tidy = tidy_options(options)
        wait = as_wait(tidy.pop("wait", 2.0))
        self._cache, self._store = MAKERS[self._cache_type](tidy, wait)

    @property
    def cache_type(self) -> str:
        """SimpleCache, FileSystem, Redis or Memcached."""
        return self._cache_type

    @property
    def cache(self) -> BaseCache:
        """The cachelib object for the app's own values."""
        return self._cache

    @property
    def store(self) -> Store:
        """The store for the sessions."""
        return self._store

    def __getattr__(self, name: str) -> Any:
        # Underscores: copy and pickle ask for such names before there is a cache.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._cache, name)

    def __dir__(self) -> list[str]:
        public = [name for name in dir(self._cache) if not name.startswith("_")]
        return sorted({*super().__dir__(), *public})

    def __repr__(self) -> str:
        return f"<Backing {self._cache_type}>"
