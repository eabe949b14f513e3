"""A session id in a plain cookie, for programs that use session_core alone.

It does one thing. The package session-cookies has more options, prefixes and signatures, and its
`CookiePolicy` takes the place of this class wherever one is expected.
"""

from __future__ import annotations

import math
import re

from .errors import ConfigurationError

__all__ = ["IdCookie"]


class IdCookie:
    """The cookie that carries the id: HttpOnly, SameSite=Lax, for the whole site.

    ``name``: letters, digits, ``-`` and ``_``. ``secure``: sent over https only (default True);
    False is for development over plain http. Raises `ConfigurationError`.
    """

    __slots__ = ("_name", "_pattern", "_tail")

    def __init__(self, name: str = "session", *, secure: bool = True) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
            raise ConfigurationError("a cookie name is 1 to 100 letters, digits, '-' and '_'")
        if not isinstance(secure, bool):
            raise ConfigurationError("secure must be True or False")
        if name.startswith("__") and not secure:
            raise ConfigurationError(f"browsers refuse a cookie named {name} without secure=True")
        self._name = name
        self._tail = "; Path=/; SameSite=Lax" + ("; Secure" if secure else "")
        self._pattern = re.compile(rf"(?:^|;)[ \t]*{name}=\"?([A-Za-z0-9_-]*)\"?[ \t]*(?=;|$)")

    def read(self, header: str) -> list[str]:
        """Return the values of the cookies of this name, in order (RFC 6265, section 5.4)."""
        return self._pattern.findall(header) if self._name in header else []

    def issue(self, value: str, max_age: float | None = None) -> str:
        """Return the ``Set-Cookie`` value; ``max_age`` in seconds, rounded up."""
        life = "" if max_age is None else f"; Max-Age={math.ceil(max_age)}"
        return f"{self._name}={value}; HttpOnly{life}{self._tail}"

    def forget(self) -> str:
        """Return the ``Set-Cookie`` value that removes the cookie."""
        return (
            f"{self._name}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0{self._tail}"
        )
