"""Sessions in a cachelib SimpleCache: the memory of one process."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from cachelib.simple import SimpleCache

from session_core.expiry import ExpiryQueue
from session_core.throttle import ThrottledLog

from .cache import CacheStore
from .raw import PerCache

__all__ = ["SimpleStore"]

logger = logging.getLogger(__name__)

STEPS: Final = 8
"""How many due entries a write looks at: more than it adds, so that the cache shrinks."""

PREFIX: Final = "session:"
"""Keeps sessions apart from what else is in a cache that was made by somebody else."""


_FOREIGN: Final = object()
"""The version of what we did not write: no record can replace it."""

Entry = tuple[float, Any]
"""When it expires, in seconds since the epoch, and what is kept: of ours, a record. cachelib writes
0 for never, and we do not."""


def _new_queue(cache: SimpleCache) -> ExpiryQueue:
    entries: dict[str, Entry] = cache._cache

    def expiry_of(name: str) -> float | None:
        entry = entries.get(name)
        return entry[0] if entry is not None and type(entry[1]) is bytes else None

    return ExpiryQueue(expiry_of)


_queues: Final = PerCache(_new_queue)


class SimpleStore(CacheStore):
    """Keeps records in a SimpleCache, for one process with any number of threads.

    A SimpleCache searches all of its entries at every write once there are more than its threshold,
    and drops live ones. Here each write frees the few that are due, and a bound is kept only if
    the user has set one. cachelib counts expiry in whole seconds, and takes longer over a value
    than a request over its whole session. So records go straight into the cache's dict, in a tuple
    as cachelib has it there, with a time that is exact. That tuple is the version: every write
    makes a new one. It costs the garbage collector nothing, however many there are.
    """

    def __init__(
        self,
        cache: SimpleCache,
        *,
        clock: Callable[[], float] = time.time,
        wait: float = 2.0,
        threshold: int | None = None,
        lock_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        # cachelib has no public names for these three.
        self._entries: dict[str, Entry] = cache._cache
        # From version 0.17 on its own methods take this lock, to go through all entries.
        if not hasattr(cache, "_lock"):
            cache._lock = threading.RLock()
        self._cache = cache
        if threshold is None:
            threshold = 0 if cache._threshold == 500 else cache._threshold
        self._threshold = threshold
        self._clock = clock
        self._queue = _queues.get(cache)
        self._forked = False
        _stores.add(self)
        self._evicted = ThrottledLog(
            logger,
            f"the session cache is full (threshold={threshold}): "
            "%d live sessions were dropped; raise threshold",
        )

    def load(self, key: str) -> tuple[bytes, Any] | None:
        if self._forked:
            self._warn_of_fork()
        entry = self._entries.get(PREFIX + key)
        if entry is None:
            return None
        expires, record = entry
        if type(record) is bytes:
            return (record, entry) if expires > self._clock() or not expires else None
        return b"", _FOREIGN  # not one of our records: damaged, for whoever decodes it

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        if self._forked:
            self._warn_of_fork()
        name = PREFIX + key
        now = self._clock()
        with self._cache._lock:
            if self._threshold:
                self._make_room(name, now)
            entry = self._entries.get(name)
            was = None
            if entry is not None:
                if entry[0] > now or not entry[0]:
                    return False
                was = entry[0]
            expires = now + ttl
            self._entries[name] = (expires, record)
            self._queue.schedule(name, expires, was)
            if self._queue.due <= now:
                self._free(now, STEPS)
            return True

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        name = PREFIX + key
        now = self._clock()
        with self._cache._lock:
            entry = self._entries.get(name)
            if entry is None or entry is not version or entry[0] <= now:
                return False
            expires = now + ttl
            self._entries[name] = (expires, record)
            if expires < entry[0]:
                self._queue.schedule(name, expires, entry[0])
            if self._queue.due <= now:
                self._free(now, STEPS)
            return True

    def delete(self, key: str) -> None:
        with self._cache._lock:
            if self._entries.pop(PREFIX + key, None) is not None:
                self._queue.discard()

    def sweep(self) -> int:
        """Free every expired record now and return how many there were."""
        with self._cache._lock:
            return self._free(self._clock(), 2 * len(self._queue) + 64)

    def _free(self, now: float, steps: int) -> int:
        expired = self._queue.pop_expired(now, steps)
        for name in expired:
            del self._entries[name]
        return len(expired)

    def _make_room(self, name: str, now: float) -> None:
        while len(self._queue) >= self._threshold and name not in self._entries:
            if not self._free(now, STEPS):
                soonest = self._queue.pop_soonest()
                if soonest is not None:
                    del self._entries[soonest]
                    self._evicted.note()

    def _warn_of_fork(self) -> None:
        self._forked = False
        logger.warning(
            "sessions in memory are used from a second process (%d): each process has its own, so "
            "visitors lose theirs when another one answers; use cache_type='FileSystem', 'Redis' "
            "or 'Memcached'",
            os.getpid(),
        )


_stores: Final[weakref.WeakSet[SimpleStore]] = weakref.WeakSet()


def _note_fork() -> None:
    for store in _stores:
        store._forked = True
        # Another thread of the parent may have held it, and there is none here to give it back.
        store._cache._lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_note_fork)
