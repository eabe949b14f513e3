"""The record: what a store keeps for one session id.

Two or more lines of ASCII text. The first one is the envelope:

    <head> sc1 live <created> <saved> <idle> <epoch> [owner, persistent]
    <head> sc1 dead <at> [reason, next]

- *head*: 16 random base64url characters, new at every write (see `session_core.store`).
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
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from .codec import decode, encode_field, encode_key, too_deep
from .errors import NewerRecord
from .store import HEAD

__all__ = ["DamagedRecord", "Dead", "Lines", "Record", "read_record"]

FORMAT: Final = 1
_FORMAT: Final = b"sc1"

Lines = dict[Any, str]
"""Each key of a session with its line in the record."""

_newer_format = re.compile(rb"sc[0-9]{1,9}").fullmatch
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


@dataclass(slots=True, repr=False)
class Record:
    """The state of a live session, as stored."""

    created: float
    saved: float
    idle: float
    owner: str | None = None
    epoch: int = 0
    persistent: bool | None = None
    more: list[Any] = field(default_factory=list)
    body: str = "{}"

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        head = secrets.token_urlsafe(12)
        rare = [self.owner, self.persistent, *self.more]
        tail = "[]" if rare == [None, None] else _to_json(rare)
        return (
            f"{head} sc{FORMAT} live {self.created!r} {self.saved!r} {self.idle!r} {self.epoch} "
            f"{tail}\n{self.body}"
        ).encode("ascii")

    def values(self) -> dict[Any, Any]:
        """Return the session's data. Raises `DamagedRecord`."""
        try:
            values = decode(self.body)
        except RecursionError as error:
            if too_deep(self.body):
                raise DamagedRecord("nested too deep") from error
            raise  # the reader's own call stack is to blame
        except _UNREADABLE as error:
            raise DamagedRecord(type(error).__name__) from error
        if type(values) is not dict:
            raise DamagedRecord("no object")
        return values

    def lines(self) -> Lines:
        """Return the lines of the body by key."""
        values = self.values()
        lines = split_lines(self.body, values)
        if len(lines) != len(values):  # written by somebody else, as JSON of another layout
            return {key: encode_field(key, value) for key, value in values.items()}
        return lines

    def put_lines(self, lines: Lines) -> None:
        """Make ``lines`` the body."""
        self.body = "{" + ",\n".join(lines.values()) + "}"

    def expires(self, absolute: float | None) -> float:
        """Return when the session ends, by whichever of its two clocks is first."""
        idle_end = self.saved + self.idle
        return idle_end if absolute is None else min(idle_end, self.created + absolute)


@dataclass(slots=True, frozen=True)
class Dead:
    """What an ended id leaves for a while, so that late requests do not start afresh."""

    reason: str
    at: float
    next: str | None = None

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        head = secrets.token_urlsafe(12)
        tail = _to_json([self.reason, self.next])
        return f"{head} sc{FORMAT} dead {self.at!r} {tail}\n".encode("ascii")


def split_lines(body: str, keys: dict[Any, Any]) -> Lines:
    """Return the lines of ``body`` by key, or none if it is laid out otherwise."""
    lines = body[1:-1].split(",\n") if keys else []
    if len(lines) != len(keys) or body[-1:] != "}":  # blanks at the end
        return {}
    # Another layout may have as many by chance.
    for key, line in zip(keys, lines, strict=True):
        if line.startswith(f'"{key}":'):  # the usual key needs no encoding
            continue
        if not line.startswith(encode_key(key)):
            return {}
    return dict(zip(keys, lines, strict=True))


def read_record(data: bytes) -> Record | Dead:
    """Return what ``data`` says. Raises `DamagedRecord`, or `NewerRecord` for a later format."""
    first, _, body = data.partition(b"\n")
    try:
        head, form, kind, *fields = first.split(b" ", 7)
        if len(head) != HEAD:
            raise DamagedRecord("no head")
        if form != _FORMAT:
            if _newer_format(form) and int(form[2:]) > FORMAT:
                raise NewerRecord(
                    "the session was stored by a newer major version of session-core: "
                    "finish the deploy, or take this process out of it"
                )
            raise DamagedRecord("unknown format")
        if kind == b"live":
            return _read_live(fields, body)
        if kind == b"dead":
            reason, successor, *_ = _from_json(b" ".join(fields[1:]).decode("ascii"))
            return Dead(str(reason), float(fields[0]), _text_or_none(successor))
    except _UNREADABLE as error:
        raise DamagedRecord(type(error).__name__) from error
    raise DamagedRecord("neither live nor dead")


def _read_live(fields: list[bytes], body: bytes) -> Record:
    created, saved, idle, epoch, tail = fields
    record = Record(float(created), float(saved), float(idle), epoch=int(epoch))
    if not 0 <= record.created + record.saved + record.idle < math.inf:  # neither is NaN
        raise ValueError
    if tail != b"[]":
        owner, *rare = _from_json(tail.decode("ascii"))
        record.owner = _text_or_none(owner)
        if rare:
            record.persistent = _bool_or_none(rare[0])
            record.more = rare[1:]
    record.body = body.decode("ascii")
    return record


def _text_or_none(item: object) -> str | None:
    if item is None or isinstance(item, str):
        return item
    raise TypeError("text or null is expected")


def _bool_or_none(item: object) -> bool | None:
    if item is None or isinstance(item, bool):
        return item
    raise TypeError("true, false or null is expected")
