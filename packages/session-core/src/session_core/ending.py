"""How an id ends: one ``replace``, record by dead record. See `session_core.protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .answer import FORGET
from .backoff import Backoff
from .errors import StoreUnavailable
from .look import look
from .record import Dead
from .session import UNKNOWN, DeletedSession, Session

if TYPE_CHECKING:
    from .manager import SessionManager

__all__ = ["DEAD_SECONDS", "bury", "end"]

DEAD_SECONDS: Final = 60
"""How long an ended id is remembered."""


def bury(manager: SessionManager, key: str, version: Any, successor: str, now: float) -> bool:
    """End the old id in favour of ``successor``; if it has changed, remove that and say False."""
    dead = Dead("renewed", now, successor).to_bytes()
    try:
        if manager.store.replace(key, version, dead, DEAD_SECONDS):
            return True
    except StoreUnavailable:
        found, _ = look(manager, key)
        if isinstance(found, Dead) and found.next == successor:
            return True
        raise
    manager.store.delete(successor)
    return False


def end(manager: SessionManager, session: Session) -> None:
    """Log out: end the id, whatever it has become meanwhile, and empty the session."""
    key: str | None = None
    version = None
    known = last = False
    if session._status == "live" and session._snapshot is not None:
        key = session._key
        version = session._version
        known = version is not UNKNOWN
    elif session._status == "gone" and session._dead is not None:
        key = session._dead.next
    backoff = Backoff(manager.wait)
    while key is not None:
        if not known:
            found, version = look(manager, key)
            if isinstance(found, Dead):
                key = found.next
                backoff.pause()
                continue
            if version is None:
                break
            last = found is None  # timed out or damaged: no session for anybody, so one try will do
        dead = Dead("ended", manager.clock()).to_bytes()
        if manager.store.replace(key, version, dead, DEAD_SECONDS):
            manager.recent.forget(key)
            manager.events.send("logged out", key)
            break
        if last:
            break
        known = False
        backoff.pause()
    dict.clear(session)
    session._answer = FORGET
    session._candidate = session._login = None
    session.session_modified = False
    session.session_deleted = True
    session.__class__ = DeletedSession
