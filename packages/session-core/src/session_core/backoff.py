"""Waiting between tries, not for ever."""

from __future__ import annotations

import time

from .errors import ConflictTimeout

__all__ = ["Backoff"]


class Backoff:
    """Waits that grow, with jitter, until the time bound of one commit."""

    def __init__(self, bound: float) -> None:
        """``bound`` is in seconds, from the first pause on."""
        self._bound = bound
        self._deadline: float | None = None
        self._step = 0.0005

    def pause(self) -> None:
        """Wait a little longer than last time. Raises `ConflictTimeout` when the time is up."""
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._bound
        if now >= self._deadline:
            raise ConflictTimeout(
                "other requests kept changing the session until the time bound; "
                "nothing of this one was stored"
            )
        import random  # here: most programs never wait

        time.sleep(random.uniform(0, self._step))  # noqa: S311 -- no secret
        self._step = min(self._step * 2, 0.05)
