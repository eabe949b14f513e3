"""Bytes through cachelib without pickle, and state that belongs to a cache object."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable
from typing import IO, Any, Generic, TypeVar

from cachelib.base import BaseCache
from cachelib.serializers import BaseSerializer

__all__ = ["PerCache", "without_pickle"]

C = TypeVar("C", bound=BaseCache)
T = TypeVar("T")


class _Raw(BaseSerializer):
    """Passes values on as they are: cachelib's extension point, taken to do nothing."""

    def dump(self, value: Any, f: IO[bytes], *_: Any) -> None:
        f.write(value)

    def load(self, f: IO[bytes]) -> bytes:
        return f.read()

    def dumps(self, value: Any, *_: Any) -> Any:
        return value

    def loads(self, bvalue: Any) -> Any:
        return bvalue


def without_pickle(cache: C) -> C:
    """Return a second handle on the same cache, through which values pass as they are.

    The cache itself goes on serializing the user's own values as before.
    """
    handle = copy.copy(cache)
    handle.serializer = _Raw()  # type: ignore[attr-defined]
    return handle


class PerCache(Generic[C, T]):
    """One object for each cache, so that two stores on one cache share what guards it."""

    def __init__(self, make: Callable[[C], T]) -> None:
        self._make = make
        self._made: weakref.WeakKeyDictionary[C, T] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, cache: C) -> T:
        """Return the object of ``cache``; a new one if the cache cannot be used as a key."""
        with self._lock:
            try:
                return self._made.setdefault(cache, self._make(cache))
            except TypeError:
                return self._make(cache)
