"""Every fault of every store as one exception type."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import StoreError, StoreUnavailable
from .store import Store

__all__ = ["GuardedStore"]


class GuardedStore:
    """A store whose verbs raise `StoreError` and nothing else."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, key: str) -> tuple[bytes, Any] | None:
        try:
            return self._store.load(key)
        except StoreError:
            raise
        except Exception as error:
            self._fail("load", error)

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        try:
            return self._store.create(key, record, ttl)
        except StoreError:
            raise
        except Exception as error:
            self._fail("create", error)

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        try:
            return self._store.replace(key, version, record, ttl)
        except StoreError:
            raise
        except Exception as error:
            self._fail("replace", error)

    def delete(self, key: str) -> None:
        try:
            self._store.delete(key)
        except StoreError:
            raise
        except Exception as error:
            self._fail("delete", error)

    def _fail(self, verb: str, error: Exception) -> NoReturn:
        raise StoreUnavailable(
            f"{type(self._store).__name__}.{verb} failed: {type(error).__name__}"
        ) from error
