"""Which keys have expired, without looking at those that have not.

A heap with one entry a key. Extending a key leaves its entry where it is: when the entry comes
up, it is pushed again at the time that counts by then. So a write costs O(log n) at worst,
and nothing is ever scanned.
"""

from __future__ import annotations

import heapq

__all__ = ["ExpiryQueue"]


class ExpiryQueue:
    """Expiry times of keys. Not thread-safe: the owner's lock guards it."""

    __slots__ = ("_expires", "_heap")

    def __init__(self) -> None:
        self._expires: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._expires)

    def schedule(self, key: str, expires: float) -> None:
        """Note that ``key`` expires at ``expires``, in place of what was noted before."""
        known = self._expires.get(key)
        self._expires[key] = expires
        if known is None or expires < known:
            heapq.heappush(self._heap, (expires, key))
            if len(self._heap) > 2 * len(self._expires) + 64:
                self._heap = [(when, name) for name, when in self._expires.items()]
                heapq.heapify(self._heap)

    def discard(self, key: str) -> None:
        """Forget ``key``; a key that is not there is fine."""
        self._expires.pop(key, None)

    def is_due(self, now: float) -> bool:
        """Whether `pop_expired` has anything to look at."""
        return bool(self._heap) and self._heap[0][0] <= now

    def pop_expired(self, now: float, limit: int) -> list[str]:
        """Forget and return keys that have expired by ``now``, after at most ``limit`` steps."""
        expired = []
        heap = self._heap
        for _ in range(limit):
            if not heap or heap[0][0] > now:
                break
            _, key = heap[0]
            expires = self._expires.get(key)
            if expires is not None and expires > now:
                heapq.heapreplace(heap, (expires, key))
                continue
            heapq.heappop(heap)
            if expires is not None:
                del self._expires[key]
                expired.append(key)
        return expired

    def pop_soonest(self) -> str:
        """Forget and return the key that expires first. KeyError if there is none."""
        heap = self._heap
        while heap:
            due, key = heap[0]
            expires = self._expires.get(key)
            if expires is not None and expires > due:
                heapq.heapreplace(heap, (expires, key))
                continue
            heapq.heappop(heap)
            if expires is not None:
                del self._expires[key]
                return key
        raise KeyError("empty")
