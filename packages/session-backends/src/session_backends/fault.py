"""Faults of the file system, in words."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Final

from session_core.errors import StoreUnavailable

__all__ = ["FileFaults"]

_WORDS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.ENOENT: "the folder is gone",
    errno.ENOTDIR: "the folder is gone",
    errno.EACCES: "this process has no permission",
    errno.EPERM: "this process has no permission",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "this process has too many open files",
    errno.ENFILE: "the system has too many open files",
    errno.EIO: "the disk reports an error",
}
if hasattr(errno, "EDQUOT"):
    _WORDS[errno.EDQUOT] = "the disk quota is used up"


class FileFaults:
    """A ``with`` block in which every OSError becomes `StoreUnavailable` with words and a cause."""

    __slots__ = ("_folder",)

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            words = _WORDS.get(error.errno or 0, error.strerror or type(error).__name__)
            raise StoreUnavailable(f"session folder {self._folder}: {words}") from error
