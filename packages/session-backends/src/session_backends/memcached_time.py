"""Expiry times as memcached counts them."""

from __future__ import annotations

import math
import time
from typing import Final

__all__ = ["memcached_expiry"]

MONTH: Final = 30 * 24 * 60 * 60
"""Above this number of seconds memcached takes an expiry for a time since the epoch."""


def memcached_expiry(ttl: float) -> int:
    """Return the ``exptime`` for ``ttl`` seconds above 0: never shorter, up to two seconds longer.

    memcached's clock moves once a second, so that a whole second may be cut off.
    """
    whole = math.ceil(ttl) + 1
    return whole if whole <= MONTH else math.ceil(time.time()) + whole
