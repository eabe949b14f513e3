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
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from .errors import UnstorableValue
from .moment import read_moment, write_moment

__all__ = [
    "IMMUTABLE",
    "MAX_DEPTH",
    "decode",
    "encode",
    "encode_field",
    "encode_key",
    "too_deep",
]

MAX_DEPTH: Final = 100
"""How deep containers may be nested. The limit leaves room for the reader's own call stack."""

IMMUTABLE: Final = frozenset(
    {str, int, float, bool, type(None), bytes, date, datetime, time, timedelta, Decimal, UUID}
)
"""Types whose values cannot change in place."""

_quote = json.encoder.encode_basestring_ascii
_DIGITS_SAFE_BITS = 2000  # sys.set_int_max_str_digits takes no limit below 640 digits
_ATOMS = frozenset({bool, type(None)})


def encode(value: object) -> str:
    """Return the text of ``value``. Raises `UnstorableValue`."""
    kind = type(value)
    if kind is str and value.isascii():  # type: ignore[attr-defined]
        return _quote(value)  # type: ignore[arg-type]
    return _to_json(_prepare(value, 0))


def encode_field(key: object, value: object) -> str:
    """Return ``key:value`` as it stands in an object. Raises `UnstorableValue`."""
    try:
        return encode_key(key) + encode(value)
    except UnstorableValue as error:
        raise error.within(key) from None


def encode_key(key: object) -> str:
    """Return the beginning of `encode_field`: the key and a colon. Raises `UnstorableValue`."""
    return f"{_quote(_encode_key(key))}:"


def decode(text: str) -> Any:
    """Return the value of ``text``. Raises ValueError, TypeError, or another built-in error."""
    value, end = (_tagged if '"~' in text else _plain).raw_decode(text)
    if end != len(text) and not text[end:].isspace():
        raise ValueError("more than one value")
    return value


def _new_encoder() -> Callable[[Any], str]:
    """Return what turns prepared values into JSON."""
    encoder = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":"))
    # The standard library makes its C encoder anew for every call, which costs more than encoding
    # a small value. It has no public name.
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    chunks = make(None, encoder.default, _quote, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_to_json = _new_encoder()


def too_deep(text: str) -> bool:
    """Whether ``text`` is nested deeper than `encode` ever writes."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > 2 * MAX_DEPTH + 1  # a tag is a level of its own


def _prepare(value: Any, depth: int) -> Any:
    """Return what the JSON encoder turns into the text of ``value``."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, bool | int):
        return _checked_int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"~~float": float.__repr__(value)}
    if isinstance(value, list | tuple | dict | set | frozenset):
        if depth >= MAX_DEPTH:
            raise UnstorableValue(
                f"nested deeper than {MAX_DEPTH} containers, or a container that holds itself"
            )
        return _prepare_container(value, depth + 1)
    for base, name, write in _SCALARS:
        if isinstance(value, base):
            return {name: write(value)}
    raise UnstorableValue(
        f"an object of type {kind.__module__}.{kind.__qualname__} cannot be stored; "
        "store what it is made from (see docs/SESSIONS.md for the types)"
    )


def _prepare_container(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return _prepare_dict(value, depth)
    prepared = []
    try:
        for item in value:
            prepared.append(_prepare(item, depth))
    except UnstorableValue as error:
        raise error.within(len(prepared)) from None
    if isinstance(value, list):
        return prepared
    if isinstance(value, tuple):
        return {"~~tuple": prepared}
    for item, text in zip(value, prepared, strict=True):
        if type(item) not in IMMUTABLE:
            _reread(_to_json(text))
    prepared.sort(key=_to_json)
    return {"~~frozenset" if isinstance(value, frozenset) else "~~set": prepared}


def _prepare_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    prepared = {}
    for key, item in value.items():
        try:
            prepared[_encode_key(key)] = _prepare(item, depth)
        except UnstorableValue as error:
            raise error.within(key) from None
    if len(prepared) != len(value):
        raise UnstorableValue("two keys of a dict that would be stored as the same key")
    return prepared


def _encode_key(key: object) -> str:
    if isinstance(key, str) and key[:1] != "~":
        return _checked_text(key)
    if (isinstance(key, float) and math.isnan(key)) or (isinstance(key, Decimal) and key.is_nan()):
        raise UnstorableValue("NaN cannot be a dict key: it would never be found again")
    text = _to_json(_prepare(key, 0))
    if type(key) not in IMMUTABLE and _reread(text) != key:
        raise UnstorableValue("a dict key that would not be found again")
    return "~" + text


def _reread(text: str) -> object:
    """Return what ``text`` will be read as, where only hashable values can stand."""
    value = decode(text)
    try:
        hash(value)
    except TypeError:
        raise UnstorableValue(
            "an object that is stored as its base type, which is not hashable"
        ) from None
    return value


def _checked_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnstorableValue(
                "text with a lone surrogate cannot be stored; decode the bytes that it came from "
                "without errors='surrogateescape'"
            ) from None
    return text


def _checked_int(number: int) -> int:
    if number.bit_length() > _DIGITS_SAFE_BITS:
        try:
            int.__repr__(number)
        except ValueError:
            raise UnstorableValue(
                "an int beyond the interpreter's digit limit (sys.get_int_max_str_digits) "
                "could not be read back; store it as hexadecimal text"
            ) from None
    return number


_SCALARS: tuple[tuple[type, str, Callable[[Any], object]], ...] = (
    (bytes, "~~bytes", lambda value: b64encode(value).decode()),
    (datetime, "~~datetime", write_moment),
    (date, "~~date", date.isoformat),
    (time, "~~time", write_moment),
    (timedelta, "~~timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (Decimal, "~~decimal", str),
    (UUID, "~~uuid", str),
)


_READERS: dict[str, Callable[[Any], object]] = {
    "~~tuple": tuple,
    "~~set": set,
    "~~frozenset": frozenset,
    "~~bytes": lambda text: b64decode(text, validate=True),
    "~~datetime": lambda written: read_moment(datetime, written),
    "~~date": date.fromisoformat,
    "~~time": lambda written: read_moment(time, written),
    "~~timedelta": lambda parts: timedelta(*parts),
    "~~decimal": Decimal,
    "~~uuid": UUID,
    "~~float": float,
}


def _untag(found: dict[str, Any]) -> Any:
    if not any(key[:1] == "~" for key in found):
        return found
    if len(found) == 1:
        ((name, value),) = found.items()
        if name[:2] == "~~":
            return _READERS[name](value)
    return {decode(key[1:]) if key[:1] == "~" else key: value for key, value in found.items()}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_plain = json.JSONDecoder(parse_constant=_refuse_constant)
_tagged = json.JSONDecoder(parse_constant=_refuse_constant, object_hook=_untag)
