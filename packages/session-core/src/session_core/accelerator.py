"""The unusual means that make the codec fast, each with a plain one that does the same.

- `encode_json`: the standard library makes its C encoder anew at every call, which costs more than
  encoding a small value. The maker has no public name.
- `decode_json`: the standard library's decoder looks for blanks around a value, which takes half as
  long as reading a small one. msgspec reads JSON three times as fast as the standard library. It is used where it
  is installed (the extra ``fast``). What it refuses, the standard library is asked about, so that
  both accept the same texts and give the same values.
- `fingerprint`: `marshal` tells whether a value has changed many times faster than JSON.
"""

from __future__ import annotations

import json
import marshal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "decode_json",
    "encode_json",
    "fingerprint",
    "new_decoder",
    "new_encoder",
    "quote",
    "refuse_constant",
]

quote: Final = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII."""


def new_encoder(make: Any) -> Callable[[Any], str]:
    """Return what turns a value into JSON; ``make`` is the C encoder's maker, or None."""
    encoder = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":"))
    if make is None:
        return encoder.encode
    chunks = make(None, encoder.default, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


def new_decoder(msgspec: Any) -> Callable[[str], Any]:
    """Return what turns JSON into a value; ``msgspec`` is the module, or None."""
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
    scan = decoder.scan_once

    def standard(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except (ValueError, StopIteration):
            end = -1
        # Blanks around it are rare, and looking for them takes longer than reading a small value.
        return value if end == len(text) else decoder.decode(text)

    if msgspec is None:
        return standard
    decode = msgspec.json.Decoder().decode
    refused = (msgspec.MsgspecError, RecursionError, ValueError)

    def decode_fast(text: str) -> Any:
        try:
            return decode(text)
        except refused:
            return standard(text)

    return decode_fast


def fingerprint(value: Any) -> bytes | None:
    """Return bytes that differ when ``value`` has changed, or None where there can be none.

    They are never read back. Exact: they tell 1, 1.0 and True apart. Version 2 of the format depends
    on the values alone, not on which of them are one object.
    """
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        return None


def refuse_constant(name: str) -> Any:
    """Refuse NaN and the infinities, which the standard library takes for JSON."""
    raise ValueError(f"{name} is not JSON")


def _find_msgspec() -> Any:
    try:
        import msgspec
    except ImportError:
        return None
    # Before 0.18 it made a float of a large integer.
    exact = type(msgspec.json.decode(str(2**64))) is int
    return msgspec if exact else None


encode_json: Final = new_encoder(getattr(json.encoder, "c_make_encoder", None))
decode_json: Final = new_decoder(_find_msgspec())
