"""Sessions in a cachelib SimpleCache: the memory of one process."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from cachelib.simple import SimpleCache

from session_core.expiry import ExpiryQueue
from session_core.throttle import ThrottledLog

from .cache import CacheStore
from .process import PerProcess
from .raw import PerCache

__all__ = ["SimpleStore"]

logger = logging.getLogger(__name__)

STEPS: Final = 8
"""How many due entries a write looks at: more than it adds, so that the cache shrinks."""

PREFIX: Final = "session:"
"""Keeps sessions apart from what else is in a cache that was made by somebody else."""


_FOREIGN: Final = object()
"""The version of what we did not write: no record can replace it."""


class _Shared:
    """What all stores on one cache share."""

    def __init__(self) -> None:
        self.lock = PerProcess(threading.Lock)
        self.queue = ExpiryQueue()


_shared: Final = PerCache(_Shared)


class SimpleStore(CacheStore):
    """Keeps records in a SimpleCache, for one process with any number of threads.

    A SimpleCache searches all of its entries at every write once there are more than its threshold,
    and drops live ones. Here each write frees the few that are due, and a bound is kept only if
    the user has set one. cachelib counts expiry in whole seconds and may be early, so the time that
    counts is kept with the record. And it takes longer over a value than a request over its whole
    session: so the records go straight into the cache's dict, as cachelib would put them there.
    The version is the tuple of a record and its expiry, of which every write makes a new one; a
    tuple of such things costs the garbage collector nothing, however many there are.
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
        self._entries: dict[str, tuple[float, Any]] = cache._cache
        # From version 0.17 on its own methods take this lock, to go through all entries.
        if not hasattr(cache, "_lock"):
            cache._lock = threading.RLock()
        self._cache = cache
        if threshold is None:
            threshold = 0 if cache._threshold == 500 else cache._threshold
        self._threshold = threshold or sys.maxsize
        self._clock = clock
        shared = _shared.get(cache)
        self._lock = shared.lock
        self._queue = shared.queue
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
        kept = self._entries.get(PREFIX + key)
        if kept is None:
            return None
        entry = kept[1]
        if type(entry) is tuple:
            return (entry[0], entry) if entry[1] > self._clock() else None
        return b"", _FOREIGN  # not one of our records: damaged, for whoever decodes it

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        if self._forked:
            self._warn_of_fork()
        name = PREFIX + key
        now = self._clock()
        with self._lock.get():
            kept = self._entries.get(name)
            if kept is not None and type(kept[1]) is tuple and kept[1][1] > now:
                return False
            while len(self._queue) >= self._threshold:
                self._make_room(now)
            with self._cache._lock:
                self._put(name, record, now + ttl)
            if self._queue.is_due(now):
                self._free(now, STEPS)
            return True

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        name = PREFIX + key
        now = self._clock()
        with self._lock.get():
            kept = self._entries.get(name)
            if kept is None or kept[1] is not version or version[1] <= now:
                return False
            self._put(name, record, now + ttl)
            if self._queue.is_due(now):
                self._free(now, STEPS)
            return True

    def delete(self, key: str) -> None:
        name = PREFIX + key
        with self._lock.get():
            self._remove(name)
            self._queue.discard(name)

    def sweep(self) -> int:
        """Free every expired record now and return how many there were."""
        with self._lock.get():
            return self._free(self._clock(), 2 * len(self._queue) + 64)

    def _put(self, name: str, record: bytes, expires: float) -> None:
        # Rounded up, for cachelib, which drops what is due when it goes through all entries.
        self._entries[name] = (math.ceil(expires) + 1, (record, expires))
        self._queue.schedule(name, expires)

    def _free(self, now: float, steps: int) -> int:
        expired = self._queue.pop_expired(now, steps)
        for name in expired:
            self._remove(name)
        return len(expired)

    def _remove(self, name: str) -> bool:
        with self._cache._lock:
            return self._entries.pop(name, None) is not None

    def _make_room(self, now: float) -> None:
        if not self._free(now, STEPS) and self._remove(self._queue.pop_soonest()):
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
