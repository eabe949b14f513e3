"""The unusual means that make the codec fast, each with a plain one that does the same.

- `encode_json`: the standard library makes its C encoder anew at every call, which costs more than
  encoding a small value. The maker has no public name.
- `new_decoder`: the standard library's decoder looks for blanks around a value, which takes half as
  long as reading a small one. msgspec (the extra ``fast``, used where it is installed) reads three
  times as fast. What it refuses, the standard library is asked about, so that both accept the same
  texts and give the same values.
- `sha256`: the interpreter's own. That of OpenSSL, which `hashlib` prefers, looks its algorithm up
  at every call, and takes most of the time that `hashlib` takes to import.
- `fingerprint`: `marshal` tells whether a value has changed many times faster than JSON.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable
from typing import Any, Final

__all__ = [
    "MARK",
    "encode_json",
    "find_msgspec",
    "fingerprint",
    "new_decoder",
    "new_encoder",
    "quote",
    "refuse_constant",
    "sha256",
]

Decode = Callable[[str], Any]

MARK: Final = '"~'
"""What is in every text that says more than its JSON does: see `session_core.codec`."""

quote: Final = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII."""


def new_encoder(make: Any) -> Callable[[Any], str]:
    """Return what turns a value into JSON; ``make`` is the C encoder's maker, or None."""
    encoder = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":"))
    if make is None:
        return encoder.encode
    chunks = make(None, encoder.default, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


def new_decoder(decode_tagged: Decode, msgspec: Any = None) -> Decode:
    """Return what turns JSON into a value.

    ``decode_tagged`` reads what has the `MARK`; ``msgspec`` is that module, if it is to be used.
    """
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
    # It has no public name. What has one looks for blanks around the value as well.
    scan: Any = getattr(decoder, "scan_once", decoder.raw_decode)

    def decode(text: str) -> Any:
        if "~" in text and MARK in text:  # the first is found many times as fast
            return decode_tagged(text)
        try:
            value, end = scan(text, 0)
        except (ValueError, StopIteration):
            end = -1
        return value if end == len(text) else decoder.decode(text)

    if msgspec is None:
        return decode
    read = msgspec.json.Decoder().decode
    refused = (msgspec.MsgspecError, RecursionError, ValueError)

    def decode_fast(text: str) -> Any:
        if "~" in text and MARK in text:
            return decode_tagged(text)
        try:
            return read(text)
        except refused:
            return decode(text)

    return decode_fast


def fingerprint(value: Any) -> bytes | None:
    """Return bytes that differ when ``value`` has changed, or None where there can be none.

    They are never read back. They tell 1, 1.0 and True apart. Version 4 of the format writes text
    fast, and is sure in one direction only: the same value may get other bytes when some object in
    it is referred to from elsewhere by now.
    """
    try:
        return marshal.dumps(value, 4)
    except ValueError:
        return None


def refuse_constant(name: str) -> Any:
    """Refuse NaN and the infinities, which the standard library takes for JSON."""
    raise ValueError(f"{name} is not JSON")


def find_msgspec() -> Any:
    """Return the module msgspec if it is there and good enough, else None."""
    try:
        import msgspec
    except ImportError:
        return None
    # Before 0.18 it made a float of a large integer.
    exact = type(msgspec.json.decode(str(2**64))) is int
    return msgspec if exact else None


def _find_sha256() -> Any:
    try:
        from _sha2 import sha256  # from Python 3.12 on
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256
    return sha256


sha256: Final[Callable[[bytes], Any]] = _find_sha256()
"""FIPS 180-4, as `hashlib.sha256`."""

encode_json: Final = new_encoder(getattr(json.encoder, "c_make_encoder", None))
