"""How the session id travels: in a signed cookie, and over https or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from session_cookies import BadSignature, CookiePolicy, CookieSigner

__all__ = ["SignedCookie"]

MAX_VALUES: Final = 32
"""How many values of one request are tried: a browser may send cookies of several paths, and a
header of a megabyte must not cost ten thousand signatures and log lines."""


class SignedCookie:
    """A cookie policy whose values are signed: what we did not sign is no id.

    ``refused`` is called for each value whose signature is not ours. Of one request, the first
    `MAX_VALUES` different ones count.
    """

    def __init__(
        self, policy: CookiePolicy, signer: CookieSigner, refused: Callable[[], None]
    ) -> None:
        self._policy = policy
        self._signer = signer
        self._refused = refused

    def read(self, header: str) -> list[str]:
        """Return the ids whose signature is ours."""
        ids = []
        values = self._policy.read(header)
        if len(values) > 1:
            values = list(dict.fromkeys(values))[:MAX_VALUES]
        for value in values:
            try:
                ids.append(self._signer.unsign(value))
            except BadSignature:
                self._refused()
        return ids

    def is_current(self, header: str, value: str) -> bool:
        """Whether the cookie is signed with the key that signs now."""
        return self._signer.sign(value) in self._policy.read(header)

    def issue(self, value: str, max_age: float | None = None) -> str:
        """Return the ``Set-Cookie`` value for an id."""
        return self._policy.issue(self._signer.sign(value), max_age)

    def forget(self) -> str:
        """Return the ``Set-Cookie`` value that removes the cookie."""
        return self._policy.forget()
