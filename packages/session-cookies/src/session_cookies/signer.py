"""Signed cookie values: what a client changed or made up is refused before any look-up."""

import hmac
from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

from itsdangerous import Signer

from . import rule
from .errors import BadSignature, CookieError, CookiePolicyError

SHORTEST_SECRET = 16  # characters, or bytes

FEWEST_DIFFERENT = 8  # of those: "aaaa…" and "1234123412341234" are long, and still guessed

# What people paste from tutorials and forget to replace.
PLACEHOLDERS = (
    "changeme",
    "example",
    "insecure",
    "password",
    "placeholder",
    "secretkey",
    "supersecret",
    "topsecret",
    "yoursecret",
)

_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_HOW_TO = "make one with: python -m session_cookies secret"


class CookieSigner:
    """Signs the values of one cookie with HMAC-SHA-256 (RFC 2104), by way of itsdangerous.

    `secrets` is one secret key or several, OLDEST FIRST: the last one signs, all of them verify.
    To rotate, append a new key, and drop the first one when everything signed with it has expired.
    Each has at least 16 characters, better 32 random ones, and is no obvious placeholder; a bare
    text or bytes is one key.

    `cookie_name` is mixed into every key, so that a value signed for one cookie is worthless
    under the name of another.

    A signed value is the value itself, a dot and 43 characters of URL-safe base64: all of them
    cookie-octets. Signing hides nothing; a client can read the value.

    Raises `CookiePolicyError` for unusable keys or names. Safe to share between threads.
    """

    __slots__ = ("_cookie_name", "_signers")

    def __init__(self, secrets: str | bytes | Iterable[str | bytes], *, cookie_name: str) -> None:
        self._cookie_name = rule.check_name(cookie_name)
        salt = f"session_cookies.CookieSigner:{cookie_name}".encode()
        # Newest first: that is the one that signs, and the likeliest one to fit.
        self._signers = [_OneKeySigner(key, salt) for key in reversed(_keys(secrets))]

    def __repr__(self) -> str:
        return f"CookieSigner(cookie_name={self._cookie_name!r}, keys={len(self._signers)})"

    def sign(self, value: str) -> str:
        """Return `value` with a signature by the last key appended.

        Raises `CookieError` if the result could not travel in a cookie: the value may hold
        cookie-octets only (RFC 6265 section 4.1.1), and at most 4096 with the signature.
        """
        if rule.is_cookie_octets(value):
            signed = self._signers[0].sign(value).decode("ascii")
            if len(signed) <= rule.COOKIE_LIMIT:
                return signed
        raise CookieError(
            f"Value cannot be signed for a cookie: it may hold cookie-octets only, "
            f"at most {rule.COOKIE_LIMIT} of them with its signature."
        )

    def unsign(self, signed: str) -> str:
        """Return the value that was signed, with whichever key.

        Raises `BadSignature`, and nothing else, for every text that `sign` did not return.
        """
        value, signature = _split(signed)
        for signer in self._signers:
            if compare_digest(signer.get_signature(value), signature):
                return value.decode("ascii")
        raise BadSignature("The cookie's signature fits none of the secret keys.")

    def is_current(self, signed: str) -> bool:
        """Say whether the last key signed this. If not, sign the value anew (or refuse it).

        False for a value signed with an older key and for one that `unsign` refuses.
        """
        try:
            value, signature = _split(signed)
        except BadSignature:
            return False
        return compare_digest(self._signers[0].get_signature(value), signature)


class _OneKeySigner(Signer):
    """An itsdangerous signer with one key, whose signatures take a quarter of the time.

    The key is derived once instead of at every call, and a copy is made of an HMAC that has
    already taken it in.
    """

    def __init__(self, secret: bytes, salt: bytes) -> None:
        super().__init__(secret, salt=salt, key_derivation="hmac", digest_method=sha256)
        self._keyed = hmac.new(self.derive_key(), digestmod=sha256)

    def get_signature(self, value: str | bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(value if isinstance(value, bytes) else value.encode())
        signature = b2a_base64(digest.digest(), newline=False)
        return signature.rstrip(b"=").translate(_URL_SAFE)


def _split(signed: str) -> tuple[bytes, bytes]:
    # The signature stays text and is compared as text: base64 decoders accept several spellings
    # of the same bytes, and there is to be one signed form of a value.
    if len(signed) > rule.COOKIE_LIMIT or not signed.isascii() or "." not in signed:
        raise BadSignature("The cookie does not have the form of a signed value.")
    value, _, signature = signed.encode("ascii").rpartition(b".")
    return value, signature


def _keys(secrets: str | bytes | Iterable[str | bytes]) -> list[bytes]:
    if isinstance(secrets, (str, bytes)):
        secrets = [secrets]
    if isinstance(secrets, (set, frozenset)) or not isinstance(secrets, Iterable):
        raise CookiePolicyError(
            f"Secret keys given as {type(secrets).__name__}: write one text, or a list of them, "
            f"oldest first; {_HOW_TO}"
        )
    keys = [_key(secret) for secret in secrets]
    if not keys:
        raise CookiePolicyError(f"There is no secret key: give at least one; {_HOW_TO}")
    return keys


def _key(secret: object) -> bytes:
    if not isinstance(secret, (str, bytes)):
        raise CookiePolicyError(
            f"A secret key is of type {type(secret).__name__}: write str or bytes; {_HOW_TO}"
        )
    if len(secret) < SHORTEST_SECRET:
        raise CookiePolicyError(
            f"A secret key has {len(secret)} characters, fewer than {SHORTEST_SECRET}: {_HOW_TO}"
        )
    try:
        key = secret if isinstance(secret, bytes) else secret.encode()
    except UnicodeEncodeError:  # its `object` attribute is the whole secret
        raise CookiePolicyError(
            f"A secret key holds characters that are not Unicode text: {_HOW_TO}"
        ) from None
    letters = bytes(byte for byte in key.lower() if byte not in b" -_").decode("latin-1")
    if len(set(letters)) < FEWEST_DIFFERENT or any(word in letters for word in PLACEHOLDERS):
        raise CookiePolicyError(f"A secret key is easy to guess or a placeholder: {_HOW_TO}")
    return key
