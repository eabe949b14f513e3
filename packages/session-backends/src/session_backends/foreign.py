"""Sessions in any other cachelib cache."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cachelib.base import BaseCache

from session_core.errors import StoreError, StoreUnavailable
from session_core.store import HEAD

from .cache import CacheStore
from .process import PerProcess
from .raw import PerCache, without_pickle

__all__ = ["ForeignStore"]

logger = logging.getLogger(__name__)

PREFIX: Final = "session:"
"""Keeps sessions apart from what else is in the cache."""

_locks: Final = PerCache[BaseCache, PerProcess[threading.Lock]](
    lambda _cache: PerProcess(threading.Lock)
)


class ForeignStore(CacheStore):
    """Keeps records in a cachelib cache through get, set, add and delete.

    Within one process everything is atomic. Between processes it is not: another one may write
    between the comparison and the write, and then an update is lost. A fault that the cache hides
    behind None looks like a missing record. The version is the head of the record.
    """

    def __init__(
        self,
        cache: BaseCache,
        *,
        clock: Callable[[], float] = time.time,
        wait: float = 2.0,
        threshold: int | None = None,
        lock_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._kind = type(cache).__name__
        doubts = (
            "it has no atomic conditional write, so parallel requests that are served by several "
            "processes can overwrite each other's changes"
        )
        if hasattr(cache, "serializer"):
            self._cache = without_pickle(cache)
        else:
            self._cache = cache
            doubts += (
                "; and it has no 'serializer' to replace, so its records may pass through pickle: "
                "whoever can write to it may be able to run code"
            )
        logger.warning(
            "sessions in a %s: %s; use cache_type='FileSystem', 'Redis' or 'Memcached' instead",
            self._kind,
            doubts,
        )
        self._lock = _locks.get(cache)

    def load(self, key: str) -> tuple[bytes, bytes] | None:
        record = self._get(PREFIX + key)
        return None if record is None else (record, record[:HEAD])

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        name = PREFIX + key
        with self._lock.get():
            if self._add(name, record, ttl):
                return True
            if self._get(name) is not None:
                return False
            # Refused, but not there: expired and not freed (some caches only look whether there
            # is an entry), or a fault.
            self._delete(name)
            if self._add(name, record, ttl):
                return True
        raise StoreUnavailable(f"{self._kind}.add() stored nothing, though the key is free")

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        name = PREFIX + key
        with self._lock.get():
            current = self._get(name)
            if current is None or len(current) < HEAD or current[:HEAD] != version:
                return False
            if self._call("set", name, record, _timeout(ttl)) is False:
                raise StoreUnavailable(f"{self._kind}.set() stored nothing")
        return True

    def delete(self, key: str) -> None:
        with self._lock.get():
            self._delete(PREFIX + key)

    def _get(self, name: str) -> bytes | None:
        value = self._call("get", name)
        if value is None:
            return None
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        return b""  # not one of our records: damaged, for whoever decodes it

    def _add(self, name: str, record: bytes, ttl: float) -> bool:
        return bool(self._call("add", name, record, _timeout(ttl)))

    def _delete(self, name: str) -> None:
        # False is no fault: most caches say so when there was nothing to delete.
        self._call("delete", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._cache, method)(*arguments)
        except StoreError:
            raise
        except Exception as error:
            raise StoreUnavailable(
                f"{self._kind}.{method}() failed: {type(error).__name__}"
            ) from error


def _timeout(ttl: float) -> int:
    """Return a cachelib timeout: whole seconds, of which cachelib may take up to one away."""
    return math.ceil(ttl) + 1
