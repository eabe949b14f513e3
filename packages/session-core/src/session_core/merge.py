"""What a request has changed, and how that goes into data that others have changed meanwhile.

The unit is a top-level key. A key counts as changed when its line in the record would differ
from the one that was loaded: the same test finds assignments and nested changes, and sees that
an equal value is no change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .codec import encode_field, encode_lines
from .record import Lines
from .session import Session
from .snapshot import Snapshot

__all__ = ["Delta", "find_delta", "merge", "patch", "whole"]


class Delta:
    """What this request has changed.

    - ``lines``: the keys that were set or changed, with their new lines.
    - ``nested``: those of them that were only changed in place.
    - ``places``: where the old lines of those that are not new, and of some that have not changed,
      are in the body that was loaded. For large ones only.
    """

    deleted: Sequence[Any] = ()
    nested: Collection[Any] = ()
    cleared = False
    places: dict[Any, tuple[int, int]]

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def __bool__(self) -> bool:
        return bool(self.lines or self.deleted or self.cleared)

    def only_set(self) -> Lines:
        """The keys that this request assigned itself."""
        return {key: line for key, line in self.lines.items() if key not in self.nested}


def find_delta(session: Session, snapshot: Snapshot) -> Delta:
    """Return what differs between the session and what was loaded. Raises `UnstorableValue`.

    What may differ are the keys that were assigned, and the values that may change in place.
    """
    if session._cleared:
        delta = Delta(encode_lines(session))
        delta.cleared = True
        return delta
    before = snapshot.values
    keys: Collection[Any]
    keys = assigned = session._assigned
    inside = snapshot.changed_inside(session)
    if inside or len(assigned) != 1 or type(next(iter(assigned))) is not str:
        # In the session's order, and of keys that are equal, as 1 and True are, the one it has.
        every = assigned.union(inside)
        keys = [key for key in session if key in every]
    delta = Delta({})
    if not snapshot.shared:
        delta.places = {}
    nested = []
    at = end = 0
    for key in keys:
        if key not in session:
            continue
        start, line = encode_field(key, session[key])
        if key in before:
            if not snapshot.shared:  # a small one has its lines at hand
                at, end = delta.places[key] = snapshot.find_line(start)
            if (snapshot.record.body[at:end] if at else snapshot.lines[key]) == line:
                continue
            if key not in assigned:
                if not at and snapshot.differs_in_blanks(key, line):
                    continue
                nested.append(key)
        delta.lines[key] = line
    if nested:
        delta.nested = set(nested)
    if session._removed:
        delta.deleted = [key for key in before if key not in session]
    return delta


def patch(snapshot: Snapshot, delta: Delta) -> str | None:
    """Return the body with the changed lines in it, or None if that takes more than that.

    For a request that has removed no key: then the session has the order of the body. Nothing of
    the rest is looked at, which for a large session saves most of the time.
    """
    if delta.deleted or delta.cleared or not snapshot.is_lined:
        return None
    body = snapshot.record.body
    moved = 0  # by how much the lines before have become longer
    for key, (at, end) in delta.places.items():  # in the order of the body
        line = delta.lines.get(key)
        if line is None:
            continue
        if not at:  # it is called otherwise there, as True and 1 are one key
            return None
        body = f"{body[: at + moved]}{line}{body[end + moved :]}"
        moved += len(line) - (end - at)
    for key, line in delta.lines.items():
        if key not in delta.places:
            body = f"{body[:-1]},\n{line}}}"
    return body


def whole(session: Session, snapshot: Snapshot, delta: Delta) -> Lines:
    """Return the lines of the session as this request sees it, in its own order."""
    if delta.cleared:
        return delta.lines
    lines = {**snapshot.lines, **delta.lines}
    return {key: lines[key] for key in session} if session._removed else lines


def merge(fresh: Lines, delta: Delta) -> Lines:
    """Return the lines of a freshly loaded record with the delta put into them.

    A nested change of a key that was deleted meanwhile is dropped.
    """
    merged = {} if delta.cleared else dict(fresh)
    for key in delta.deleted:
        merged.pop(key, None)
    for key, line in delta.lines.items():
        if key in merged or key not in delta.nested:
            merged[key] = line
    return merged
