"""A store in this process's memory."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from .errors import ConfigurationError
from .expiry import ExpiryQueue
from .throttle import ThrottledLog

__all__ = ["MemoryStore"]

logger = logging.getLogger(__name__)

_STEPS = 8
"""How many due entries a write looks at: more than it adds, so that the store shrinks."""


_Entry = tuple[float, bytes]
"""When it expires, and the record. The tuple is the version: every write makes a new one."""


class MemoryStore:
    """Keeps records in a dict, for one process with any number of threads.

    ``max_entries`` bounds it (default: no bound). When it is full, a new record takes the place of
    the one that expires first, and a warning says so, because that ends a live session. Expired
    records are freed a few at a time by each write. ``clock`` returns seconds since the epoch.
    """

    def __init__(
        self, *, max_entries: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if max_entries is not None and max_entries < 1:
            raise ConfigurationError("max_entries must be 1 or more, or None for no bound")
        self._max_entries = max_entries or sys.maxsize
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._queue = ExpiryQueue(self._expiry_of)
        # One for each process: a lock that is held at a fork stays locked in the child.
        self._locks = {os.getpid(): threading.Lock()}
        self._evicted = ThrottledLog(
            logger,
            f"MemoryStore is full (max_entries={max_entries}): "
            "%d live sessions were dropped; raise max_entries",
        )

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, key: str) -> tuple[bytes, _Entry] | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._clock():
            return None
        return entry[1], entry

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        now = self._clock()
        with self._lock():
            was = self._expiry_of(key)
            if was is not None and was > now:
                return False
            if was is None and len(self._entries) >= self._max_entries:
                self._make_room(now)
            self._put(key, record, now, ttl, was)
            return True

    def replace(self, key: str, version: object, record: bytes, ttl: float) -> bool:
        now = self._clock()
        with self._lock():
            entry = self._entries.get(key)
            if entry is None or entry is not version or entry[0] <= now:
                return False
            self._put(key, record, now, ttl, entry[0])
            return True

    def delete(self, key: str) -> None:
        with self._lock():
            if self._entries.pop(key, None) is not None:
                self._queue.discard()

    def sweep(self) -> int:
        with self._lock():
            return self._free(self._clock(), 2 * len(self._queue) + 64)

    def scan(self) -> Iterator[str]:
        now = self._clock()
        with self._lock():
            keys = [key for key, entry in self._entries.items() if entry[0] > now]
        return iter(keys)

    def _put(self, key: str, record: bytes, now: float, ttl: float, was: float | None) -> None:
        expires = now + ttl
        self._entries[key] = (expires, record)
        self._queue.schedule(key, expires, was)
        if self._queue.due <= now:
            self._free(now, _STEPS)

    def _free(self, now: float, steps: int) -> int:
        expired = self._queue.pop_expired(now, steps)
        for key in expired:
            del self._entries[key]
        return len(expired)

    def _make_room(self, now: float) -> None:
        if not self._free(now, _STEPS):
            key = self._queue.pop_soonest()
            if key is not None:
                del self._entries[key]
                self._evicted.note()

    def _expiry_of(self, key: str) -> float | None:
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def _lock(self) -> threading.Lock:
        pid = os.getpid()
        lock = self._locks.get(pid)
        if lock is None:
            logger.warning(
                "sessions in memory are used from a second process (%d): each process has its "
                "own, so visitors lose theirs when another one answers; use a store that "
                "processes share",
                pid,
            )
            lock = self._locks.setdefault(pid, threading.Lock())
        return lock
