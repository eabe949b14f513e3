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
import os
import re
from binascii import crc32
from collections.abc import Collection
from typing import Any, Final

from .codec import decode, encode_key, encode_lines
from .errors import NewerRecord
from .store import HEAD
from .terms import LAST, Terms, from_json, read_terms, to_json

__all__ = [
    "SMALL",
    "DamagedRecord",
    "Dead",
    "Lines",
    "Record",
    "find_line",
    "join_lines",
    "read_body",
    "read_record",
    "split_lines",
    "time_to_live",
    "write_record",
]

FORMAT: Final = 1
_FORM: Final = f"sc{FORMAT}"

SMALL: Final = 4096
"""Up to so many characters of the body, a record is handled whole. In a larger one only the lines
that a request is about are looked at, for which it must be known that it is laid out in lines."""

Lines = dict[Any, str]
"""Each key of a session with its line in the record."""

_BETWEEN: Final = ",\n"
_NOTHING: Final = "[null,null]"  # how the envelope ends of a session that nobody has logged in to

_newer_format = re.compile(rb".{16} sc([0-9]{1,9})(?= )", re.DOTALL).match

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
    """The state of a live session, as stored.

    - ``created`` and ``saved``: when, in seconds since the epoch. ``created`` is text, as read,
      until somebody needs its value.
    - ``terms``: what holds for the session.
    - ``body``: its data.
    """

    __slots__ = ("body", "created", "saved", "terms")

    def __init__(self, created: float | str, saved: float, terms: Terms, body: str = "{}") -> None:
        self.created = created
        self.saved = saved
        self.terms = terms
        self.body = body

    def is_lined(self, keys: Collection[Any]) -> bool:
        """Whether the body, which has these keys, is laid out in lines for certain."""
        lined = self.terms.lined
        return lined is not None and bool(keys) and lined == crc32(self.body.encode("ascii"))

    def values(self) -> dict[Any, Any]:
        """Return the session's data. Raises `DamagedRecord`."""
        return read_body(self.body)

    def lines(self, values: dict[Any, Any]) -> Lines:
        """Return the lines of the body by key; ``values`` has the keys that it has."""
        lines = split_lines(self.body, values)
        if len(lines) != len(values):  # written by somebody else, as JSON of another layout
            return encode_lines(self.values())
        return lines

    def expires(self, absolute: float | None) -> float:
        """Return when the session ends, by whichever of its two clocks is first.

        In seconds since the epoch; ``absolute`` is the absolute timeout in seconds, if any.
        """
        idle_end = self.saved + self.terms.idle
        return idle_end if absolute is None else min(idle_end, float(self.created) + absolute)


class Dead:
    """What an ended id leaves for a while, so that late requests do not start afresh."""

    __slots__ = ("at", "next", "reason")

    def __init__(self, reason: str, at: float, successor: str | None = None) -> None:
        self.reason = reason
        self.at = at
        self.next = successor

    def to_bytes(self) -> bytes:
        """Return the record under a new head."""
        tail = to_json([self.reason, self.next])
        return f"{_new_head()} sc{FORMAT} dead {self.at:.6f} {tail}\n".encode("ascii")


def time_to_live(created: float | str, saved: float, terms: Terms, absolute: float | None) -> float:
    """Return how many seconds after it was saved a record ends, as `Record.expires` counts."""
    if absolute is None:
        return terms.idle
    # Rounded as they are written: the difference of two times has noise in it.
    return min(terms.idle, round(absolute - (saved - float(created)), 6))


def write_record(created: float | str, saved: float, terms: Terms, body: str) -> bytes:
    """Return the bytes of a `Record` of these, under a new head."""
    lined = crc32(body.encode("ascii")) if len(body) > SMALL else None
    if lined != terms.lined:
        terms = terms.but(lined=lined)
    time = f"{saved:.6f}"
    if created == saved:
        created = time
    elif type(created) is not str:
        created = f"{created:.6f}"
    try:
        head = _heads.pop()
    except IndexError:
        head = _new_head()
    return f"{head} {_FORM} live {created} {time} {terms.text}\n{body}".encode("ascii")


def read_body(body: str) -> dict[Any, Any]:
    """Return the data that a body holds. Raises `DamagedRecord`."""
    try:
        values = decode(body)
    except RecursionError as error:
        from .tag import too_deep

        if too_deep(body):
            raise DamagedRecord("nested too deep") from error
        raise  # the reader's own call stack is to blame
    except _UNREADABLE as error:
        raise DamagedRecord(type(error).__name__) from error
    if type(values) is not dict:
        raise DamagedRecord("no object")
    return values


def join_lines(lines: Lines) -> str:
    """Return the body with these lines."""
    return f"{{{_BETWEEN.join(lines.values())}}}"


def split_lines(body: str, keys: Collection[Any]) -> Lines:
    """Return the lines of ``body`` by key, or none if it is laid out otherwise."""
    lines = body[1:-1].split(_BETWEEN) if keys else []
    if len(lines) != len(keys) or body[-1:] != "}":  # blanks at the end
        return {}
    # Another layout may have as many by chance.
    if not all(map(str.startswith, lines, map(encode_key, keys))):
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
        head, form, kind, *fields = data[:end].decode("ascii").split(" ", 5)
        if form == _FORM and len(head) == HEAD:
            if kind == "live":
                created, saved, text = fields
                then = float(saved)
                # As a number it is needed rarely.
                if not created.replace(".", "", 1).isdigit() or len(created) > 40:
                    raise ValueError
                terms = _usual_terms(text) if text.endswith(_NOTHING) else read_terms(text)
                if not 0 <= then + terms.idle < 2 * LAST:
                    raise ValueError
                return Record(created, then, terms, data[end + 1 :].decode("ascii"))
            if kind == "dead":
                reason, successor, *_ = from_json(" ".join(fields[1:]))
                if not isinstance(reason, str) or not isinstance(successor, str | None):
                    raise TypeError("text is expected")
                return Dead(reason, float(fields[0]), successor)
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


# Not those of an owner: whose session was read is not kept.
_usual_terms = functools.lru_cache(64)(read_terms)


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
