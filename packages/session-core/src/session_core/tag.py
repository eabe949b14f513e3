"""What JSON does not have, as JSON: the types and keys that `session_core.codec` lists."""

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

from .accelerator import encode_json, refuse_constant
from .codec import MAX_DEPTH, decode
from .errors import UnstorableValue
from .moment import read_moment, write_moment

__all__ = ["decode_tagged", "prepare", "prepare_key", "too_deep"]

_IMMUTABLE: Final = frozenset(
    {str, int, float, bool, type(None), bytes, date, datetime, time, timedelta, Decimal, UUID}
)
_DIGITS_SAFE_BITS: Final = 2000  # sys.set_int_max_str_digits takes no limit below 640 digits
_SINGLETONS: Final = frozenset({bool, type(None)})


def decode_tagged(text: str) -> Any:
    """Return the value of ``text``, as `session_core.codec.decode` does."""
    return _tagged.decode(text)


def too_deep(text: str) -> bool:
    """Whether ``text`` is nested deeper than `session_core.codec.encode` ever writes."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > 2 * MAX_DEPTH + 1  # a tag is a level of its own


def prepare(value: Any, depth: int) -> Any:
    """Return what the JSON encoder turns into the text of ``value``."""
    kind = type(value)
    if kind in _SINGLETONS:
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
            prepared.append(prepare(item, depth))
    except UnstorableValue as error:
        raise error.within(len(prepared)) from None
    if isinstance(value, list):
        return prepared
    if isinstance(value, tuple):
        return {"~~tuple": prepared}
    for item, text in zip(value, prepared, strict=True):
        if type(item) not in _IMMUTABLE:
            _reread(encode_json(text))
    prepared.sort(key=encode_json)
    return {"~~frozenset" if isinstance(value, frozenset) else "~~set": prepared}


def _prepare_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    prepared = {}
    for key, item in value.items():
        try:
            prepared[prepare_key(key)] = prepare(item, depth)
        except UnstorableValue as error:
            raise error.within(key) from None
    if len(prepared) != len(value):
        raise UnstorableValue("two keys of a dict that would be stored as the same key")
    return prepared


def prepare_key(key: object) -> str:
    """Return the text that stands for a dict's key. Raises `UnstorableValue`."""
    if isinstance(key, str) and key[:1] != "~":
        return _checked_text(key)
    if (isinstance(key, float) and math.isnan(key)) or (isinstance(key, Decimal) and key.is_nan()):
        raise UnstorableValue("NaN cannot be a dict key: it would never be found again")
    text = encode_json(prepare(key, 0))
    if type(key) not in _IMMUTABLE and _reread(text) != key:
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


_tagged = json.JSONDecoder(parse_constant=refuse_constant, object_hook=_untag)
