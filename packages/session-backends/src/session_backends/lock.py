"""Locks that separate threads and processes.

A record is written under the lock of its stripe: a `threading.Lock` and a lock on a file. Both
are needed, because a file lock does not separate threads that share the open file. The file stays
open between two uses, which costs a tenth of opening it each time.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import zlib
from typing import BinaryIO, Final

import portalocker

from session_core.errors import StoreUnavailable

from .process import PerProcess

__all__ = ["Stripe", "StripedLocks"]

STRIPES: Final = 64
"""How many locks a folder has. Every process must use the same number."""

_FLAGS: Final = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING


class Stripe:
    """One lock, for use as a ``with`` block. Not reentrant.

    The block raises `StoreUnavailable` when the lock cannot be had within ``wait`` seconds, and
    OSError when the lock file cannot be opened.
    """

    __slots__ = ("_file", "_mode", "_path", "_thread_lock", "_wait")

    def __init__(self, path: str, wait: float, mode: int) -> None:
        self._path = path
        self._wait = wait
        self._mode = mode
        self._thread_lock = threading.Lock()
        self._file: BinaryIO | None = None

    def __enter__(self) -> None:
        if not self.acquire(self._wait):
            raise StoreUnavailable(
                f"the lock file {self._path} was held by somebody else for {self._wait:g} s"
            )

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, wait: float) -> bool:
        """Take the lock within ``wait`` seconds (0: now or never); False if that is impossible."""
        deadline = time.monotonic() + wait
        if not self._thread_lock.acquire(timeout=wait):
            return False
        locked = False
        try:
            locked = self._lock_file(deadline)
        finally:
            if not locked:
                self._thread_lock.release()
        return locked

    def release(self) -> None:
        """Give back what `acquire` took."""
        try:
            if self._file is not None:
                portalocker.unlock(self._file)
        finally:
            self._thread_lock.release()

    def close(self) -> None:
        """Close the lock file; the next use opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _lock_file(self, deadline: float) -> bool:
        pause = 0.0002
        while True:
            file = self._file
            if file is None:
                file = self._file = self._open()
            try:
                portalocker.lock(file, _FLAGS)
            except portalocker.LockException as error:
                if not _is_held(error):
                    raise StoreUnavailable(f"cannot lock {self._path}") from error
                # Polling, because no system bounds the wait for a file lock.
                if time.monotonic() >= deadline:
                    return False
                time.sleep(pause)
                pause = min(pause * 1.5, 0.01)
                continue
            if os.fstat(file.fileno()).st_nlink:
                return True
            # Somebody deleted the file: whoever opens it now gets another one.
            portalocker.unlock(file)
            self.close()

    def _open(self) -> BinaryIO:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        return open(os.open(self._path, flags, self._mode), "r+b", buffering=0)


def _is_held(error: portalocker.LockException) -> bool:
    if isinstance(error, portalocker.AlreadyLocked):
        return True
    # portalocker 2 does not tell the reasons apart, except by the error underneath.
    return getattr(error.__cause__, "errno", None) in (errno.EAGAIN, errno.EACCES)


class StripedLocks:
    """`STRIPES` locks in a folder of their own, which must exist."""

    __slots__ = ("_folder", "_mode", "_stripes", "_wait")

    def __init__(self, folder: str, *, wait: float, mode: int) -> None:
        """``wait``: seconds until a lock is given up. ``mode``: of the lock files."""
        self._folder = folder
        self._wait = wait
        self._mode = mode
        # A file lock belongs to the open file, which a fork shares: the child opens its own.
        self._stripes = PerProcess(self._make, _close_all)

    def of(self, name: str) -> Stripe:
        """Return the lock of a name. Another name may have the same one."""
        return self._stripes.get()[zlib.crc32(os.fsencode(name)) % STRIPES]

    def _make(self) -> list[Stripe]:
        return [
            Stripe(os.path.join(self._folder, f"{number:02}.lock"), self._wait, self._mode)
            for number in range(STRIPES)
        ]


def _close_all(stripes: list[Stripe]) -> None:
    for stripe in stripes:
        stripe.close()
