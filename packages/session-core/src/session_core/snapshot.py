"""What a record says, in the form that requests work with.

Reading a small record takes longer than all else that a request does with it, and most requests
find what the one before has found or written. So a process keeps the `Snapshot` of the few records
that it works with, in `Recent`. The store is asked in any case: a snapshot stands for the very
bytes that it was made from, and for nothing else, so it cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .accelerator import fingerprint
from .codec import decode, encode_lines
from .record import SMALL, Dead, Lines, Record, find_line, read_record

__all__ = ["Recent", "Snapshot", "read_snapshot"]

Prints = dict[Any, tuple[bytes | None, Callable[[Any], Any]]]
"""For each value that may change in place its fingerprint, or None, and the function that copies
it."""

_ATOMS: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types whose values never change, and are read back as they were written."""

_CHANGEABLE: Final = frozenset({list, dict, set, tuple})
"""Types of loaded values that may change in place, a tuple by what is in it."""

_GENERATION: Final = 8
"""How many records are kept at least, and half of how many at most: those that a process works with
at a time, as the requests of one page come together. With many more, what is kept falls out of the
processor's own caches, and a record that was not met before costs more than is saved."""


class Snapshot:
    """What the store held when a request last looked, or what it has written since.

    - ``record``: the envelope and the body.
    - ``values``: the data. Of what a request has written itself, only the keys count.
    - ``prints``: what is known of those values that may change in place; None if nothing is.
    - ``shared``: whether other requests use it, too. Then sessions get copies of what may change.
    - ``complete``: whether ``values`` is all of the record: not after a merge with the keys of
      another request.
    """

    __slots__ = ("_is_lined", "_lines", "complete", "prints", "record", "shared", "values")

    def __init__(
        self,
        record: Record,
        values: dict[Any, Any],
        prints: Prints | None = None,
        lines: Lines | None = None,
        shared: bool = False,
        complete: bool = True,
    ) -> None:
        self.record = record
        self.values = values
        self.prints = prints
        self.shared = shared
        self.complete = complete
        self._lines = lines
        self._is_lined: bool | None = None

    def fill(self, session: dict[Any, Any]) -> None:
        """Put the data into an empty session."""
        values = self.values
        dict.update(session, values)
        if self.shared and self.prints:
            for key, (_, copy) in self.prints.items():
                dict.__setitem__(session, key, copy(values[key]))

    def changed_inside(self, session: dict[Any, Any]) -> list[Any]:
        """Return the keys of the values that may have changed in place: all that have, or more."""
        prints = self.prints
        if prints is None:
            return [key for key, value in session.items() if type(value) not in _ATOMS]
        changed = []
        for key, (known, _) in prints.items():
            if known is None or fingerprint(session.get(key)) != known:
                changed.append(key)
        return changed

    def after(
        self, session: dict[Any, Any], changed: Lines, record: Record, lines: Lines
    ) -> Snapshot | None:
        """Return the snapshot of ``record``, which is this one with what the session has changed.

        ``lines`` are all of its lines. None if it takes more than to take over simple values.
        """
        if self.prints is None or not self.shared or len(record.body) > SMALL:
            return None
        values = self.values
        if changed:
            values = values.copy()
            for key in changed:
                value = session[key]
                if type(value) not in _ATOMS or type(key) is not str or key in self.prints:
                    return None
                values[key] = value
        return Snapshot(record, values, self.prints, lines, True)

    def extended(self, record: Record) -> Snapshot:
        """Return the snapshot of ``record``, which differs in its times only."""
        return Snapshot(record, self.values, self.prints, self._lines, self.shared, self.complete)

    @property
    def lines(self) -> Lines:
        """The lines of ``values`` as they were then, whatever has happened to the values since."""
        if self._lines is None:
            self._lines = self.record.lines(self.values)
        return self._lines

    @property
    def is_lined(self) -> bool:
        """Whether the body is for certain one line for each of the values."""
        if self._is_lined is None:
            self._is_lined = self.complete and self.record.is_lined(self.values)
        return self._is_lined

    def find_line(self, start: str) -> tuple[int, int]:
        """Return where the line that begins with ``start`` is in the body, or (0, 0)."""
        return find_line(self.record.body, start) if self.is_lined else (0, 0)

    def differs_in_blanks(self, key: Any, line: str) -> bool:
        """Whether the stored line is ``line`` with blanks in it, by some other writer."""
        stored = self.lines[key]
        return " " in stored and encode_lines(decode(f"{{{stored}}}")).get(key) == line


class Recent:
    """The snapshots of the few small records that were read or written last, by store key.

    Of a session that was not met lately only that is kept: the second request makes it worth it.
    There is no lock: whatever two threads do at once, an entry is a record and its snapshot.
    """

    __slots__ = ("_new", "_old")

    def __init__(self) -> None:
        self._new: dict[str, tuple[bytes, Snapshot | None]] = {}
        self._old = self._new

    def get(self, key: str, data: bytes) -> Snapshot | None:
        """Return the snapshot of exactly this record, if it is there."""
        kept = self._new.get(key)
        if kept is None:
            kept = self._old.get(key)
            if kept is None:
                return None
            self.put(key, *kept)
        return kept[1] if kept[0] == data else None

    def meet(self, key: str) -> bool:
        """Return whether this session was met lately."""
        if key in self._new:
            return True
        self.put(key, b"", None)
        return False

    def put(self, key: str, data: bytes, snapshot: Snapshot | None) -> None:
        """Keep the snapshot of a record, until a few others have come."""
        if len(self._new) >= _GENERATION and key not in self._new:
            self._old = self._new
            self._new = {}
        self._new[key] = data, snapshot

    def forget(self, key: str) -> None:
        """Let go of what a session that has ended held."""
        self._new.pop(key, None)
        self._old.pop(key, None)


def read_snapshot(data: bytes, share: bool = False) -> Snapshot | Dead:
    """Return what a record says. Raises `DamagedRecord` or `NewerRecord`.

    ``share``: whether requests are to share it, if it is small.
    """
    record = read_record(data)
    if isinstance(record, Dead):
        return record
    values = record.values()
    shared = share and len(record.body) <= SMALL
    prints: Prints = {}
    for key, value in values.items():
        if type(value) in _CHANGEABLE:
            if shared:
                copy = _find_copy(value)
                # The fingerprint of a copy: how often an object is referred to is part of it.
                prints[key] = fingerprint(copy(value)), copy
            else:
                prints[key] = fingerprint(value), _copy_deep
    return Snapshot(record, values, prints, None, shared)


def _find_copy(value: Any) -> Callable[[Any], Any]:
    """Return what copies ``value`` so that the copy shares nothing with it that can change."""
    kind = type(value)
    items = value.values() if kind is dict else value
    if kind is not tuple and _CHANGEABLE.isdisjoint(map(type, items)):
        copy: Callable[[Any], Any] = kind.copy
        return copy
    return _copy_deep


def _copy_deep(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copy_deep(item) for key, item in value.items()}
    if type(value) in _CHANGEABLE:
        return type(value)([_copy_deep(item) for item in value])
    return value
