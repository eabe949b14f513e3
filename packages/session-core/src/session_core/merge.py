"""What a request has changed, and how that goes into data that others have changed meanwhile.

The unit is a top-level key. A key counts as changed when its line in the record would differ
from the one that was loaded: the same test finds assignments and nested changes, and sees that
an equal value is no change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from .accelerator import fingerprint
from .codec import decode, encode_field
from .record import Lines, Record, find_line

__all__ = ["Delta", "Snapshot", "encode_lines", "find_delta", "merge", "patch", "whole"]

Prints = dict[Any, bytes | None]
"""The fingerprints of those values that may change in place; None where there can be none."""

_CHANGEABLE: Final = frozenset({list, dict, set, tuple})
"""Types of loaded values that may change in place, a tuple by what is in it."""

_ATOMS: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types of values, whoever made them, that cannot."""


class Snapshot:
    """What the store held when this request last looked, or what it wrote since.

    - ``values``: what was loaded; the very objects that the session handed out.
    - ``prints``: their fingerprints as they were then; None if they were not taken.
    - ``written``: whether this request wrote it, so that the store's version of it is unknown.
    - ``complete``: whether ``values`` is all of the record: not after a merge with the keys of
      another request.
    """

    __slots__ = (
        "_is_lined",
        "_lines",
        "complete",
        "prints",
        "record",
        "values",
        "version",
        "written",
    )

    def __init__(
        self,
        record: Record,
        version: Any,
        values: dict[Any, Any],
        prints: Prints | None = None,
        written: bool = False,
        complete: bool = True,
        lines: Lines | None = None,
    ) -> None:
        self.record = record
        self.version = version
        self.values = values
        self.prints = prints
        self.written = written
        self.complete = complete
        self._lines = lines
        self._is_lined: bool | None = None

    @property
    def lines(self) -> Lines:
        """The lines of ``values`` as they were then, whatever has happened to the values since."""
        if self._lines is None:
            self._lines = self.record.lines(self.values)
        return self._lines

    def changed_inside(self) -> list[Any]:
        """Return the keys of the values that may have changed in place: all that have, or more."""
        values = self.values
        if self.prints is None:
            return [key for key, value in values.items() if type(value) not in _ATOMS]
        changed = []
        for key, known in self.prints.items():
            if known is None or fingerprint(values[key]) != known:
                changed.append(key)
        return changed

    @property
    def is_lined(self) -> bool:
        """Whether the body is for certain one line for each of the values."""
        if self._is_lined is None:
            self._is_lined = self.complete and self.record.is_lined(self.values)
        return self._is_lined

    def find_line(self, start: str) -> tuple[int, int]:
        """Return where the line that begins with ``start`` is in the body, or (0, 0)."""
        return find_line(self.record.body, start) if self.is_lined else (0, 0)

    def has_line(self, key: Any, line: str, at: int, end: int) -> bool:
        """Whether the line of ``key`` is ``line``; ``at`` and ``end``: as `find_line` said."""
        if at:
            return end - at == len(line) and self.record.body.startswith(line, at)
        return self.lines[key] == line

    def differs_in_blanks(self, key: Any, line: str) -> bool:
        """Whether the stored line is ``line`` with blanks in it, by some other writer."""
        stored = self.lines[key]
        return " " in stored and encode_lines(decode(f"{{{stored}}}")).get(key) == line


def take_prints(values: dict[Any, Any]) -> Prints:
    """Return the fingerprints of the values that may change in place."""
    prints: Prints = {}
    for key, value in values.items():
        if type(value) in _CHANGEABLE:
            prints[key] = fingerprint(value)
    return prints


class Delta:
    """What this request has changed.

    - ``lines``: the keys that were set or changed, with their new lines.
    - ``nested``: those of them that were only changed in place.
    - ``places``: where the old lines of those that are not new are in the body that was loaded.
    """

    deleted: Sequence[Any] = ()
    nested: Collection[Any] = ()

    def __init__(self, lines: Lines, cleared: bool = False) -> None:
        self.lines = lines
        self.cleared = cleared
        self.places: dict[Any, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self.lines or self.deleted or self.cleared)

    def only_set(self) -> Lines:
        """The keys that this request assigned itself."""
        return {key: line for key, line in self.lines.items() if key not in self.nested}


def encode_lines(values: dict[Any, Any]) -> Lines:
    """Return the lines of ``values``. Raises `UnstorableValue`."""
    return {key: encode_field(key, value)[1] for key, value in values.items()}


def find_delta(
    session: dict[Any, Any], snapshot: Snapshot, assigned: set[Any], cleared: bool
) -> Delta:
    """Return what differs between the session and what was loaded. Raises `UnstorableValue`.

    What may differ are the keys that were ``assigned``, and the values that may change in place.
    """
    if cleared:
        return Delta(encode_lines(session), cleared=True)
    before = snapshot.values
    suspects = snapshot.changed_inside()
    if suspects or len(assigned) != 1 or type(next(iter(assigned))) is not str:
        # In the session's order, and of keys that are equal, as 1 and True are, the one it has.
        every = assigned.union(suspects)
        suspects = [key for key in session if key in every]
    else:
        suspects = [key for key in assigned if key in session]
    delta = Delta({})
    nested = []
    new = at = end = 0
    for key in suspects:
        value = session[key]
        known = key in before
        same = known and before[key] is value
        new += not known
        start, line = encode_field(key, value)
        if known:
            at, end = snapshot.find_line(start)
            if snapshot.has_line(key, line, at, end):
                continue
            if same and not at and snapshot.differs_in_blanks(key, line):
                continue
            delta.places[key] = at, end
        delta.lines[key] = line
        if same and key not in assigned:
            nested.append(key)
    if nested:
        delta.nested = set(nested)
    if len(session) - new < len(before):
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
        if not at:  # it is called otherwise there, as True and 1 are one key
            return None
        line = delta.lines[key]
        body = f"{body[: at + moved]}{line}{body[end + moved :]}"
        moved += len(line) - (end - at)
    for key, line in delta.lines.items():
        if key not in delta.places:
            body = f"{body[:-1]},\n{line}}}"
    return body


def whole(session: dict[Any, Any], snapshot: Snapshot, delta: Delta) -> Lines:
    """Return the lines of the session as this request sees it, in its own order."""
    if delta.cleared:
        return delta.lines
    lines = {**snapshot.lines, **delta.lines}
    if list(lines) == list(session):
        return lines
    return {key: lines[key] for key in session}


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
