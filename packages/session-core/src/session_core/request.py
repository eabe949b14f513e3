"""One request's session: opened when it is first asked for, committed once.

What every web layer needs and none should decide for itself. A layer makes `RequestOptions` once
and a `RequestSession` for each request, hands its `get` to the handler, and sends the headers that
`start` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, runtime_checkable

from .answer import NOTHING, Answer
from .errors import SessionClosed, SessionError, StoreUnavailable
from .manager import SessionManager, logger
from .session import Session

__all__ = [
    "Headers",
    "OnOutage",
    "RequestOptions",
    "RequestSession",
    "StartResponse",
    "SupportsCookie",
]

Headers = list[tuple[str, str]]
StartResponse = Callable[..., Callable[[bytes], object]]

OnOutage = Literal["error", "anonymous"]

_NO_ENVIRON: Final[dict[str, Any]] = {}

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


class RequestOptions:
    """What the requests of one application have in common.

    - ``manager`` and ``cookie``: keep the sessions, and carry their ids.
    - ``persistent``: whether the cookie gets a Max-Age, the session's idle timeout. Then it is
      sent again whenever the session is extended.
    - ``headers``: whether responses get ``Vary: Cookie`` where the session was used, and
      ``Cache-Control: no-store`` with a session cookie, unless they have their own.
    - ``on_outage``: what `RequestSession.get` does when the store cannot be asked: ``error`` raises
      `StoreUnavailable`, ``anonymous`` gives an empty session that is not stored. The same holds
      for the first commit of a visitor who has no session yet.
    """

    __slots__ = ("cookie", "headers", "manager", "on_outage", "persistent", "rotating")

    def __init__(
        self,
        manager: SessionManager,
        cookie: SupportsCookie,
        *,
        persistent: bool = False,
        headers: bool = True,
        on_outage: OnOutage = "error",
    ) -> None:
        self.manager: Final = manager
        self.cookie: Final = cookie
        self.persistent: Final = persistent
        self.headers: Final = headers
        self.on_outage: Final = on_outage
        self.rotating: Final = cookie if isinstance(cookie, SupportsRotation) else None


class RequestSession:
    """The session of one request, and the beginning of its response.

    ``environ`` is the WSGI environment, of which only ``HTTP_COOKIE`` is read. Hand
    `start_response` to the application in place of the server's, ``start_response``.

    A commit that fails must not look like a success, and an application cannot be trusted to pass
    an exception on from ``start_response``. So the `fault` is kept, the response is not begun, and
    whoever called the application answers in its place.
    """

    session: Session | None = None
    """The session, if it was asked for."""
    began = False
    """Whether the server's ``start_response`` was called."""
    fault: SessionError | None = None
    """What the commit at the start of the response raised."""

    _outage: StoreUnavailable | None = None
    _late = False  # the headers have left
    _failed = False  # the handler failed, as the status says

    def __init__(
        self,
        options: RequestOptions,
        environ: dict[str, Any],
        start_response: StartResponse | None = None,
    ) -> None:
        self._options = options
        self._environ = environ
        self._start_response = start_response

    def get(self) -> Session:
        """Return the session, always the same object; the first call opens it.

        Raises `StoreUnavailable`, without asking again once it has happened, and `SessionClosed`
        when the first call comes after the headers have left.
        """
        session = self.session
        return session if session is not None else self._open()

    def _open(self) -> Session:
        if self._outage is not None:
            raise self._outage
        if self._late:
            raise SessionClosed(
                "the session was first used after the response headers had left, too late to "
                "send a cookie; touch it before the first chunk of the response"
            )
        options = self._options
        header = self._environ.get("HTTP_COOKIE")
        ids = options.cookie.read(header) if header else ()
        try:
            session = options.manager.open_into(Session.__new__(Session), ids)
        except StoreUnavailable as outage:
            if options.on_outage == "error":
                self._outage = outage
                raise
            session = options.manager.unsaved()
        session._once = True
        self.session = session
        return session

    def commit(self, *, failed: bool = False) -> str | None:
        """Commit, and return the ``Set-Cookie`` value to send, if any."""
        session = self.session
        if session is None:
            return None
        manager = self._options.manager
        try:
            answer = manager.commit(session, failed=failed)
        except StoreUnavailable:
            if self._options.on_outage == "error" or not manager.is_anonymous(session):
                raise
            manager.events.send("write dropped", detail="the store was unavailable")
            return None
        return None if answer is NOTHING else self._set_cookie(answer)

    def start(self, status: str, headers: Headers) -> Headers:
        """Commit and return the headers to send, when a response is about to begin.

        A ``status`` of 5xx means that the handler failed: nothing more is saved. May be called
        again when the response is replaced by another before it was sent.
        """
        if self.session is None:
            self._late = True
            return headers
        self._failed = status.startswith("5")
        cookie = self.commit(failed=self._failed)
        self._options.manager.close(self.session)
        return self._finish(headers, cookie)

    def _finish(self, headers: Headers, cookie: str | None) -> Headers:
        """Return the headers with what a session adds to them, and with the cookie, if any."""
        polite = self._options.headers
        for item in headers:
            if len(item[0]) in _LENGTHS:  # usually there is none of these
                return _merge_headers(headers, cookie, polite)
        if not polite:
            return headers if cookie is None else [*headers, ("Set-Cookie", cookie)]
        if cookie is None:
            return [*headers, _VARY]
        return [*headers, _VARY, ("Set-Cookie", cookie), _NO_STORE]

    def start_response(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Commit, then start the response with what the client must be told."""
        if exc_info and isinstance(exc_info[1], StoreUnavailable) and not self.began:
            self.fault = exc_info[1]
            return _discard
        try:
            headers = self.start(status, headers)
        except SessionError as fault:
            self.fault = fault
            return _discard
        self.began = True
        start_response = self._start_response
        if start_response is None:
            raise TypeError("this request was made without the start_response of a server")
        if exc_info:
            return start_response(status, headers, exc_info)
        return start_response(status, headers)

    def release(self) -> None:
        """Let go of the environment once the response has begun.

        The environment holds this object, too; without the circle both are freed at once.
        """
        self._environ = _NO_ENVIRON

    def finish(self) -> None:
        """Say in the log if the session was changed after the headers had left."""
        if self.session is not None and not self._failed:
            try:
                lost = self._options.manager.has_changed(self.session)
            except SessionError:
                lost = True
            if lost:
                logger.warning(
                    "a session was changed after the response headers had left, and the change "
                    "is lost; call session.session_save() before the first chunk of the response"
                )

    def _set_cookie(self, answer: Answer) -> str | None:
        action, session_id, seconds, persistent = answer
        options = self._options
        if action == "forget":
            return options.cookie.forget()
        if persistent is None:
            persistent = options.persistent
        if action == "issue" or (
            action == "extend" and (persistent or self._is_outdated(session_id))
        ):
            if not persistent:
                return options.cookie.issue(session_id, None)
            return options.cookie.issue(session_id, seconds if seconds < LONGEST else LONGEST)
        return None

    def _is_outdated(self, session_id: str) -> bool:
        rotating = self._options.rotating
        header = self._environ.get("HTTP_COOKIE", "")
        return rotating is not None and not rotating.is_current(header, session_id)


_VARY: Final = ("Vary", "Cookie")
_NO_STORE: Final = ("Cache-Control", "no-store")
_LENGTHS: Final = frozenset(map(len, ("Vary", "Set-Cookie", "Cache-Control")))


def _merge_headers(headers: Headers, cookie: str | None, polite: bool) -> Headers:
    """Do what `RequestSession._finish` does, among headers that the application has set."""
    merged = _vary_by_cookie(headers) if polite else list(headers)
    if cookie is not None:
        ours = cookie[: cookie.index("=") + 1]
        merged = [item for item in merged if not _sets(item, ours)]
        merged.append(("Set-Cookie", cookie))
        if polite and not any(name.lower() == "cache-control" for name, _ in merged):
            merged.append(_NO_STORE)
    return merged


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
    return [*headers, _VARY]


def _discard(data: bytes) -> None:
    """Take the place of ``write`` where the response will be another one."""
