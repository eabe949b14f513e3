"""The session id in a signed cookie."""

from __future__ import annotations

from session_cookies import BadSignature, CookiePolicy, CookieSigner

__all__ = ["SignedCookie"]


class SignedCookie:
    """A cookie policy whose values are signed: what we did not sign is no id."""

    def __init__(self, policy: CookiePolicy, signer: CookieSigner) -> None:
        self._policy = policy
        self._signer = signer

    def read(self, header: str) -> list[str]:
        """Return the ids whose signature is ours."""
        ids = []
        for value in self._policy.read(header):
            try:
                ids.append(self._signer.unsign(value))
            except BadSignature:
                continue
        return ids

    def issue(self, value: str, max_age: float | None = None) -> str:
        """Return the ``Set-Cookie`` value for an id."""
        return self._policy.issue(self._signer.sign(value), max_age)

    def forget(self) -> str:
        """Return the ``Set-Cookie`` value that removes the cookie."""
        return self._policy.forget()
