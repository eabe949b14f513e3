"""One request's session: opened when it is first asked for, committed once.

What every web layer needs and none should decide for itself. A layer makes a `RequestSession` for
each request, hands its `get` to the handler, and sends the headers that `start` returns.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol, runtime_checkable

from .answer import NOTHING, Answer
from .errors import SessionClosed, SessionError, StoreUnavailable
from .manager import SessionManager, logger
from .session import Session

__all__ = ["Headers", "OnOutage", "RequestSession", "SupportsCookie"]

Headers = list[tuple[str, str]]

OnOutage = Literal["error", "anonymous"]

LONGEST: Final = 2.0**31
"""The largest Max-Age that is sent, in seconds; browsers keep no cookie beyond 400 days."""


class SupportsCookie(Protocol):
    """How the id travels; `session_cookies.CookiePolicy` and `session_core.IdCookie` fit."""

    def read(self, header: str) -> list[str]:
        """Return the candidates for an id in a ``Cookie`` header, whatever it contains."""

    def issue(self, value: str, max_age: float | None = ...) -> str:
        """Return the ``Set-Cookie`` value for an id; ``max_age`` in seconds, None for none."""

    def forget(self) -> str:
        """Return the ``Set-Cookie`` value that removes the cookie."""


@runtime_checkable
class SupportsRotation(Protocol):
    """Optional: a cookie whose values are signed with keys that change."""

    def is_current(self, header: str, value: str) -> bool:
        """Whether the ``Cookie`` header carries this id as `issue` would write it now."""


class RequestSession:
    """The session of one request.

    - ``environ``: the WSGI environment; only its ``HTTP_COOKIE`` is read.
    - ``persistent``: whether the cookie gets a Max-Age, the session's idle timeout. Then it is
      sent again whenever the session is extended.
    - ``headers``: whether responses get ``Vary: Cookie`` where the session was used, and
      ``Cache-Control: no-store`` with a session cookie, unless they have their own.
    - ``on_outage``: what `get` does when the store cannot be asked: ``error`` raises
      `StoreUnavailable`, ``anonymous`` gives an empty session that is not stored. The same holds
      for the first commit of a visitor who has no session yet.
    """

    __slots__ = ("_cookie", "_environ", "_failed", "_fault", "_headers", "_manager", "_on_outage",
                 "_persistent", "_started", "session")  # fmt: skip

    def __init__(
        self,
        manager: SessionManager,
        cookie: SupportsCookie,
        environ: dict[str, Any],
        *,
        persistent: bool = False,
        headers: bool = True,
        on_outage: OnOutage = "error",
    ) -> None:
        self._headers: Final = headers
        self._manager: Final = manager
        self._cookie: Final = cookie
        self._environ = environ
        self._persistent: Final = persistent
        self._on_outage: Final = on_outage
        self._fault: StoreUnavailable | None = None
        self._started = False
        self._failed = False
        self.session: Session | None = None
        """The session, if it was asked for."""

    def get(self) -> Session:
        """Return the session, always the same object; the first call opens it.

        Raises `StoreUnavailable`, without asking again once it has happened, and `SessionClosed`
        when the first call comes after the headers have left.
        """
        if self.session is not None:
            return self.session
        if self._fault is not None:
            raise self._fault
        if self._started:
            raise SessionClosed(
                "the session was first used after the response headers had left, too late to "
                "send a cookie; touch it before the first chunk of the response"
            )
        header = self._environ.get("HTTP_COOKIE")
        try:
            self.session = self._manager.open(*(self._cookie.read(header) if header else ()))
        except StoreUnavailable as fault:
            if self._on_outage == "error":
                self._fault = fault
                raise
            self.session = self._manager.unsaved()
        self.session._once = True
        return self.session

    def commit(self, *, failed: bool = False) -> str | None:
        """Commit, and return the ``Set-Cookie`` value to send, if any."""
        session = self.session
        if session is None:
            return None
        try:
            answer = self._manager.commit(session, failed=failed)
        except StoreUnavailable:
            if self._on_outage == "error" or not self._manager.is_anonymous(session):
                raise
            self._manager.events.send("write dropped", detail="the store was unavailable")
            answer = NOTHING
        return self._set_cookie(answer)

    def start(self, status: str, headers: Headers) -> Headers:
        """Commit and return the headers to send, when a response is about to begin.

        A ``status`` of 5xx means that the handler failed: nothing more is saved. May be called
        again when the response is replaced by another before it was sent.
        """
        if self.session is None:
            self._started = True
            return headers
        self._failed = status[:1] == "5"
        cookie = self.commit(failed=self._failed)
        self._started = True
        self._manager.close(self.session)
        if self._headers:
            headers = _vary_by_cookie(headers)
        if cookie is not None:
            ours = cookie[: cookie.index("=") + 1]
            headers = [item for item in headers if not _sets(item, ours)]
            headers.append(("Set-Cookie", cookie))
            if self._headers and not any(name.lower() == "cache-control" for name, _ in headers):
                headers.append(("Cache-Control", "no-store"))
        return headers

    def release(self) -> None:
        """Let go of the environment once the response has begun.

        The environment holds this object, too; without the circle both are freed at once.
        """
        self._environ = {}

    def finish(self) -> None:
        """Say in the log if the session was changed after the headers had left."""
        if self.session is not None and not self._failed:
            try:
                lost = self._manager.has_changed(self.session)
            except SessionError:
                lost = True
            if lost:
                logger.warning(
                    "a session was changed after the response headers had left, and the change "
                    "is lost; call session.session_save() before the first chunk of the response"
                )

    def _set_cookie(self, answer: Answer) -> str | None:
        if answer.action == "forget":
            return self._cookie.forget()
        persistent = self._persistent if answer.persistent is None else answer.persistent
        if answer.action == "issue" or (
            answer.action == "extend" and (persistent or self._is_outdated(answer.session_id))
        ):
            seconds = min(answer.seconds, LONGEST)
            return self._cookie.issue(answer.session_id, seconds if persistent else None)
        return None

    def _is_outdated(self, session_id: str) -> bool:
        if not isinstance(self._cookie, SupportsRotation):
            return False
        return not self._cookie.is_current(self._environ.get("HTTP_COOKIE", ""), session_id)


def _sets(item: tuple[str, str], start: str) -> bool:
    return item[1].startswith(start) and item[0].lower() == "set-cookie"


def _vary_by_cookie(headers: Headers) -> Headers:
    """Return the headers with ``Vary: Cookie`` (RFC 9110, section 12.5.5)."""
    for index, (name, value) in enumerate(headers):
        if name.lower() == "vary":
            fields = {field.strip().lower() for field in value.split(",")}
            if fields & {"*", "cookie"}:
                return list(headers)
            return [*headers[:index], (name, f"{value}, Cookie"), *headers[index + 1 :]]
    return [*headers, ("Vary", "Cookie")]
