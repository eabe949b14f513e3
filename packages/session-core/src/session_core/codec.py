"""Values as text: JSON, with tags for what JSON does not have.

One value is one line of ASCII text. Plain values are exactly their JSON. What JSON lacks is an
object with one key that starts with two tildes:

    (1, 2)              {"~~tuple":[1,2]}
    {3, 1}              {"~~set":[1,3]}          in the order of the items' text
    frozenset()         {"~~frozenset":[]}
    b"hi"               {"~~bytes":"aGk="}       base64
    datetime            {"~~datetime":"2026-01-31T12:00:00+01:00"}
                        {"~~datetime":[ISO, zone name or null, fold]} with a named zone or a fold
    time                {"~~time":…}             as datetime
    date                {"~~date":"2026-01-31"}
    timedelta           {"~~timedelta":[days, seconds, microseconds]}
    Decimal             {"~~decimal":"1.50"}
    UUID                {"~~uuid":"…"}
    nan, inf, -inf      {"~~float":"nan"}

A dict is an object. A key that is not a str, or that starts with a tilde, is written as a tilde
and then the text of the key: {1: "a"} is {"~1":"a"}, {"~": 2} is {"~\\"~\\"":2}. Subclasses of
the types above are stored as the type itself.

Equal text means "unchanged", so the text depends on nothing but the value: sets are sorted.
Nothing here runs code that was stored: there is no pickle and no import by name.

This module knows how plain values are written and read; `session_core.tag` knows all others, and
is imported when there is one.
"""

from __future__ import annotations

from typing import Any, Final

from .accelerator import MARK, encode_json, find_msgspec, new_decoder, quote
from .errors import UnstorableValue

__all__ = ["MAX_DEPTH", "decode", "encode", "encode_field", "encode_key", "encode_lines"]

MAX_DEPTH: Final = 100
"""How deep containers may be nested. The limit leaves room for the reader's own call stack."""

_SMALL: Final = 1 << 63
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_CONTAINERS: Final = frozenset({list, dict})

_starts: Final[dict[str, str]] = {}
"""What a program calls its keys, it calls them in every request: `encode_key` of the first few."""


def encode(value: object) -> str:
    """Return the text of ``value``. Raises `UnstorableValue`."""
    kind = type(value)
    if kind is str and value.isascii():  # type: ignore[attr-defined]
        return quote(value)  # type: ignore[arg-type]
    if kind is int and -_SMALL < value < _SMALL:  # type: ignore[operator]
        return str(value)
    if kind in _ATOMS or (kind in _CONTAINERS and _is_plain(value, 1)):
        try:
            text = encode_json(value)
        except ValueError:  # NaN, or an int with too many digits
            text = MARK
        # A key with a tilde is written otherwise, and half of a surrogate pair is no text.
        if "~" not in text and ("\\" not in text or "\\ud" not in text):
            return text
    from .tag import prepare

    return encode_json(prepare(value, 0))


def encode_lines(values: dict[Any, Any]) -> dict[Any, str]:
    """Return each key with ``key:value``, as it stands in an object. Raises `UnstorableValue`."""
    lines = {}
    key = None
    try:
        for key, value in values.items():
            # What `encode_key` and `encode` do with most, without the calls.
            start = (_starts.get(key) if type(key) is str else None) or encode_key(key)
            kind = type(value)
            if kind is str and value.isascii():
                lines[key] = start + quote(value)
            elif kind is int and -_SMALL < value < _SMALL:
                lines[key] = start + str(value)
            else:
                lines[key] = start + encode(value)
    except UnstorableValue as error:
        raise error.within(key) from None
    return lines


def encode_field(key: object, value: object) -> tuple[str, str]:
    """Return ``key:`` and ``key:value`` as they stand in an object. Raises `UnstorableValue`."""
    try:
        start = encode_key(key)
        return start, start + encode(value)
    except UnstorableValue as error:
        raise error.within(key) from None


def encode_key(key: object) -> str:
    """Return how the line of a key begins: the key and a colon. Raises `UnstorableValue`."""
    if type(key) is str and key in _starts:
        return _starts[key]
    if type(key) is str and key.isascii() and key[:1] != "~":
        start = f"{quote(key)}:"
        if len(key) < 64 and len(_starts) < 512:
            _starts[key] = start
        return start
    from .tag import prepare_key

    return f"{quote(prepare_key(key))}:"


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a list or dict has, all the way down, nothing but what JSON has.

    It asks about the types of all items at once, which costs a fraction of asking each.
    """
    if type(value) is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        value = value.values()
    kinds = set(map(type, value)) - _ATOMS
    if not kinds:
        return True
    if depth >= MAX_DEPTH or not kinds <= _CONTAINERS:
        return False
    return all(_is_plain(item, depth + 1) for item in value if type(item) in _CONTAINERS)


def _decode_tagged(text: str) -> Any:
    from .tag import decode_tagged

    return decode_tagged(text)


decode: Final = new_decoder(_decode_tagged, find_msgspec())
"""Return the value of a text. Raises ValueError, TypeError, or another built-in error."""
