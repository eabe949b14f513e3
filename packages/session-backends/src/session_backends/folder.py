"""Records as files: one folder, one file a record, each written in one step.

A file is `MAGIC`, the expiry (seconds since the epoch, a little-endian double), and the record.
Its modification time is the expiry too, rounded as the file system likes: that is how expired
files are found without opening the others.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import struct
import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["MAGIC", "RECORD", "TEMPORARY", "RecordFolder"]

T = TypeVar("T")

MAGIC: Final = b"\xffSR\xff"
"""How our files begin. cachelib reads the first four bytes as an expiry: this one is in 2106."""

RECORD: Final = ".session"
"""How the name of a record ends; cachelib's own files have no suffix."""

TEMPORARY: Final = ".session-tmp"
"""How the name of a file ends that is still being written, or was when its process died."""

_HEAD: Final = struct.Struct("<4sd")
_CHUNK: Final = 1 << 16
_LAST_TIME: Final = 4e9
"""The latest modification time that is set: not every file system can hold a later one."""
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
_PATIENCE: Final = 1.0 if os.name == "nt" else 0.0
"""Seconds for which "permission denied" may only mean that somebody has the file open.

On Windows an open file cannot be replaced or removed, and readers open it for microseconds."""


class RecordFolder:
    """Reads and writes records by file name. Raises OSError for every fault.

    It locks nothing: whoever writes or removes holds the lock of the name.
    """

    __slots__ = ("mode", "path")

    def __init__(self, path: str, mode: int) -> None:
        """``mode``: permission bits of the files, which the umask does not change."""
        self.path = path
        self.mode = mode

    @staticmethod
    def name(key: str) -> str:
        """Return the file name of a key, the same on systems that ignore case."""
        return hashlib.sha256(key.encode("ascii")).hexdigest() + RECORD

    def read(self, name: str, size: int | None = None) -> tuple[float, bytes] | None:
        """Return expiry and record, of which at most ``size`` bytes are wanted; None if not there.

        A file that does not begin as ours do is returned as it is, with no expiry (infinity).
        """
        try:
            descriptor = _patiently(lambda: os.open(self._path(name), os.O_RDONLY | _BINARY))
        except FileNotFoundError:
            self.require()
            return None
        try:
            if size is None:
                data = _read_all(descriptor)
            else:
                data = os.read(descriptor, _HEAD.size + size)
        finally:
            os.close(descriptor)
        if len(data) < _HEAD.size or not data.startswith(MAGIC):
            return math.inf, data
        return _HEAD.unpack_from(data)[1], data[_HEAD.size :]

    def write(self, name: str, record: bytes, expires: float) -> None:
        """Put a record in place of whatever is there; a reader sees the old or the new one."""
        path = self._path(name)
        temporary = f"{path[: -len(RECORD)]}-{secrets.token_hex(8)}{TEMPORARY}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        descriptor = os.open(temporary, flags, self.mode)
        try:
            try:
                _write_all(descriptor, _HEAD.pack(MAGIC, expires) + record)
            finally:
                os.close(descriptor)
            when = min(expires, _LAST_TIME)
            os.utime(temporary, (when, when))
            if self.mode & 0o077:
                os.chmod(temporary, self.mode)
            _patiently(lambda: os.replace(temporary, path))
        except BaseException:
            self._try_remove(temporary)
            raise

    def remove(self, name: str) -> bool:
        """Remove a file; False if it was not there."""
        try:
            _patiently(lambda: os.remove(self._path(name)))
        except FileNotFoundError:
            self.require()
            return False
        return True

    def require(self) -> None:
        """Raise if the folder itself is not there: then a missing file says nothing."""
        if not os.path.isdir(self.path):
            raise FileNotFoundError(errno.ENOENT, "No such folder", self.path)

    def _path(self, name: str) -> str:
        return os.path.join(self.path, name)

    @staticmethod
    def _try_remove(path: str) -> None:
        try:
            os.remove(path)
        except OSError:
            pass  # the error that brought us here counts; the sweep will find the file


def _read_all(descriptor: int) -> bytes:
    data = os.read(descriptor, _CHUNK)
    if len(data) < _CHUNK:
        return data
    chunks = [data]
    while data:
        data = os.read(descriptor, 16 * _CHUNK)
        chunks.append(data)
    return b"".join(chunks)


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        # On a full disk the first write may be partial; only the next one raises.
        written += os.write(descriptor, data[written:])


def _patiently(action: Callable[[], T]) -> T:
    deadline = 0.0
    while True:
        try:
            return action()
        except PermissionError:
            now = time.monotonic()
            deadline = deadline or now + _PATIENCE
            if now >= deadline:
                raise
            time.sleep(0.001)
