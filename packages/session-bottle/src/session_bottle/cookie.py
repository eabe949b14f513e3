"""How the session id travels: in a signed cookie, and over https or not."""

from __future__ import annotations

from collections.abc import Callable

from session_cookies import BadSignature, CookiePolicy, CookieSigner

__all__ = ["SignedCookie"]


class SignedCookie:
    """A cookie policy whose values are signed: what we did not sign is no id.

    ``refused`` is called for each value whose signature is not ours.
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
        for value in self._policy.read(header):
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
