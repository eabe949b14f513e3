"""What happens to sessions, for logs, metrics and alarms.

Every event goes to the logger ``session_core.events`` and, if there is one, to the hook that was
given to the manager. An event names its session by a short hash, salted with what the manager
draws when it is made: lines about one session can be told to belong together, and nobody can go
back from one to the id (OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle").
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["Event", "EventHook", "Events"]

logger = logging.getLogger(__name__)

_LEVELS: Final = {
    "created": logging.DEBUG,
    "unknown": logging.INFO,
    "expired": logging.INFO,
    "renewed": logging.INFO,
    "logged in": logging.INFO,
    "logged out": logging.INFO,
    "conflict": logging.DEBUG,
    "damaged": logging.WARNING,
    "signature refused": logging.WARNING,
    "write dropped": logging.WARNING,
    "unavailable": logging.ERROR,
}


class Event(NamedTuple):
    """One thing that happened.

    ``name`` is one of: created, unknown (an id that the store does not know, or what cannot be an
    id), expired, renewed, logged in, logged out, conflict (a write had to be merged), damaged (an
    unreadable record), signature refused (a cookie that we did not sign), write dropped (the
    session was gone), unavailable (the store). ``reference`` is the short hash of the session, or
    empty; ``detail`` says more, in words, without any data.
    """

    name: str
    reference: str = ""
    detail: str = ""


EventHook = Callable[[Event], None]


class Events:
    """Sends events on."""

    def __init__(self, hook: EventHook | None) -> None:
        self.hook = hook
        self._salt = os.urandom(16)

    def send(self, name: str, key: str = "", detail: str = "") -> None:
        """Log the event and call the hook; ``key`` is the store key of the session."""
        level = _LEVELS[name]
        if self.hook is None and not logger.isEnabledFor(level):
            return
        reference = self._reference(key) if key else ""
        logger.log(level, "session %s: %s%s", reference or "-", name, detail and f" ({detail})")
        if self.hook is not None:
            try:
                self.hook(Event(name, reference, detail))
            except Exception:  # an observer must not decide over the session
                logger.exception("the event hook failed")

    def _reference(self, key: str) -> str:
        from hashlib import blake2s  # it loads OpenSSL, and most programs hear of no event

        return blake2s(key.encode(), key=self._salt, digest_size=6).hexdigest()
