"""The life of a session, without any web framework.

    manager = SessionManager(MemoryStore(), idle_timeout=1800)
    session = manager.open(id_from_client)      # None, or any text, is fine
    session["seen"] = session.get("seen", 0) + 1
    answer = manager.commit(session)            # says what to tell the client

`open` hands out a session in one of four states:

========  ================================================================================
new       no id, or an id that the store does not have: empty, and a fresh id at the first write
live      the stored data
gone      the id has just ended, by a logout or a renewal: empty, and writes are dropped
unsaved   from `unsaved`, for a request during an outage: empty, and writes are dropped
========  ================================================================================

An id that the store does not know is never adopted. What the verbs do is in
`session_core.protocol`.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeVar

from .answer import NOTHING, Answer
from .ending import end
from .errors import ConfigurationError, StoreUnavailable
from .events import EventHook, Events
from .guard import GuardedStore
from .ids import is_session_id, key_of, new_session_id
from .look import look
from .memory import MemoryStore
from .protocol import changed, is_untouched, write
from .record import Dead
from .session import ClosedSession, Session
from .snapshot import Recent, Snapshot
from .store import find_store
from .terms import LAST, Terms
from .throttle import ThrottledLog

__all__ = ["SessionManager", "default_manager", "seconds"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BYTES: Final = 1024 * 1024

MAX_CANDIDATES: Final = 8
"""How many ids of one client are looked up: a browser may send cookies of several paths."""


class SessionManager:
    """Opens sessions and commits them, by the rules of `session_core.protocol`.

    - ``store``: where records go; a store, or an object with one in its attribute ``store``.
    - ``idle_timeout``: how long a session lives after its last write. Default 300 seconds.
    - ``absolute_timeout``: how long at most after it was created or logged in (ASVS 5.0, 7.3.2).
      Default None: no limit.
    - ``rolling``: whether reading extends a session too, by at most one write per tenth of its
      idle timeout. Default False.
    - ``max_bytes``: the largest record that is stored. Default 1 MiB; a warning comes at half.
    - ``wait``: seconds that one commit may go on trying against other writers. Default 2.
    - ``clock``: returns seconds since the epoch.
    - ``on_event``: called with each `Event`.

    Durations are seconds (int or float) or timedelta. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        store: Any,
        *,
        idle_timeout: float | timedelta = 300,
        absolute_timeout: float | timedelta | None = None,
        rolling: bool = False,
        max_bytes: int = MAX_BYTES,
        wait: float | timedelta = 2,
        clock: Callable[[], float] = time.time,
        on_event: EventHook | None = None,
    ) -> None:
        self.backing = store
        self.store: Final = GuardedStore(find_store(store))
        self.idle_timeout: Final = seconds("idle_timeout", idle_timeout)
        self.absolute_timeout: Final = (
            None if absolute_timeout is None else seconds("absolute_timeout", absolute_timeout)
        )
        self.rolling: Final = rolling
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise ConfigurationError(f"max_bytes must be a whole number above 0, not {max_bytes!r}")
        self.max_bytes: Final = max_bytes
        self.large_bytes: Final = max_bytes // 2
        self.wait: Final = seconds("wait", wait)
        self.recent: Final = Recent()
        self.terms: Final = Terms(self.idle_timeout)
        self.clock: Final = clock
        self.events: Final = Events(on_event)
        self.large: Final = ThrottledLog(
            logger, "%d sessions were larger than half of max_bytes; larger ones will be refused"
        )

    def open(self, *session_ids: str | None) -> Session:
        """Return the session of an id that a client presented.

        When a client presents several, the first live one counts, or else a gone one. Raises
        `StoreUnavailable` if the store cannot be asked.
        """
        return self.open_into(Session.__new__(Session), session_ids)

    def open_into(self, session: Session, session_ids: Sequence[str | None]) -> Session:
        """`open`, for an object that exists already."""
        session._manager = self
        session._status = "new"
        session._key = ""
        session._id = session._candidate = session._dead = None
        session._loaded = session._first = session._version = None
        session._idle = session._login = session._fault = session._persistent = None
        session._once = session._renewed = session._cleared = session._removed = False
        session._assigned = set()
        session._answer = NOTHING
        session.session_modified = session.session_deleted = session.session_is_saved = False
        session.session_backing = self.backing
        if len(session_ids) > 1:
            session_ids = self._select(session_ids)
        for session_id in session_ids:
            if not session_id:
                continue
            key = key_of(session_id)
            if key is None:
                self.events.send("unknown", detail="it has not the shape of an id")
                continue
            try:
                found, version = look(self, key)
            except StoreUnavailable as fault:
                self.fail(fault)
            if type(found) is Snapshot:
                found.fill(session)
                session._status = "live"
                session._id = session_id
                session._key = key
                session._loaded = found
                session._version = version
                session._dead = None
                return session
            if isinstance(found, Dead) and session._dead is None:
                session._status, session._id, session._key = "gone", session_id, key
                session._dead = found
            elif version is None:
                self.events.send("unknown", key)
        return session

    def _select(self, session_ids: Sequence[str | None]) -> list[str]:
        """Return the few ids of one client that are looked up; of the misshapen ones, the first."""
        ids: list[str] = []
        misshapen: list[str] = []
        for each in dict.fromkeys(session_ids):
            if each:
                (ids if is_session_id(each) else misshapen).append(each)
        return misshapen[:1] + ids[:MAX_CANDIDATES]

    def unsaved(self) -> Session:
        """Return an empty session that will not be stored, for a request during an outage."""
        session = self.open()
        session._status = "unsaved"
        return session

    def commit(self, session: Session, *, failed: bool = False) -> Answer:
        """Write what has changed, and return what to tell the client.

        ``failed``: the request ended in an error, so nothing more is written. What was saved or
        ended earlier stands, and the answer says so.

        Raises `UnstorableValue`, `RecordTooLarge` or `StoreUnavailable`; the stored session is
        then as it was before.
        """
        if failed or session.session_deleted:
            return session._answer
        if session.session_modified or self.rolling or not is_untouched(session):
            self._write(session)
        return session._answer

    def is_anonymous(self, session: Session) -> bool:
        """Whether nothing of this visitor is stored, and neither login nor new id was asked for."""
        wanted = session._login is not None or session._renewed
        return session._status in ("new", "unsaved") and not wanted

    def close(self, session: Session) -> None:
        """Refuse changes from now on: the response headers have left."""
        if not session.session_deleted:
            session.__class__ = ClosedSession

    def has_changed(self, session: Session) -> bool:
        """Whether the session holds something that was not committed."""
        return not (session.session_deleted or is_untouched(session)) and changed(session)

    def save(
        self, session: Session, *, expire: float | timedelta | None = None, force: bool = False
    ) -> Answer:
        """Commit now. ``expire`` becomes the session's own idle timeout; ``force`` writes a
        session that has not changed, too."""
        if session.session_deleted:
            return session._answer
        if expire is not None:
            session._idle = seconds("expire", expire)
        self._write(session, force)
        return session._answer

    def atomic(self, session: Session, function: Callable[[dict[Any, Any]], T]) -> T:
        """Apply ``function`` to the freshest data until it sticks: `Session.session_atomic`."""
        result: T = self._write(session, change=function)
        return result

    def renew(self, session: Session) -> str:
        """Give the session a new id, which is returned and takes effect at the next commit."""
        self._refuse_unsaved(session)
        if session._status != "gone":
            session._candidate = new_session_id()
            session._renewed = True
        return self.id_of(session)

    def login(self, session: Session, owner: str) -> str:
        """Record an owner, renew the id and restart both clocks: `Session.session_login`."""
        self._refuse_unsaved(session)
        if not isinstance(owner, str) or not owner:
            raise ConfigurationError("session_login(owner) takes the user's name or id, as text")
        session._login = owner, self.clock()
        session._candidate = new_session_id()
        return session._candidate

    def delete(self, session: Session) -> Answer:
        """End the session now, in the store as well. A second call changes nothing."""
        if not session.session_deleted:
            self._refuse_unsaved(session)
            if session._fault is not None:
                raise session._fault
            try:
                end(self, session)
            except StoreUnavailable as fault:
                self._remember(session, fault)
        return session._answer

    def persist(self, session: Session, value: bool) -> None:
        """Set `Session.session_persistent`."""
        if not isinstance(value, bool):
            raise ConfigurationError("session_persistent is True or False")
        session._persistent = value
        session.session_modified = True

    def time_left(self, session: Session) -> float | None:
        """Return `Session.session_expires_in`."""
        if session._snapshot is None or session._status != "live":
            return None
        return max(session._snapshot.record.expires(self.absolute_timeout) - self.clock(), 0)

    def id_of(self, session: Session) -> str:
        """Return the session's id; one that is not stored yet gets its id here."""
        if session._candidate is None:
            if session._id is not None:
                return session._id
            session._candidate = new_session_id()
        return session._candidate

    def fail(self, fault: StoreUnavailable) -> NoReturn:
        """Report that the store could not be asked, and raise.

        A layer for a framework may override this to raise a subclass of `StoreUnavailable` that
        its framework understands.
        """
        self.events.send("unavailable", detail=str(fault))
        raise fault

    def _write(
        self,
        session: Session,
        force: bool = False,
        change: Callable[[dict[Any, Any]], Any] | None = None,
    ) -> Any:
        """Ask the store to `write`; within one request not again after it could not answer."""
        if session._fault is not None:
            raise session._fault
        try:
            return write(self, session, force, change)
        except StoreUnavailable as fault:
            self._remember(session, fault)

    def _remember(self, session: Session, fault: StoreUnavailable) -> NoReturn:
        try:
            self.fail(fault)
        except StoreUnavailable as raised:
            if session._once:
                session._fault = raised
            raise

    def _refuse_unsaved(self, session: Session) -> None:
        if session._status == "unsaved":
            self.fail(StoreUnavailable("the session store was unavailable when this request began"))


def default_manager() -> SessionManager:
    """Return the manager of the store in memory that ``Session()`` uses."""
    with _default_lock:
        return _new_default_manager()


_default_lock = threading.Lock()


@functools.cache
def _new_default_manager() -> SessionManager:
    return SessionManager(MemoryStore())


def seconds(name: str, duration: float | timedelta) -> float:
    """Return a duration in seconds. Raises `ConfigurationError` unless it is above 0."""
    value = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(
            f"{name} must be a number of seconds above 0, or a timedelta, not {duration!r}"
        )
    return min(value if type(value) in (int, float) else float(value), LAST)
