"""What a request has changed, and how that goes into data that others have changed meanwhile.

The unit is a top-level key. A key counts as changed when its line in the record would differ
from the one that was loaded: the same test finds assignments and nested changes, and sees that
an equal value is no change.
"""

from __future__ import annotations

import marshal
from dataclasses import dataclass, field
from typing import Any

from .codec import IMMUTABLE, decode, encode_field
from .record import Lines, Record, split_lines

__all__ = ["Delta", "Snapshot", "encode_lines", "find_delta", "merge", "whole"]


@dataclass(slots=True, repr=False)
class Snapshot:
    """What the store held when this request last looked, or what it wrote since."""

    record: Record
    version: Any
    values: dict[Any, Any]
    """The loaded values: the very objects that the session handed out."""
    prints: dict[Any, bytes] = field(default_factory=dict)
    """Fingerprints of those values that may change in place, as they were when they were loaded."""
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


def fingerprint(value: Any) -> bytes:
    """Return bytes that differ when ``value`` has changed; never read back. ValueError: cannot.

    Many times faster than the line, and exact: it tells 1, 1.0 and True apart. Version 2 of the
    format depends on the values alone, not on which of them are one object.
    """
    return marshal.dumps(value, 2)


def take_prints(values: dict[Any, Any]) -> dict[Any, bytes]:
    """Return the fingerprints of the values that may change in place and can have one."""
    prints = {}
    for key, value in values.items():
        if type(value) not in IMMUTABLE:
            try:
                prints[key] = fingerprint(value)
            except ValueError:
                continue
    return prints


def _is_as_loaded(value: object, known: bytes | None) -> bool:
    try:
        return known is not None and fingerprint(value) == known
    except ValueError:
        return False


@dataclass(slots=True, repr=False)
class Delta:
    """What this request has changed."""

    lines: Lines
    """The keys that were set or changed, with their new lines."""
    nested: set[Any]
    """Those of them that were only changed in place."""
    deleted: list[Any]
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
        return Delta(encode_lines(session), set(), [], cleared=True)
    before = snapshot.values
    prints = snapshot.prints
    delta = Delta({}, set(), [])
    for key, value in session.items():
        known = key in before
        same = known and before[key] is value
        if same and (type(value) in IMMUTABLE or _is_as_loaded(value, prints.get(key))):
            continue
        line = encode_field(key, value)
        if known and (
            line == snapshot.lines[key] or (same and snapshot.differs_in_blanks(key, line))
        ):
            continue
        delta.lines[key] = line
        if same and key not in assigned:
            delta.nested.add(key)
    if not before.keys() <= session.keys():
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
