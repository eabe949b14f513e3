"""Sessions in the folder of a cachelib FileSystemCache."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from cachelib.file import FileSystemCache

from session_core.errors import ConfigurationError, StoreError
from session_core.store import HEAD
from session_core.throttle import ThrottledLog

from .cache import CacheStore
from .fault import FileFaults
from .folder import RecordFolder
from .limit import FolderLimit
from .lock import StripedLocks
from .sweep import Sweeper

__all__ = ["FileStore"]

logger = logging.getLogger(__name__)


class FileStore(CacheStore):
    """Keeps each record in a file, for any number of threads and processes of one host.

    cachelib's own methods are not used: they report a full disk as False and a missing folder as
    None, rewrite a counter at every write, and cannot compare before they write. Folder and file
    mode are those of the cache; the files have names of their own, so that the cache's values stay
    apart. A reader needs no lock: a file is replaced in one step, so it is always complete.
    The version is the head of the record.
    """

    def __init__(
        self,
        cache: FileSystemCache,
        *,
        clock: Callable[[], float] = time.time,
        wait: float = 2.0,
        threshold: int | None = None,
        lock_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        # cachelib has no public names for these three.
        path = os.path.abspath(cache._path)
        mode = cache._mode or 0o600
        if threshold is None:
            threshold = 0 if cache._threshold == 500 else cache._threshold
        lock_path = os.path.abspath(lock_dir if lock_dir is not None else f"{path}.locks")
        try:
            for folder in (path, lock_path):
                os.makedirs(folder, 0o777 if mode & 0o077 else 0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {error.filename} cannot be made ({error.strerror}): sessions in files "
                "need a folder for them and one for their locks (lock_dir) that they may write to"
            ) from error
        self._clock = clock
        self._folder = RecordFolder(path, mode)
        self._locks = StripedLocks(lock_path, wait=wait, mode=mode)
        self._faults = FileFaults(path)
        self._sweeper = Sweeper(self._folder, self._locks, clock, self._forget)
        self._limit: FolderLimit | None = None
        if threshold:
            evicted = ThrottledLog(
                logger,
                f"the session folder is full (threshold={threshold}): "
                "%d live sessions were dropped; raise threshold",
            )
            self._limit = FolderLimit(self._folder, self._locks, clock, threshold, evicted.note)
        self._unswept = ThrottledLog(
            logger, "expired session files could not be removed (%d times): see the permissions"
        )

    def load(self, key: str) -> tuple[bytes, bytes] | None:
        with self._faults:
            found = self._folder.read(self._folder.name(key))
        if found is None or found[0] <= self._clock():
            return None
        record = found[1]
        return record, record[:HEAD]

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        name = self._folder.name(key)
        with self._faults:
            if self._limit is not None:
                self._limit.make_room()
            with self._locks.of(name):
                found = self._folder.read(name, 0)
                if found is not None and found[0] > self._clock():
                    return False
                expires = self._clock() + ttl
                self._folder.write(name, record, expires)
        self._tidy(name, expires)
        return True

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        name = self._folder.name(key)
        with self._faults, self._locks.of(name):
            found = self._folder.read(name, HEAD)
            if found is None or found[1] != version or found[0] <= self._clock():
                return False
            expires = self._clock() + ttl
            self._folder.write(name, record, expires)
        self._tidy(name, expires)
        return True

    def delete(self, key: str) -> None:
        name = self._folder.name(key)
        with self._faults, self._locks.of(name):
            self._folder.remove(name)
        self._forget(name)

    def sweep(self) -> int:
        """Free every expired record now and return how many there were."""
        with self._faults:
            return self._sweeper.sweep()

    def _forget(self, name: str) -> None:
        if self._limit is not None:
            self._limit.forget(name)

    def _tidy(self, name: str, expires: float) -> None:
        if self._limit is not None:
            self._limit.note(name, expires)
        # The record is written: what goes wrong from here on is no fault of the write.
        try:
            self._sweeper.step()
        except (OSError, StoreError):
            self._unswept.note()
