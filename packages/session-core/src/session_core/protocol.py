"""The commit protocol: which verbs, in which order, and what the client is told.

O is the id that the client sent, N a new one, K(x) the store key of id x, v the version that was
read. Three sentences carry it:

1. Only ``create`` under a fresh random id makes a key exist. Every other change is ``replace``
   with the version that was read.
2. An id ends by one ``replace``, record by dead record, never by ``delete``.
3. A response carries a cookie only for an id that its own last verb left alive, or for a logout.

==========================  =============================  ========================  ===========
operation                   verbs                          when refused              client
==========================  =============================  ========================  ===========
nothing changed             none                                                     nothing
first write, *new*          create(N)                      draw another id           issue N
write, *live*               replace(O, v, merged)          load(O): a record: merge  extend O
                                                           again; none or dead:
                                                           *gone*
rolling, on a read          replace(O, v, same data)       nothing                   extend O
atomic                      replace(O, v, f(merged))       as a write, f once more   extend O
renew, login                create(N, merged), then        delete(N), load(O): a     issue N
                            replace(O, v, renewed → K(N))  record: again, with
                                                           another N; none or dead:
                                                           *gone*, or for a login
                                                           create(N) with what this
                                                           request set
logout, at the call         replace(O, v, ended)           a record: again;          forget
                                                           renewed: end the
                                                           successor; else done
*gone*                      none, event "write dropped"                              nothing
time bound over             none left behind               ConflictTimeout           nothing
==========================  =============================  ========================  ===========

When a verb raises `StoreUnavailable`, none is repeated, with one exception: after an unknown
second step of a renewal one load(O) tells whether the dead record is there and is ours.

Merging works on the freshly loaded record. Its envelope stays, except for what this request
changed. A ``clear`` adds one to the epoch, and a commit that was opened in an older epoch is
dropped, unless it clears too or is a login.

A dead record lives for a minute (`session_core.ending`). Nothing depends on it but comfort: it
keeps a late request with the old id from starting a new session whose cookie would throw the user
out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .answer import NOTHING, Action, Answer, new_answer
from .backoff import Backoff
from .codec import encode_lines
from .ending import bury
from .errors import RecordTooLarge
from .ids import new_session_id, store_key
from .look import look
from .merge import Delta, find_delta, merge, patch, whole
from .record import Dead, Lines, Record, join_lines, read_body, time_to_live, write_record
from .session import UNKNOWN, Session
from .snapshot import Snapshot
from .terms import Terms

if TYPE_CHECKING:
    from .manager import SessionManager

__all__ = ["changed", "is_untouched", "write"]

Change = Callable[[dict[Any, Any]], Any]


def is_untouched(session: Session) -> bool:
    """Whether the session is certainly as it was loaded, and nothing was asked of it."""
    snapshot = session._snapshot
    return not (
        snapshot is None
        or session.session_modified
        or session._candidate is not None
        or session._idle is not None
        or session._status != "live"
        or snapshot.changed_inside(session)
    )


def changed(session: Session) -> bool:
    """Whether the session holds something that is not written."""
    base = session._snapshot
    if base is None:
        return bool(session) and session._status == "new"
    if session._status == "gone":
        return False
    return bool(find_delta(session, base))


def write(
    manager: SessionManager, session: Session, force: bool = False, change: Change | None = None
) -> Any:
    """Store what the session has changed, as the table says; return what ``change`` returned."""
    status = session._status
    base = None if status == "new" else session._snapshot
    if status == "live" and base is not None:
        return _update(manager, session, base, force, change)
    if status == "unsaved":
        return _drop(manager, session, change, "the store was unavailable")
    if status == "gone" and session._login is None:
        return _drop(manager, session, change, "the session had ended")
    own = lines = encode_lines(session)
    if base is not None:  # it went during this request: what was loaded is no longer ours
        lines = find_delta(session, base).only_set()
    if not (lines or force or change or session._login):
        session.session_modified = False
        return None
    return _create(manager, session, own, lines, force, change)


def _create(
    manager: SessionManager,
    session: Session,
    own: Lines,
    lines: Lines,
    force: bool,
    change: Change | None,
) -> Any:
    """Store ``lines`` under a fresh id; ``own`` are those of all that the session holds."""
    now = manager.clock()
    created: float | str = now
    terms = manager.terms
    if session._login or session._idle or session._persistent is not None:
        created, terms = _amended(created, terms, session, None)
    body = join_lines(lines)
    result = None
    if change is not None:
        result, lines, body = _apply(change, body)
        if not (lines or force or session._login):
            dict.clear(session)
            session.session_modified = False
            return result
    data = write_record(created, now, terms, body)
    if len(data) > manager.large_bytes:
        _check_size(manager, data)
    ttl = terms.idle
    if manager.absolute_timeout is not None:
        ttl = time_to_live(created, now, terms, manager.absolute_timeout)
    backoff: Backoff | None = None
    while True:
        session_id = session._candidate or new_session_id()
        key = store_key(session_id)
        if manager.store.create(key, data, ttl):
            break
        session._candidate = None
        backoff = backoff or Backoff(manager.wait)
        backoff.pause()
    if own is not lines:
        _show(session, own, lines, body)
    session._first = data
    _wrote(manager, session, session_id, key, ttl, terms.persistent)
    return result


def _update(
    manager: SessionManager, session: Session, base: Snapshot, force: bool, change: Change | None
) -> Any:
    """Store the changes of a session that was live when it was opened."""
    delta = find_delta(session, base)
    wanted = force or change or session.session_modified or session._idle or delta
    if not wanted and session._candidate is None:
        return _roll(manager, session, base)
    own: Lines | None = None
    key = session._key
    fresh: Snapshot | Dead | None = base
    version = session._version
    known = version is not UNKNOWN
    result = None
    backoff: Backoff | None = None
    while True:
        if not known:
            fresh, version = look(manager, key)
        if not isinstance(fresh, Snapshot):
            session._dead = fresh
            return _lost(manager, session, base, delta, change)
        outdated = (
            fresh is not base
            and fresh.record.terms.epoch > base.record.terms.epoch
            and not delta.cleared
        )
        if outdated and session._login is None:
            return _drop(manager, session, change, "the session was cleared meanwhile")
        body: str | None = None
        lines: Lines | None = None
        if fresh is base and change is None and not (base.shared or session._removed):
            body = patch(base, delta)
        if body is None:
            own = own or whole(session, base, delta)
            if outdated:
                lines = {**fresh.lines, **delta.only_set()}
            elif base.complete and fresh.record.body == base.record.body:
                lines = own
            else:
                lines = merge(fresh.lines, delta)
            body = join_lines(lines)
        now = manager.clock()
        created, terms = fresh.record.created, fresh.record.terms
        if delta.cleared or session._idle or session._login or session._persistent is not None:
            created, terms = _amended(created, terms, session, delta)
        ttl = terms.idle
        if manager.absolute_timeout is not None:
            ttl = time_to_live(created, now, terms, manager.absolute_timeout)
            if ttl <= 0:  # it has passed since the session was opened
                return _lost(manager, session, base, delta, change)
        if change is not None:
            result, lines, body = _apply(change, body)
        data = write_record(created, now, terms, body)
        if len(data) > manager.large_bytes:
            _check_size(manager, data)
        target, target_key = session._id or "", key
        if session._candidate is None:
            done = manager.store.replace(key, version, data, ttl)
        else:
            target = session._candidate
            target_key = store_key(target)
            done = manager.store.create(target_key, data, ttl)
            done = done and bury(manager, key, version, target_key, now)
        if done:
            record = Record(created, now, terms, body)
            snapshot = None
            if own is not None and lines is not None:
                if change is not None or outdated:
                    _show(session, own, lines, body)
                    own = lines
                elif own is lines and not session._removed and not delta.cleared:
                    snapshot = base.after(session, delta.lines, record, own)
            if snapshot is None:
                complete = own is lines or own == lines
                values = dict(session) if own is None else own
                snapshot = Snapshot(record, values, None, own, False, complete)
            else:
                manager.recent.put(target_key, data, snapshot)
            session._loaded = snapshot
            _wrote(manager, session, target, target_key, ttl, terms.persistent)
            return result
        manager.events.send("conflict", key)
        if session._candidate is not None:
            session._candidate = new_session_id()
        backoff = backoff or Backoff(manager.wait)
        backoff.pause()
        known = False


def _amended(
    created: float | str, terms: Terms, session: Session, delta: Delta | None
) -> tuple[float | str, Terms]:
    """Return when the record was created and its terms, with what this request changes of them."""
    changes: dict[str, Any] = {}
    if session._idle is not None:
        changes["idle"] = session._idle
    if delta is not None and delta.cleared:
        changes["epoch"] = terms.epoch + 1
    if session._login is not None:
        changes["owner"], created = session._login
    if session._persistent is not None:
        changes["persistent"] = session._persistent
    return created, terms.but(**changes)


def _roll(manager: SessionManager, session: Session, base: Snapshot) -> None:
    """Extend a session that was only read, at most once per tenth of its idle timeout."""
    now = manager.clock()
    version = session._version
    if (
        not manager.rolling
        or version is UNKNOWN
        or now - base.record.saved < base.record.terms.idle / 10
    ):
        return
    created, terms, body = base.record.created, base.record.terms, base.record.body
    if not (base.shared or base.is_lined):  # that is promised of large ones
        body = join_lines(base.lines)
    ttl = terms.idle
    if manager.absolute_timeout is not None:
        ttl = time_to_live(created, now, terms, manager.absolute_timeout)
    data = write_record(created, now, terms, body)
    if ttl > 0 and manager.store.replace(session._key, version, data, ttl):
        snapshot = base.extended(Record(created, now, terms, body))
        if base.shared:
            manager.recent.put(session._key, data, snapshot)
        session._loaded, session._version = snapshot, UNKNOWN
        session._answer = Answer("extend", session._id or "", ttl, terms.persistent)


def _apply(change: Change, body: str) -> tuple[Any, Lines, str]:
    """Call ``change`` with a copy of the data; return its result and the lines and the new body."""
    values = read_body(body)
    result = change(values)
    lines = encode_lines(values)
    return result, lines, join_lines(lines)


def _check_size(manager: SessionManager, data: bytes) -> None:
    """Refuse a record that is too large, and warn of one that is on the way."""
    if len(data) > manager.max_bytes:
        raise RecordTooLarge(
            f"the session takes {len(data)} bytes and max_bytes is {manager.max_bytes}; "
            "keep large things elsewhere and their keys in the session"
        )
    manager.large.note()


def _wrote(
    manager: SessionManager,
    session: Session,
    session_id: str,
    key: str,
    seconds: float,
    persistent: bool | None,
) -> None:
    """Note that what the session holds is stored under this id, for ``seconds``."""
    action: Action = "issue"
    if session_id == session._id:
        told = session._answer.action  # an id that was issued earlier in this request still is
        if told != "issue" and session._persistent is None:
            action = "extend"
    else:
        name = "logged in" if session._login else "renewed" if session._id else "created"
        manager.events.send(name, key)
        if session._id is not None:
            manager.recent.forget(session._key)
    session._answer = new_answer((action, session_id, seconds, persistent))
    session._status, session._version = "live", UNKNOWN
    session._id, session._key, session._candidate = session_id, key, None
    session._idle = session._login = session._dead = session._persistent = None
    session._assigned.clear()
    session._cleared = session._removed = session.session_modified = False
    session.session_is_saved = True


def _show(session: Session, own: Lines, lines: Lines, body: str) -> None:
    """Make the session hold what was stored, but keep the objects whose value is the same."""
    values = read_body(body)
    for key, line in lines.items():
        if own.get(key) == line:
            values[key] = session[key]
    dict.clear(session)
    dict.update(session, values)


def _lost(
    manager: SessionManager,
    session: Session,
    base: Snapshot,
    delta: Delta,
    change: Change | None,
) -> Any:
    """The session ended after it was opened."""
    if session._login is not None:
        own = whole(session, base, delta)
        return _create(manager, session, own, delta.only_set(), False, change)
    session._status = "gone"
    return _drop(manager, session, change, "the session ended meanwhile")


def _drop(manager: SessionManager, session: Session, change: Change | None, detail: str) -> Any:
    """Keep nothing, say so if there was something, and tell the client nothing."""
    result = change(dict(session)) if change is not None else None
    if change or session.session_modified or session._candidate or len(session):
        manager.events.send("write dropped", session._key, detail)
    session._candidate = session._idle = None
    session.session_modified = False
    session._answer = NOTHING
    return result
