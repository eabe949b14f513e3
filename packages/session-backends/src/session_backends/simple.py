"""Sessions in a cachelib SimpleCache: the memory of one process."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cachelib.simple import SimpleCache

from session_core.expiry import ExpiryQueue
from session_core.throttle import ThrottledLog

from .cache import CacheStore
from .process import PerProcess
from .raw import PerCache, without_pickle

__all__ = ["SimpleStore"]

logger = logging.getLogger(__name__)

STEPS: Final = 8
"""How many due entries a write looks at: more than it adds, so that the cache shrinks."""

PREFIX: Final = "session:"
"""Keeps sessions apart from what else is in a cache that was made by somebody else."""


_Entry = tuple[bytes, float]
"""A stored record and when it expires. The tuple itself is the version: every write makes a new
one. A tuple of such things costs the garbage collector nothing, however many there are."""


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
    counts is kept with the record.
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
        self._cache = without_pickle(cache)
        # cachelib has no public name for it.
        if threshold is None:
            threshold = 0 if cache._threshold == 500 else cache._threshold
        self._cache._threshold = sys.maxsize
        self._threshold = threshold or sys.maxsize
        self._clock = clock
        shared = _shared.get(cache)
        self._lock = shared.lock
        self._queue = shared.queue
        self._pid = os.getpid()
        self._evicted = ThrottledLog(
            logger,
            f"the session cache is full (threshold={threshold}): "
            "%d live sessions were dropped; raise threshold",
        )

    def load(self, key: str) -> tuple[bytes, Any] | None:
        if os.getpid() != self._pid:
            self._warn_of_fork()
        found = self._cache.get(PREFIX + key)
        if type(found) is tuple:
            return (found[0], found) if found[1] > self._clock() else None
        # Not one of our records: damaged, for whoever decodes it.
        return None if found is None else (b"", b"")

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        if os.getpid() != self._pid:
            self._warn_of_fork()
        name = PREFIX + key
        now = self._clock()
        with self._lock.get():
            if self._live(name, now) is not None:
                return False
            while len(self._queue) >= self._threshold:
                self._make_room(now)
            self._put(name, record, now, ttl)
            return True

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        name = PREFIX + key
        now = self._clock()
        with self._lock.get():
            entry = self._live(name, now)
            if entry is None or entry is not version:
                return False
            self._put(name, record, now, ttl)
            return True

    def delete(self, key: str) -> None:
        name = PREFIX + key
        with self._lock.get():
            self._cache.delete(name)
            self._queue.discard(name)

    def sweep(self) -> int:
        """Free every expired record now and return how many there were."""
        with self._lock.get():
            return self._free(self._clock(), 2 * len(self._queue) + 64)

    def _live(self, name: str, now: float) -> _Entry | None:
        entry: _Entry | None = self._cache.get(name)
        return entry if type(entry) is tuple and entry[1] > now else None

    def _put(self, name: str, record: bytes, now: float, ttl: float) -> None:
        expires = now + ttl
        # Later than ours, because cachelib cuts the time off to whole seconds.
        self._cache.set(name, (record, expires), math.ceil(ttl) + 1)
        self._queue.schedule(name, expires)
        self._free(now, STEPS)

    def _free(self, now: float, steps: int) -> int:
        expired = self._queue.pop_expired(now, steps)
        for name in expired:
            self._cache.delete(name)
        return len(expired)

    def _make_room(self, now: float) -> None:
        if not self._free(now, STEPS) and self._cache.delete(self._queue.pop_soonest()):
            self._evicted.note()

    def _warn_of_fork(self) -> None:
        self._pid = os.getpid()
        logger.warning(
            "sessions in memory are used from a second process (%d): each process has its own, so "
            "visitors lose theirs when another one answers; use cache_type='FileSystem', 'Redis' "
            "or 'Memcached'",
            self._pid,
        )
