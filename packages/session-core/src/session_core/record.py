"""The record: what a store keeps for one session id.

Two or more lines of ASCII text. The first one is the envelope:

    <head> sc1 live <created> <saved> <idle> <epoch> [owner, persistent, lined]
    <head> sc1 dead <at> [reason, next]

- *head*: 16 random hexadecimal digits, new at every write (see `session_core.store`).
- *sc1*: the format and its major version. A reader refuses a newer major version; it accepts, and
  keeps, further items at the end of the JSON list.
- *created*, *saved*: decimal seconds since the Unix epoch; *created* starts the absolute timeout,
  which only a login starts again, *saved* the idle timeout. *idle*: that timeout of this very
  session, in seconds. We write six decimals each; more or fewer are fine.
- *epoch*: how often it was cleared.
- *owner*: what a login recorded, text or null, and then *created* is the time of that login.
  *persistent*: whether the client keeps the id when it is closed; null for what the application
  says. *lined*: the CRC-32 (ISO 3309) of what follows the envelope, by a writer that promises to
  have laid it out in lines; we give it for large sessions. Missing items are null.
- *at*: when it ended; *reason*: "ended" or "renewed"; *next*: the store key of the successor, or
  null.

What follows the envelope of a live record is one JSON object with one line for each key of the
session, its values as in `session_core.codec`:

    {"user":"alice",
    "cart":{"apples":3}}

A line is what a request compares to see whether a key has changed, and what it keeps when the
key has not. Any JSON reader can read the whole. A writer that promises lines puts one newline after
each comma between two keys, none anywhere else, and no blanks outside of strings.
"""

from __future__ import annotations

import functools
import json
import os
import re
from binascii import crc32
from collections.abc import Collection
from typing import Any, Final

from .codec import decode, encode_field, encode_key
from .errors import NewerRecord
from .store import HEAD

__all__ = [
    "MICRO",
    "SMALL",
    "DamagedRecord",
    "Dead",
    "Lines",
    "Record",
    "as_micros",
    "find_line",
    "join_lines",
    "micros",
    "read_record",
    "split_lines",
]

FORMAT: Final = 1
_FORM: Final = f"sc{FORMAT}"
MICRO: Final = 1_000_000
LAST: Final = 1 << 62  # microseconds, 146,000 years: the latest time and the longest duration

SMALL: Final = 4096
"""Up to so many characters of the body, a record is handled whole. In a larger one only the lines
that a request is about are looked at, for which it must be known that it is laid out in lines."""

Lines = dict[Any, str]
"""Each key of a session with its line in the record."""

_NOTHING: Final = "[null,null]"  # the tail of most records
_NOBODY: Final = "[null,null,"  # how that begins which says nothing but the sum
_BETWEEN: Final = ",\n"

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
    """The state of a live session, as stored. Times and durations are whole microseconds.

    ``created`` and ``epoch`` are text, as read, until somebody needs their value: turning text into
    a number is what takes the longest in reading an envelope.
    """

    __slots__ = ("body", "created", "epoch", "idle", "more", "owner", "persistent", "saved",
                 "tail")  # fmt: skip

    def __init__(
        self,
        created: int | str,
        saved: int,
        idle: int,
        owner: str | None = None,
        epoch: int | str = 0,
        persistent: bool | None = None,
        more: tuple[Any, ...] = (),
        body: str = "{}",
        tail: str = "",
    ) -> None:
        self.created = created
        self.saved = saved
        self.idle = idle
        self.owner = owner
        self.epoch = epoch
        self.persistent = persistent
        self.more = more
        self.body = body
        self.tail = tail

    def renewed(self, now: float, idle: float | None) -> Record:
        """Return a copy that is saved now, with this idle timeout if there is one (seconds)."""
        return Record(
            self.created,
            micros(now),
            self.idle if idle is None else micros(idle),
            self.owner,
            self.epoch,
            self.persistent,
            self.more,
            self.body,
            self.tail,
        )

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        body = self.body
        found = crc32(body.encode("ascii")) if len(body) > SMALL else None
        if self.owner is not None or self.persistent is not None or self.more:
            self.tail = _to_json([self.owner, self.persistent, found, *self.more])
        elif found is None:
            self.tail = _NOTHING
        else:
            self.tail = f"{_NOBODY}{found}]"
        digits = str(self.saved)
        saved = f"{digits[:-6]}.{digits[-6:]}" if len(digits) > 6 else _decimal(self.saved)
        created = self.created
        if type(created) is not str:
            created = saved if created == self.saved else _decimal(int(created))
        return (
            f"{_new_head()} {_FORM} live {created} {saved} {_duration_text(self.idle)} "
            f"{self.epoch} {self.tail}\n{body}"
        ).encode("ascii")

    def is_lined(self, keys: Collection[Any]) -> bool:
        """Whether the body, which has these keys, is laid out in lines for certain."""
        if not keys:
            return False
        found = crc32(self.body.encode("ascii"))
        return self.tail == f"{_NOBODY}{found}]" or _sum_of(self.tail) == found

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

    def lines(self, values: dict[Any, Any]) -> Lines:
        """Return the lines of the body by key; ``values`` has the keys that it has."""
        lines = split_lines(self.body, values)
        if len(lines) != len(values):  # written by somebody else, as JSON of another layout
            return {key: encode_field(key, value)[1] for key, value in self.values().items()}
        return lines

    def expires(self, absolute: float | None) -> float:
        """Return when the session ends, by whichever of its two clocks is first.

        In seconds since the epoch; ``absolute`` is the absolute timeout in seconds, if any.
        """
        idle_end = (self.saved + self.idle) / MICRO
        return (
            idle_end
            if absolute is None
            else min(idle_end, as_micros(self.created) / MICRO + absolute)
        )

    def ttl(self, absolute: float | None) -> float:
        """Return how many seconds after it was saved it ends."""
        idle = self.idle / MICRO
        if absolute is None:
            return idle
        return min(idle, absolute - (self.saved - as_micros(self.created)) / MICRO)


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
        return f"{_new_head()} sc{FORMAT} dead {_decimal(micros(self.at))} {tail}\n".encode("ascii")


def join_lines(lines: Lines) -> str:
    """Return the body with these lines."""
    return f"{{{_BETWEEN.join(lines.values())}}}"


def split_lines(body: str, keys: Collection[Any]) -> Lines:
    """Return the lines of ``body`` by key, or none if it is laid out otherwise."""
    lines = body[1:-1].split(_BETWEEN) if keys else []
    if len(lines) != len(keys) or body[-1:] != "}":  # blanks at the end
        return {}
    for key, line in zip(keys, lines, strict=True):  # another layout may have as many by chance
        if not line.startswith(encode_key(key)):
            return {}
    return dict(zip(keys, lines, strict=True))


def find_line(body: str, start: str) -> tuple[int, int]:
    """Return where the line that begins with ``start`` begins and ends; (0, 0) if there is none.

    For a body that is laid out in lines.
    """
    at = 1 if body.startswith(start, 1) else body.find(f"\n{start}") + 1
    if not at:
        return 0, 0
    end = body.find(_BETWEEN, at)
    return at, end if end >= 0 else len(body) - 1


def read_record(data: bytes) -> Record | Dead:
    """Return what ``data`` says. Raises `DamagedRecord`, or `NewerRecord` for a later format."""
    try:
        end = data.index(b"\n")
        head, form, kind, *fields = data[:end].decode("ascii").split(" ", 7)
        if form == _FORM and len(head) == HEAD:
            if kind == "live":
                created, saved, idle, epoch, tail = fields
                then = int(saved[:-7] + saved[-6:]) if saved[-7:-6] == "." else as_micros(saved)
                body = data[end + 1 :].decode("ascii")
                record = Record(created, then, _duration(idle), None, epoch, None, (), body, tail)
                # Whether those will do that are left as text: as numbers they are needed rarely.
                if not (epoch.isdigit() and created.replace(".", "", 1).isdigit()):
                    raise ValueError
                if not 0 <= then + record.idle < 2 * LAST or len(created) + len(epoch) > 40:
                    raise ValueError
                if tail != _NOTHING and not (
                    tail.startswith(_NOBODY) and tail[len(_NOBODY) : -1].isdigit()
                ):
                    _read_tail(record, tail)
                return record
            if kind == "dead":
                reason, successor, *_ = _from_json(" ".join(fields[1:]))
                return Dead(str(reason), as_micros(fields[0]) / MICRO, _text_or_none(successor))
    except _UNREADABLE as error:
        _refuse_newer(data)
        raise DamagedRecord(type(error).__name__) from error
    _refuse_newer(data)
    raise DamagedRecord("no record of ours")


def _refuse_newer(data: bytes) -> None:
    newer = _newer_format(data)
    if newer and int(newer[1]) > FORMAT:
        raise NewerRecord(
            "the session was stored by a newer major version of session-core: "
            "finish the deploy, or take this process out of it"
        )


def _sum_of(tail: str) -> object:
    items = _from_json(tail) if tail else []
    return items[2] if len(items) > 2 else None


def _read_tail(record: Record, tail: str) -> None:
    items = _from_json(tail)
    if type(items) is not list:
        raise TypeError("a list is expected")
    items += [None] * (2 - len(items))
    record.owner = _text_or_none(items[0])
    record.persistent = _bool_or_none(items[1])
    record.more = tuple(items[3:])


def micros(seconds: float) -> int:
    """Return a time or a duration in seconds as a record holds it."""
    value = int(seconds * MICRO + 0.5)
    return value if value < LAST else LAST  # noqa: PLR1730 -- min() takes twice as long


def as_micros(text: str | int) -> int:
    """Return the value of a time or a duration in a record."""
    if isinstance(text, int):
        return text
    if text[-7:-6] == ".":  # six decimals, as we write
        return int(text[:-7] + text[-6:])
    return micros(float(text))


def _decimal(value: int) -> str:
    digits = str(value)
    if len(digits) <= 6:
        digits = digits.zfill(7)
    return f"{digits[:-6]}.{digits[-6:]}"


# Few durations are in use, the same for most sessions.
_duration = functools.lru_cache(64)(as_micros)
_duration_text = functools.lru_cache(64)(_decimal)


_heads: Final[list[str]] = []
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_heads.clear)  # or it would write what its parent writes


def _new_head() -> str:
    # Asking the system for one takes as long as writing the rest of the record. Nobody who learns
    # of the next ones gains anything: a head is no secret.
    while True:
        try:
            return _heads.pop()
        except IndexError:
            digits = os.urandom(HEAD // 2 * 64).hex()
            _heads.extend(digits[at : at + HEAD] for at in range(0, len(digits), HEAD))


def _text_or_none(item: object) -> str | None:
    if item is None or isinstance(item, str):
        return item
    raise TypeError("text or null is expected")


def _bool_or_none(item: object) -> bool | None:
    if item is None or isinstance(item, bool):
        return item
    raise TypeError("true, false or null is expected")
