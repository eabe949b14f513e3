"""The store contract: four verbs over keys and bytes.

A store maps a key to a record with an expiry, and knows nothing about sessions. A class that
has the four methods of `Store` is a store; it need not import or inherit anything.
`session_core.testing` has a check for every sentence on this page.

*Keys* are 1 to 200 characters out of ``A-Za-z0-9_-``. *Records* are bytes, at least
`HEAD` of them, and the first `HEAD` bytes are random and new at every write: an engine
that keeps no version of its own may use them as one. *ttl* is a number of seconds above 0, int
or float; a store may keep a record up to two seconds longer, never shorter. To all four verbs an
expired record is absent.

*Faults* are loud. A store that could not ask, or does not know whether a write happened, raises;
whatever it raises reaches the user as `StoreUnavailable`, with the original as its cause. It never
answers None or False instead. A record that the engine will never take is `RecordTooLarge`.
A call waits a bounded time, and neither the store nor its client repeats a write.

*Threads and processes*: every verb may be called from many at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol, runtime_checkable

from .errors import ConfigurationError

__all__ = ["HEAD", "Store", "SupportsScan", "SupportsStore", "SupportsSweep", "find_store"]

HEAD: Final = 16
"""How many bytes at the start of a record are random and differ between any two writes."""


@runtime_checkable
class Store(Protocol):
    """Keeps records. Required: all four."""

    def load(self, key: str) -> tuple[bytes, Any] | None:
        """Return the record and its version, or None if there is none.

        The version is opaque: whatever `replace` of the same store needs, except None. The
        answer None means "not there", never "could not ask".
        """

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        """Store the record if the key is free, in one atomic step; False if it is taken."""

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        """Store the record if the stored one is still that of ``version``, in one atomic step.

        False if it has changed, expired or gone. Never makes a key exist.
        """

    def delete(self, key: str) -> None:
        """Remove the record. It is gone when this returns; a missing key is fine."""


@runtime_checkable
class SupportsSweep(Protocol):
    """Optional: a store whose expired records take room until somebody frees it."""

    def sweep(self) -> int:
        """Free every expired record now and return how many there were."""


@runtime_checkable
class SupportsScan(Protocol):
    """Optional: a store that can list what it holds, for inspection and administration."""

    def scan(self) -> Iterator[str]:
        """Yield the keys of the records that have not expired, in any order."""


@runtime_checkable
class SupportsStore(Protocol):
    """Something that carries a store, accepted wherever a store is (`Backing` is one)."""

    @property
    def store(self) -> Store:
        """The store to use."""


def find_store(candidate: object) -> Store:
    """Return ``candidate``, or the store that it carries.

    Raises `ConfigurationError` if it is neither.
    """
    inner = getattr(candidate, "store", None)
    for store in (candidate, inner):
        if store is not None and not isinstance(store, type) and isinstance(store, Store):
            return store
    raise ConfigurationError(
        f"{type(candidate).__name__} object is no session store: it needs the methods load, "
        "create, replace and delete, or an attribute 'store' that has them "
        "(see docs/STORES.md)"
    )
