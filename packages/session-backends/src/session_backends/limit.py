"""An upper bound on the number of files in a folder, for those who want one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from session_core.expiry import ExpiryQueue

from .folder import RECORD, RecordFolder
from .lock import StripedLocks
from .process import PerProcess
from .sweep import files

__all__ = ["FolderLimit"]

SHARE: Final = 20
"""The folder is counted anew after this share of the limit was created by this process: what
other processes create in between goes unnoticed, and the count costs each creation little."""


class _Known:
    """What one process knows about the folder."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until_count = 0
        self.start_over()

    def start_over(self) -> None:
        self.expires: dict[str, float] = {}
        self._queue = ExpiryQueue(self.expires.get)

    def put(self, name: str, expires: float) -> None:
        was = self.expires.get(name)
        self.expires[name] = expires
        self._queue.schedule(name, expires, was)

    def discard(self, name: str) -> None:
        if self.expires.pop(name, None) is not None:
            self._queue.discard()

    def pop_soonest(self) -> tuple[str, float] | None:
        name = self._queue.pop_soonest()
        return None if name is None else (name, self.expires.pop(name))


class FolderLimit:
    """Keeps at most ``threshold`` records: a new one takes the place of the one that expires first.

    With several processes it is exceeded by up to a twentieth for each. ``evicted`` is called for
    each live record that had to go.
    """

    def __init__(
        self,
        folder: RecordFolder,
        locks: StripedLocks,
        clock: Callable[[], float],
        threshold: int,
        evicted: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._locks = locks
        self._clock = clock
        self._threshold = threshold
        self._evicted = evicted
        self._known = PerProcess(_Known)

    def make_room(self) -> None:
        """Remove what must go before one more record is created. Raises OSError."""
        known = self._known.get()
        with known.lock:
            if known.until_count <= 0:
                self._count(known)
                known.until_count = max(1, self._threshold // SHARE)
            known.until_count -= 1
            busy: list[tuple[str, float]] = []
            while len(known.expires) + len(busy) >= self._threshold:
                soonest = known.pop_soonest()
                if soonest is None:
                    break
                name, expires = soonest
                stripe = self._locks.of(name)
                if not stripe.acquire(0):
                    busy.append((name, expires))  # being written, so it will live longer
                    continue
                try:
                    self._evict(known, name, expires)
                finally:
                    stripe.release()
            for name, expires in busy:
                known.put(name, expires)

    def note(self, name: str, expires: float) -> None:
        """Learn that a record was written. The caller holds no lock of the folder."""
        known = self._known.get()
        with known.lock:
            known.put(name, expires)

    def forget(self, name: str) -> None:
        """Learn that a record was removed. The caller holds no lock of the folder."""
        known = self._known.get()
        with known.lock:
            known.discard(name)

    def _count(self, known: _Known) -> None:
        known.start_over()
        for entry in files(self._folder.path):
            if entry.name.endswith(RECORD):
                try:
                    known.put(entry.name, entry.stat().st_mtime)
                except FileNotFoundError:
                    self._folder.require()

    def _evict(self, known: _Known, name: str, expected: float) -> None:
        try:
            expires = os.stat(os.path.join(self._folder.path, name)).st_mtime
        except FileNotFoundError:
            self._folder.require()
            return
        if expires > expected + 1:
            known.put(name, expires)  # another process has extended it
            return
        self._folder.remove(name)
        if expires > self._clock():
            self._evicted()
