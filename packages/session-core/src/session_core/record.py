"""The record: what a store keeps for one session id.

Two or more lines of ASCII text. The first one is the envelope:

    <head> sc1 live <created> <saved> <idle> <epoch> [owner, persistent]
    <head> sc1 dead <at> [reason, next]

- *head*: 16 random hexadecimal digits, new at every write (see `session_core.store`).
- *sc1*: the format and its major version. A reader refuses a newer major version; it accepts, and
  keeps, further items at the end of the JSON list.
- *created*, *saved*: decimal seconds since the epoch; *created* starts the absolute timeout, which
  only a login starts again, *saved* the idle timeout. *idle*: that timeout of this very session,
  in seconds. *epoch*: how often it was cleared. *owner*: what a login recorded, text or null, and
  then *created* is the time of that login. *persistent*: whether the client keeps the id when it is
  closed; null, or missing as the whole list may be, for what the application says.
- *at*: when it ended; *reason*: "ended" or "renewed"; *next*: the store key of the successor, or
  null.

What follows the envelope of a live record is one JSON object with one line for each key of the
session, its values as in `session_core.codec`:

    {"user":"alice",
    "cart":{"apples":3}}

A line is what a request compares to see whether a key has changed, and what it keeps when the
key has not. Any JSON reader can read the whole; a writer keeps to the lines, and writes no blanks
outside of strings.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any, Final

from .codec import decode, encode_field, encode_key
from .errors import NewerRecord
from .store import HEAD

__all__ = ["DamagedRecord", "Dead", "Lines", "Record", "read_record", "split_lines"]

FORMAT: Final = 1

Lines = dict[Any, str]
"""Each key of a session with its line in the record."""

_newer_format = re.compile(rb".{16} sc([0-9]{1,9})(?= )", re.DOTALL).match
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode

# Whatever reading bytes that are not ours may raise.
_UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class DamagedRecord(Exception):
    """The bytes are no record: truncated, foreign or tampered with."""


class Record:
    """The state of a live session, as stored."""

    __slots__ = ("body", "created", "epoch", "idle", "more", "owner", "persistent", "saved")

    def __init__(
        self,
        created: float,
        saved: float,
        idle: float,
        owner: str | None = None,
        epoch: int = 0,
        persistent: bool | None = None,
        more: tuple[Any, ...] = (),
        body: str = "{}",
    ) -> None:
        self.created = created
        self.saved = saved
        self.idle = idle
        self.owner = owner
        self.epoch = epoch
        self.persistent = persistent
        self.more = more
        self.body = body

    def renewed(self, saved: float, idle: float | None) -> Record:
        """Return a copy that was saved at this time, with this idle timeout if there is one."""
        idle = idle or self.idle
        return Record(
            self.created, saved, idle, self.owner, self.epoch, self.persistent, self.more, self.body
        )

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        if self.owner is None and self.persistent is None and not self.more:
            tail = "[]"
        else:
            tail = _to_json([self.owner, self.persistent, *self.more])
        return (
            f"{_new_head()} sc{FORMAT} live {self.created!r} {self.saved!r} {self.idle!r} "
            f"{self.epoch} {tail}\n{self.body}"
        ).encode("ascii")

    def values(self) -> dict[Any, Any]:
        """Return the session's data. Raises `DamagedRecord`."""
        try:
            values = decode(self.body)
        except RecursionError as error:
            from .tag import too_deep

            if too_deep(self.body):
                raise DamagedRecord("nested too deep") from error
            raise  # the reader's own call stack is to blame
        except _UNREADABLE as error:
            raise DamagedRecord(type(error).__name__) from error
        if type(values) is not dict:
            raise DamagedRecord("no object")
        return values

    def lines(self, values: dict[Any, Any] | None = None) -> Lines:
        """Return the lines of the body by key; ``values`` is what it says, if that is known."""
        if values is None:
            values = self.values()
        lines = split_lines(self.body, values)
        if len(lines) != len(values):  # written by somebody else, as JSON of another layout
            return {key: encode_field(key, value) for key, value in self.values().items()}
        return lines

    def put_lines(self, lines: Lines) -> None:
        """Make ``lines`` the body."""
        self.body = f"{{{_BETWEEN.join(lines.values())}}}"

    def expires(self, absolute: float | None) -> float:
        """Return when the session ends, by whichever of its two clocks is first."""
        idle_end = self.saved + self.idle
        return idle_end if absolute is None else min(idle_end, self.created + absolute)


class Dead:
    """What an ended id leaves for a while, so that late requests do not start afresh."""

    __slots__ = ("at", "next", "reason")

    def __init__(self, reason: str, at: float, successor: str | None = None) -> None:
        self.reason = reason
        self.at = at
        self.next = successor

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        tail = _to_json([self.reason, self.next])
        return f"{_new_head()} sc{FORMAT} dead {self.at!r} {tail}\n".encode("ascii")


def split_lines(body: str, keys: dict[Any, Any]) -> Lines:
    """Return the lines of ``body`` by key, or none if it is laid out otherwise."""
    lines = body[1:-1].split(_BETWEEN) if keys else []
    if len(lines) != len(keys) or body[-1:] != "}":  # blanks at the end
        return {}
    # Another layout may have as many by chance.
    if not all(map(str.startswith, lines, map(_USUAL_KEY, keys))):
        for key, line in zip(keys, lines, strict=True):
            if not line.startswith(encode_key(key)):
                return {}
    return dict(zip(keys, lines, strict=True))


_BETWEEN: Final = ",\n"
_USUAL_KEY: Final = '"{}":'.format  # of a key that needs no escapes


def read_record(data: bytes) -> Record | Dead:
    """Return what ``data`` says. Raises `DamagedRecord`, or `NewerRecord` for a later format."""
    try:
        first, _, body = data.decode("ascii").partition("\n")
        head, form, kind, *fields = first.split(" ", 7)
        if len(head) == HEAD and form == _FORM:
            if kind == "live":
                return _read_live(body, *fields)
            if kind == "dead":
                reason, successor, *_ = _from_json(" ".join(fields[1:]))
                return Dead(str(reason), float(fields[0]), _text_or_none(successor))
    except _UNREADABLE as error:
        _refuse_newer(data)
        raise DamagedRecord(type(error).__name__) from error
    _refuse_newer(data)
    raise DamagedRecord("no record of ours")


_FORM: Final = f"sc{FORMAT}"


def _refuse_newer(data: bytes) -> None:
    newer = _newer_format(data)
    if newer and int(newer[1]) > FORMAT:
        raise NewerRecord(
            "the session was stored by a newer major version of session-core: "
            "finish the deploy, or take this process out of it"
        )


def _read_live(
    body: str, created_text: str, saved_text: str, idle_text: str, epoch: str, tail: str
) -> Record:
    created, saved, idle = float(created_text), float(saved_text), float(idle_text)
    if not 0 <= created + saved + idle < math.inf:  # neither is NaN
        raise ValueError
    if tail == "[]":
        return Record(created, saved, idle, None, int(epoch), None, (), body)
    owner, *rare = _from_json(tail)
    persistent = _bool_or_none(rare[0]) if rare else None
    return Record(
        created, saved, idle, _text_or_none(owner), int(epoch), persistent, (*rare[1:],), body
    )


def _new_head() -> str:
    return os.urandom(HEAD // 2).hex()


def _text_or_none(item: object) -> str | None:
    if item is None or isinstance(item, str):
        return item
    raise TypeError("text or null is expected")


def _bool_or_none(item: object) -> bool | None:
    if item is None or isinstance(item, bool):
        return item
    raise TypeError("true, false or null is expected")
