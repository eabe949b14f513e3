"""Session ids and the store keys derived from them.

An id is 32 random bytes from the operating system, as 43 characters of base64url: 256 bits,
where ASVS 5.0 (7.2.3) asks for 128. It means nothing and says nothing about its user. The store
sees a hash of it, so that a stolen store holds no usable cookie.
"""

from __future__ import annotations

import os
import re
from binascii import b2a_base64

from .accelerator import sha256

__all__ = ["is_session_id", "key_of", "new_session_id", "store_key"]

_shape = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def new_session_id() -> str:
    """Return a fresh random id."""
    # As secrets.token_urlsafe does, which takes longer to import than all of this package.
    return b2a_base64(os.urandom(32))[:43].translate(_URL_SAFE).decode("ascii")


def is_session_id(text: str) -> bool:
    """Whether ``text`` has the shape of an id. Nothing else ever reaches a store."""
    return _shape(text) is not None


def key_of(text: str) -> str | None:
    """Return the store key for what a client sent, or None if it has not the shape of an id."""
    return store_key(text) if _shape(text) else None


def store_key(session_id: str) -> str:
    """Return the key under which the store keeps this session: 64 hexadecimal digits."""
    key: str = sha256(session_id.encode("ascii")).hexdigest()
    return key
