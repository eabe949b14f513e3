"""Freeing expired files, a few at every write."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from .folder import RECORD, TEMPORARY, RecordFolder
from .lock import StripedLocks
from .process import PerProcess

__all__ = ["Sweeper", "files"]

STEPS: Final = 4
"""How many files a write looks at: more than it adds, so that the folder shrinks."""
CATCH_UP: Final = 64
"""At most so many after a quiet time, one more for each second of it."""
PAUSE: Final = 10.0
"""Seconds between two passes over the folder."""
STALE: Final = 600.0
"""Seconds after which an unfinished file belongs to a process that died."""
INSPECTION: Final = 30 * 86400.0
"""Seconds for which a damaged file is kept for whoever wants to know what happened."""


class _Pass:
    """Where one process stands in the folder."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: Iterator[os.DirEntry[str]] | None = None
        self.due = 0.0
        self.last: float | None = None


class Sweeper:
    """Removes what has expired, and what killed processes have left behind.

    Only the files that look expired are opened, to see whether they are: a folder that was copied
    has lost its modification times. ``removed`` is called with the name of each removed record.
    """

    def __init__(
        self,
        folder: RecordFolder,
        locks: StripedLocks,
        clock: Callable[[], float],
        removed: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._locks = locks
        self._clock = clock
        self._removed = removed
        # A directory that is being listed has a position, which a fork would share.
        self._passes = PerProcess(_Pass)

    def step(self) -> None:
        """Look at the next few files. Raises OSError."""
        here = self._passes.get()
        if not here.lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            now = self._clock()
            quiet = 0.0 if here.last is None else now - here.last
            here.last = now
            for _ in range(min(STEPS + max(0, int(quiet)), CATCH_UP)):
                if here.entries is None:
                    if 0 <= here.due - now <= PAUSE:
                        return
                    here.entries = files(self._folder.path)
                entry = next(here.entries, None)
                if entry is None:
                    here.entries = None
                    here.due = now + PAUSE
                    return
                self._visit(entry, now)
        except BaseException:
            here.entries = None
            raise
        finally:
            here.lock.release()

    def sweep(self) -> int:
        """Look at every file now; return how many records were removed. Raises OSError."""
        now = self._clock()
        return sum(self._visit(entry, now) for entry in files(self._folder.path))

    def _visit(self, entry: os.DirEntry[str], now: float) -> bool:
        try:
            if entry.name.endswith(RECORD):
                return entry.stat().st_mtime <= now and self._remove(entry.name, now)
            if entry.name.endswith(TEMPORARY) and entry.stat().st_ctime < time.time() - STALE:
                self._folder.remove(entry.name)
        except FileNotFoundError:
            self._folder.require()  # else another process was faster
        return False

    def _remove(self, name: str, now: float) -> bool:
        stripe = self._locks.of(name)
        if not stripe.acquire(0):
            return False  # somebody is writing; there is a next pass
        try:
            if self._lives(name, now) or not self._folder.remove(name):
                return False
        finally:
            stripe.release()
        self._removed(name)
        return True

    def _lives(self, name: str, now: float) -> bool:
        found = self._folder.read(name, 0)
        if found is None:
            return False
        expires = found[0]
        path = os.path.join(self._folder.path, name)
        if math.isinf(expires):
            return os.stat(path).st_mtime > now - INSPECTION
        if expires <= now:
            return False
        os.utime(path, (expires, expires))
        return True


def files(path: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder, and close it even when not everything is taken."""
    with os.scandir(path) as entries:
        yield from entries
