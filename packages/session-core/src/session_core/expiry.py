"""Which keys have expired, without looking at those that have not.

A heap with one entry a key. Extending a key leaves its entry where it is: when the entry comes
up, it is pushed again at the time that counts by then. So a write costs O(log n) at worst,
nothing is ever scanned, and an extension costs nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

__all__ = ["ExpiryQueue"]


class ExpiryQueue:
    """The keys of a store by when they expire. Not thread-safe: the owner's lock guards it.

    The times themselves are the owner's: ``expiry_of`` returns that of a key, or None for one that
    is not there.
    """

    __slots__ = ("_expiry_of", "_heap", "_stale", "due")

    due: float
    """`pop_expired` finds nothing before."""

    def __init__(self, expiry_of: Callable[[str], float | None]) -> None:
        self._expiry_of = expiry_of
        self._heap: list[tuple[float, str]] = []
        self.due = math.inf
        self._stale = 0  # entries that are more than the one of a key that is there

    def __len__(self) -> int:
        return len(self._heap) - self._stale

    def schedule(self, key: str, expires: float, was: float | None = None) -> None:
        """Learn that ``key`` expires at ``expires`` now; ``was``: when it did, if it was there."""
        if was is None or expires < was:
            heapq.heappush(self._heap, (expires, key))
            self.due = self._heap[0][0]
            if was is not None:
                self._note_stale()

    def discard(self) -> None:
        """Learn that some key which was there was removed."""
        self._note_stale()

    def pop_expired(self, now: float, limit: int) -> list[str]:
        """Return keys that have expired by ``now``, after at most ``limit`` steps.

        The owner removes them, without a `discard`.
        """
        expired: dict[str, None] = {}
        heap = self._heap
        for _ in range(limit):
            if not heap or heap[0][0] > now:
                break
            key = heap[0][1]
            expires = self._expiry_of(key)
            if expires is not None and expires > now:
                heapq.heapreplace(heap, (expires, key))
                continue
            heapq.heappop(heap)
            if expires is None or key in expired:
                self._drop_stale()
            else:
                expired[key] = None
        self.due = heap[0][0] if heap else math.inf
        return list(expired)

    def pop_soonest(self) -> str | None:
        """Return the key that expires first, for the owner to remove; None if there is none."""
        heap = self._heap
        while heap:
            due, key = heap[0]
            expires = self._expiry_of(key)
            if expires is not None and expires > due:
                heapq.heapreplace(heap, (expires, key))
                continue
            heapq.heappop(heap)
            if expires is not None:
                return key
            self._drop_stale()
        return None

    def _note_stale(self) -> None:
        self._stale += 1
        if self._stale > len(self._heap) // 2 + 64:
            times = {key: self._expiry_of(key) for _, key in self._heap}
            self._heap = [(when, key) for key, when in times.items() if when is not None]
            self._stale = 0
            heapq.heapify(self._heap)

    def _drop_stale(self) -> None:
        # Keys that somebody has removed behind the owner's back were not counted.
        self._stale = max(0, self._stale - 1)
