"""The bounded wait, as a number of seconds."""

from __future__ import annotations

import math
from datetime import timedelta

from session_core.errors import ConfigurationError

__all__ = ["as_wait", "shorter"]


def as_wait(wait: float | timedelta) -> float:
    """Return a wait in seconds. Raises `ConfigurationError` unless it is above 0 and finite."""
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 < seconds < math.inf
    ):
        raise ConfigurationError(
            f"wait={wait!r}: must be the seconds that a call waits for the store at most, such as 2"
        )
    return float(seconds)


def shorter(given: float | None, wait: float) -> float:
    """Return the timeout of a client, if it has one and it is the shorter one, else ``wait``."""
    return wait if given is None or not 0 < given < wait else float(given)
