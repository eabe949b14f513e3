"""What a request has changed, and how that goes into data that others have changed meanwhile.

The unit is a top-level key. A key counts as changed when its line in the record would differ
from the one that was loaded: the same test finds assignments and nested changes, and sees that
an equal value is no change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .codec import IMMUTABLE, decode, encode_field
from .record import Lines, Record, split_lines

__all__ = ["Delta", "Snapshot", "encode_lines", "find_delta", "merge", "whole"]


@dataclass(slots=True)
class Snapshot:
    """What the store held when this request last looked, or what it wrote since."""

    record: Record
    version: Any
    values: dict[Any, Any]
    """The loaded values: the very objects that the session handed out."""
    written: bool = False
    """Whether this request wrote it, so that the store's version of it is unknown."""
    complete: bool = True
    """Whether ``values`` is all of the record: not after a merge with another request's keys."""
    _lines: Lines | None = None

    @property
    def lines(self) -> Lines:
        """The lines of ``values`` as they were then, whatever has happened to the values since."""
        if self._lines is None:
            lines = split_lines(self.record.body, self.values)
            self._lines = lines if len(lines) == len(self.values) else self.record.lines()
        return self._lines

    def differs_in_blanks(self, key: Any, line: str) -> bool:
        """Whether the stored line is ``line`` with blanks in it, by some other writer."""
        stored = self.lines[key]
        return " " in stored and encode_lines(decode(f"{{{stored}}}")).get(key) == line


@dataclass(slots=True)
class Delta:
    """What this request has changed."""

    lines: Lines = field(default_factory=dict)
    """The keys that were set or changed, with their new lines."""
    nested: set[Any] = field(default_factory=set)
    """Those of them that were only changed in place."""
    deleted: list[Any] = field(default_factory=list)
    cleared: bool = False

    def __bool__(self) -> bool:
        return bool(self.lines or self.deleted or self.cleared)

    def only_set(self) -> Lines:
        """The keys that this request assigned itself."""
        return {key: line for key, line in self.lines.items() if key not in self.nested}


def encode_lines(values: dict[Any, Any]) -> Lines:
    """Return the lines of ``values``. Raises `UnstorableValue`."""
    return {key: encode_field(key, value) for key, value in values.items()}


def find_delta(
    session: dict[Any, Any], snapshot: Snapshot, assigned: set[Any], cleared: bool
) -> Delta:
    """Return what differs between the session and what was loaded. Raises `UnstorableValue`."""
    if cleared:
        return Delta(encode_lines(session), cleared=True)
    before = snapshot.values
    delta = Delta()
    for key, value in session.items():
        known = key in before
        same = known and before[key] is value
        if same and type(value) in IMMUTABLE:
            continue
        line = encode_field(key, value)
        if known and (
            line == snapshot.lines[key] or (same and snapshot.differs_in_blanks(key, line))
        ):
            continue
        delta.lines[key] = line
        if same and key not in assigned:
            delta.nested.add(key)
    delta.deleted = [key for key in before if key not in session]
    return delta


def whole(session: dict[Any, Any], snapshot: Snapshot, delta: Delta) -> Lines:
    """Return the lines of the session as this request sees it, in its own order."""
    if delta.cleared:
        return delta.lines
    before = snapshot.lines
    return {key: delta.lines[key] if key in delta.lines else before[key] for key in session}


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
