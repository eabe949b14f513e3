"""Log lines that a busy server would otherwise repeat thousands of times."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

__all__ = ["ThrottledLog"]


class ThrottledLog:
    """Logs one warning per ``interval`` seconds and says how many it stands for."""

    def __init__(
        self,
        logger: logging.Logger,
        message: str,
        *,
        interval: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``message`` has one ``%d``, the count since the last line."""
        self._logger = logger
        self._message = message
        self._interval = interval
        self._clock = clock
        # One for each process: a lock that is held at a fork stays locked in the child.
        self._locks = {os.getpid(): threading.Lock()}
        self._count = 0
        self._next = clock()

    def note(self) -> None:
        """Count one event, and log if the last line is long enough ago."""
        with self._locks.get(os.getpid()) or self._locks.setdefault(os.getpid(), threading.Lock()):
            self._count += 1
            now = self._clock()
            if now < self._next:
                return
            count, self._count = self._count, 0
            self._next = now + self._interval
        self._logger.warning(self._message, count)
