"""The session: a dict that the handler works with.

It is a real dict, loaded in full when it is opened, so that reading costs what reading a dict
costs and everything written in C (``len``, ``==``, ``json.dumps``, ``{**session}``) is right.
Only the methods that change it are overridden, to note that it was changed and which keys were
assigned. What has changed is found at commit, by comparing with what was loaded: so nested
changes need no note.

The names that are not a dict's own begin with ``session_``. The rules live in
`session_core.manager`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Never, Self, TypeVar

from .errors import SessionClosed, SessionDeleted, StoreUnavailable
from .snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from .answer import Answer
    from .manager import SessionManager
    from .record import Dead

__all__ = ["UNKNOWN", "Session"]

T = TypeVar("T")

Status = Literal["new", "live", "gone", "unsaved"]

_set_item = dict.__setitem__

UNKNOWN: Final = object()
"""The version of a record that this request wrote itself: a store tells it with `load` only."""


class Session(dict[Any, Any]):
    """One visitor's data, kept between requests.

    In a web request you are handed one. Outside of a request, ``Session(backing, session_id)``
    opens one by hand: ``backing`` is a store or anything that carries one in its attribute
    ``store`` (default: one store in memory that the whole process shares), ``session_id`` the id
    of a stored session (default, and when there is no such session: a new one). Call
    `session_save` when you are done.

    Raises `ConfigurationError` if ``backing`` is no store and `StoreUnavailable` if the store
    cannot be asked.
    """

    __slots__ = (
        "_answer",
        "_assigned",
        "_candidate",
        "_cleared",
        "_dead",
        "_fault",
        "_first",
        "_id",
        "_idle",
        "_key",
        "_loaded",
        "_login",
        "_manager",
        "_once",
        "_persistent",
        "_removed",
        "_renewed",
        "_status",
        "_version",
        "session_backing",
        "session_deleted",
        "session_is_saved",
        "session_modified",
    )

    session_modified: bool
    """Whether something was changed through the dict's own methods since the last save. Set it
    to True to save, and so extend, a session that was not changed."""
    session_deleted: bool
    """Whether `session_delete` was called in this request."""
    session_is_saved: bool
    """Whether this request has written the session to the store."""
    session_backing: Any
    """What the session was opened from: a store, or what carries one."""

    _manager: SessionManager
    _once: bool  # whether a fault of the store counts for as long as the session is used
    _persistent: bool | None  # set by this request
    _renewed: bool  # whether this request asked for a new id
    _status: Status
    _id: str | None  # in the store, and to the client
    _key: str  # under which the store keeps it, or nothing if it does not
    _candidate: str | None  # drawn for the next create
    _loaded: Snapshot | None  # what the store held when we last looked, or what we wrote since
    _first: bytes | None  # the record that this request has created, which counts before that
    _version: Any  # the store's of either, or UNKNOWN
    _dead: Dead | None  # why it is gone
    _fault: StoreUnavailable | None  # what the store said to this request
    _idle: float | None  # set by this request
    _login: tuple[str, float] | None  # owner and when, by this request
    _answer: Answer  # what to tell the client so far
    _assigned: set[Any]
    _cleared: bool
    _removed: bool  # whether a key was removed, which may come back at another place

    def __init__(self, backing: Any = None, session_id: str | None = None) -> None:
        from .manager import SessionManager, default_manager

        if isinstance(backing, dict):
            raise TypeError(
                "Session(backing, session_id) takes a store, not data; "
                "write session = Session() and then session.update({...})"
            )
        manager = default_manager() if backing is None else SessionManager(backing)
        manager.open_into(self, (session_id,))

    @property
    def _snapshot(self) -> Snapshot | None:
        if self._first is not None:  # few requests ask after their first write
            written, self._first = read_snapshot(self._first), None
            self._loaded = written if isinstance(written, Snapshot) else None
        return self._loaded

    # -- what a handler can ask ------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The id: of the stored session, or the one that it will get when it is stored.

        After `session_regenerate` it is the new one at once. It is a secret: who knows it can
        use the session.
        """
        return self._manager.id_of(self)

    @property
    def session_gone(self) -> bool:
        """Whether the session ended under this request, by a logout or renewal elsewhere.

        What is written to it is dropped, and `session_login` starts afresh. It is empty if that was
        known when it was opened; a commit that finds out leaves the data that it had.
        """
        return self._status == "gone"

    @property
    def session_owner(self) -> str | None:
        """Whom `session_login` named, or None."""
        if self._login is not None:
            return self._login[0]
        return None if self._snapshot is None else self._snapshot.record.terms.owner

    @property
    def session_authenticated_at(self) -> float | None:
        """When `session_login` was last called, in seconds since the epoch, or None."""
        if self._login is not None:
            return self._login[1]
        if self._snapshot is None or self._snapshot.record.terms.owner is None:
            return None
        return float(self._snapshot.record.created)  # a login starts that clock again

    def session_fresh(self, seconds: float | timedelta) -> bool:
        """Whether the login is at most ``seconds`` (or a timedelta) ago.

        For sensitive actions: ask for the password again if it is not (ASVS 5.0, 7.5.3), and call
        `session_login` again when it was right.
        """
        limit = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        at = self.session_authenticated_at
        return at is not None and self._manager.clock() - at <= limit

    @property
    def session_expires_in(self) -> float | None:
        """Seconds until the stored session ends if nothing extends it; None if none is stored."""
        return self._manager.time_left(self)

    @property
    def session_persistent(self) -> bool | None:
        """Whether the client keeps the session when it is closed ("remember me").

        None (the default) leaves it to the application's option. Set it to True or False: it
        takes effect with the next commit and stays with the session, also after a renewal.
        """
        if self._persistent is None and self._snapshot is not None:
            return self._snapshot.record.terms.persistent
        return self._persistent

    @session_persistent.setter
    def session_persistent(self, value: bool) -> None:
        self._manager.persist(self, value)

    # -- what a handler can do -------------------------------------------------------------

    def session_save(self, expire: float | timedelta | None = None, force: bool = False) -> None:
        """Write the session now, if it was changed, or in any case with ``force``.

        ``expire`` (seconds, or a timedelta) becomes this session's own idle timeout, for the
        record and for the cookie, from this write on; None and 0 leave it as it is. Without a
        call, the session is saved at the end of the request.

        Raises `UnstorableValue`, `RecordTooLarge` or `StoreUnavailable`; the stored session is
        then as it was.
        """
        self._manager.save(self, expire=expire or None, force=force)

    def session_atomic(self, function: Callable[[dict[Any, Any]], T]) -> T:
        """Read, change and write in one step that no parallel request can come between.

        ``function`` gets a plain dict: the freshest stored data with what this request has
        changed so far. It changes that dict in place. If another request stores in between, it is
        called again, with fresher data, until its result sticks: so it should do nothing but
        compute. Its last return value is returned, and the session then holds what was stored.
        If ``function`` raises, nothing is written and the error is passed on.

        On a session that is gone the result is dropped, as every write: see `session_gone`.
        Raises `ConflictTimeout` when others were faster until the time bound.
        """
        return self._manager.atomic(self, function)

    def session_regenerate(self) -> None:
        """Give the session a new id and keep its data, as after a change of privileges.

        The id changes at once. The store follows at the end of the request, which also ends the
        old id, so that a handler that fails leaves the visitor with a working session.
        """
        self._manager.renew(self)

    def session_login(self, owner: str) -> None:
        """Record who has logged in: ``owner`` (any text), a new id, and both clocks restarted.

        The store follows at the end of the request; the old id is dead from then on. Call it at
        every authentication (ASVS 5.0, 7.2.4).
        """
        self._manager.login(self, owner)

    def session_delete(self) -> None:
        """End the session: its data leaves the store at once, the response removes the cookie.

        It cannot be used afterwards: touching it raises `SessionDeleted`. Raises
        `StoreUnavailable` if the store cannot be asked, and the session is then not ended.
        """
        self._manager.delete(self)

    def session_logout(self) -> None:
        """The same as `session_delete`."""
        self._manager.delete(self)

    # -- the dict's own methods that change it ---------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        _set_item(self, key, value)
        self.session_modified = True
        self._assigned.add(key)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        self.session_modified = self._removed = True

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """As ``dict.update``."""
        changes = dict(*args, **kwargs)
        dict.update(self, changes)
        self.session_modified = True
        self._assigned.update(changes)

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """As ``dict.setdefault``."""
        if key not in self:
            self._assigned.add(key)
        value = dict.setdefault(self, key, default)
        self.session_modified = True
        return value

    def pop(self, *args: Any) -> Any:
        """As ``dict.pop``."""
        value = dict.pop(self, *args)
        self.session_modified = self._removed = True
        return value

    def popitem(self) -> tuple[Any, Any]:
        """As ``dict.popitem``."""
        item = dict.popitem(self)
        self.session_modified = self._removed = True
        return item

    def clear(self) -> None:
        """As ``dict.clear``, and also for requests that run at the same time.

        What they change in data from before is dropped, so that nothing cleared comes back.
        """
        dict.clear(self)
        self.session_modified = True
        self._assigned.clear()
        self._cleared = True

    # -- copies are plain dicts ------------------------------------------------------------

    fromkeys = staticmethod(dict.fromkeys)  # type: ignore[assignment]

    def copy(self) -> dict[Any, Any]:
        """Return the data as a plain dict."""
        return dict(self)

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ClosedSession(Session):
    """A session after its response has left: it can be read, and a change raises."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> Never:
        raise SessionClosed(
            "the response headers have left, so this change to the session cannot be kept; "
            "change it before the first chunk of the response, or call session.session_save() "
            "there"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse
    session_regenerate = session_login = _refuse

    def session_save(self, expire: float | timedelta | None = None, force: bool = False) -> None:
        """As `Session.session_save`, but it cannot give a visitor a first session."""
        if self._status == "new" and (force or len(self)):
            self._refuse()
        super().session_save(expire, force)

    def session_atomic(self, function: Callable[[dict[Any, Any]], T]) -> T:
        """As `Session.session_atomic`, but it cannot give a visitor a first session."""
        if self._status == "new":
            self._refuse()
        return super().session_atomic(function)


class DeletedSession(Session):
    """A session after `Session.session_delete`: touching it raises."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> Never:
        raise SessionDeleted(
            "this session was deleted earlier in this request; "
            "to go on with a new one, redirect to another page"
        )

    def __repr__(self) -> str:
        return "<deleted session>"

    __getitem__ = __setitem__ = __delitem__ = __contains__ = _refuse
    __iter__ = __len__ = __reversed__ = __eq__ = __ne__ = _refuse
    __or__ = __ror__ = __ior__ = __copy__ = __deepcopy__ = _refuse
    __reduce_ex__ = _refuse
    get = keys = values = items = copy = _refuse
    update = setdefault = pop = popitem = clear = _refuse
    session_save = session_atomic = session_regenerate = session_login = _refuse
