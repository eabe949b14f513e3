"""The record: what a store keeps for one session id.

Two or more lines of ASCII text. The first one is the envelope:

    <head> sc1 live [created, saved, idle, owner, epoch]
    <head> sc1 dead [reason, at, next]

- *head*: 16 random base64url characters, new at every write (see `session_core.store`).
- *sc1*: the format and its major version. A reader refuses a newer major version and accepts,
  and keeps, further items at the end of the list.
- *created*, *saved*: seconds since the epoch; *created* starts the absolute timeout, which only
  a login starts again, *saved* the idle timeout. *idle*: that timeout of this very session, in
  seconds. *owner*: what a login recorded, text or null. *epoch*: how often it was cleared.
- *reason*: "ended" or "renewed"; *at*: when; *next*: the store key of the successor, or null.

What follows the envelope of a live record is one JSON object with one line for each key of the
session, its values as in `session_core.codec`:

    {"user":"alice",
    "cart":{"apples":3}}

A line is what a request compares to see whether a key has changed, and what it keeps when the
key has not. Any JSON reader can read the whole.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from .codec import decode, encode_field
from .errors import NewerRecord

__all__ = ["DamagedRecord", "Dead", "Lines", "Record", "read_record"]

FORMAT: Final = 1

Lines = dict[Any, str]
"""Each key of a session with its line in the record."""

_first_line = re.compile(rb"[A-Za-z0-9_-]{16} sc(\d{1,9}) (\w*) ?(.*)").fullmatch
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


@dataclass(slots=True)
class Record:
    """The state of a live session, as stored."""

    created: float
    saved: float
    idle: float
    owner: str | None = None
    epoch: int = 0
    more: list[Any] = field(default_factory=list)
    body: str = "{}"

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        envelope = [self.created, self.saved, self.idle, self.owner, self.epoch, *self.more]
        head = secrets.token_urlsafe(12)
        return f"{head} sc{FORMAT} live {_to_json(envelope)}\n{self.body}".encode("ascii")

    def values(self) -> dict[Any, Any]:
        """Return the session's data. Raises `DamagedRecord`."""
        try:
            values = decode(self.body)
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
        envelope = _to_json([self.reason, self.at, self.next])
        return f"{secrets.token_urlsafe(12)} sc{FORMAT} dead {envelope}\n".encode("ascii")


def split_lines(body: str, keys: dict[Any, Any]) -> Lines:
    """Return the lines of ``body`` by key, or fewer than there are keys if it is laid out
    otherwise."""
    if not keys:
        return {}
    lines = body[1:-1].split(",\n")
    if len(lines) != len(keys):
        return {}
    # Another layout may have as many by chance. Each must be one item, written as we write it.
    items = "[{" + "},{".join(lines) + "}]"
    try:
        found = _from_json(items)
    except (ValueError, RecursionError):
        return {}
    if len(found) != len(lines) or _to_json(found) != items:
        return {}
    return dict(zip(keys, lines, strict=True))


def read_record(data: bytes) -> Record | Dead:
    """Return what ``data`` says. Raises `DamagedRecord`, or `NewerRecord` for a later format."""
    first, _, body = data.partition(b"\n")
    match = _first_line(first)
    if match is None:
        raise DamagedRecord("no envelope")
    major, kind, envelope = match.groups()
    if int(major) > FORMAT:
        raise NewerRecord(
            "the session was stored by a newer major version of session-core: "
            "finish the deploy, or take this process out of it"
        )
    try:
        if kind == b"live":
            created, saved, idle, owner, epoch, *more = _from_json(envelope.decode("ascii"))
            return Record(
                _number(created),
                _number(saved),
                _number(idle),
                _text_or_none(owner),
                int(epoch),
                more,
                body.decode("ascii"),
            )
        if kind == b"dead":
            reason, at, successor, *_ = _from_json(envelope.decode("ascii"))
            return Dead(str(reason), _number(at), _text_or_none(successor))
    except _UNREADABLE as error:
        raise DamagedRecord(type(error).__name__) from error
    raise DamagedRecord("neither live nor dead")


def _number(item: Any) -> float:
    if isinstance(item, int | float) and math.isfinite(item):
        return float(item)
    raise ValueError("a number is expected")


def _text_or_none(item: object) -> str | None:
    if item is None or isinstance(item, str):
        return item
    raise TypeError("text or null is expected")
