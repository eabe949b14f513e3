"""Sessions for any WSGI application (PEP 3333).

    application = SessionMiddleware(application, SessionManager(MemoryStore()))

and in the application:

    session = get_session(environ)

A request that never asks for its session costs nothing: no cookie is parsed, no store is asked, no
header is set. The commit happens when the application calls ``start_response``: after the handler,
and in time for the cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .cookie import IdCookie
from .errors import ConfigurationError, SessionError, StoreUnavailable
from .manager import SessionManager
from .request import OnOutage, RequestOptions, RequestSession, StartResponse, SupportsCookie
from .session import Session

__all__ = ["RETRY_AFTER", "SessionMiddleware", "get_session", "watch"]

KEY: Final = "session_core.request"

RETRY_AFTER: Final = "5"
"""Seconds, as the text of a Retry-After header, after which a client may try again."""

_WHOLE: Final = (list, tuple)  # bodies that run no code when they are iterated

Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class SessionMiddleware:
    """Stands around a WSGI application and gives its requests a session.

    - ``manager``: opens and commits the sessions.
    - ``cookie``: how the id travels. Default: `IdCookie`; `session_cookies.CookiePolicy` fits.
    - ``persistent``: whether the cookie gets a Max-Age. Default False: it ends with the browser,
      and the store's own clocks end the session.
    - ``headers``: whether responses get ``Vary: Cookie`` where the session was used, and
      ``Cache-Control: no-store`` with a session cookie, unless they have their own. Default True.
    - ``on_outage``: ``error`` (default) answers 503 when the store cannot be asked, ``anonymous``
      goes on with an empty session that is not stored.
    - ``key``: where in the environment the session is found, for `get_session`.
    """

    def __init__(
        self,
        app: Application,
        manager: SessionManager,
        cookie: SupportsCookie | None = None,
        *,
        persistent: bool = False,
        headers: bool = True,
        on_outage: OnOutage = "error",
        key: str = KEY,
    ) -> None:
        if not isinstance(manager, SessionManager):
            raise ConfigurationError(
                "SessionMiddleware(app, manager) takes a SessionManager: SessionManager(store)"
            )
        if on_outage not in ("error", "anonymous"):
            raise ConfigurationError(f"on_outage must be 'error' or 'anonymous', not {on_outage!r}")
        self._app = app
        self._options = RequestOptions(
            manager,
            cookie or IdCookie(),
            persistent=persistent,
            headers=headers,
            on_outage=on_outage,
        )
        self._key = key

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = RequestSession(self._options, environ, start_response)
        environ[self._key] = request
        try:
            body = self._app(environ, request.start_response)
        except StoreUnavailable:
            if request.began:
                raise
            return _unavailable(request, environ, start_response)
        if request.fault is not None:
            _close(body)
            return _refuse(request.fault, request, environ, start_response)
        if not request.began:  # a generator, which starts when the server asks for a first chunk
            return _Unstarted(body, request, environ, start_response)
        request.release()
        return watch(body, request)


def get_session(environ: dict[str, Any], key: str = KEY) -> Session:
    """Return the session of the request; the first call loads it.

    Raises `StoreUnavailable`, which the middleware turns into a 503 if you let it pass, and
    `SessionClosed` when the first call comes after the response headers have left.
    """
    try:
        request: RequestSession = environ[key]
    except KeyError:
        raise ConfigurationError(
            "this request has no session: wrap the application in SessionMiddleware"
        ) from None
    return request.get()


def watch(body: Iterable[bytes], request: RequestSession) -> Iterable[bytes]:
    """Return the body, such that changes of the session while it streams leave a trace."""
    if request.session is None or isinstance(body, _WHOLE):
        return body
    return _Watched(body, request)


class _Watched:
    """A body whose session is looked at once more when it has been sent."""

    def __init__(self, body: Iterable[bytes], request: RequestSession) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body, then look (PEP 3333 has servers call this in any case)."""
        try:
            _close(self._body)
        finally:
            self._request.finish()


class _Unstarted:
    """A body that calls ``start_response`` while it is iterated."""

    def __init__(
        self,
        body: Iterable[bytes],
        request: RequestSession,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> None:
        self._body = body
        self._request = request
        self._environ = environ
        self._start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._body:
                if self._request.fault is not None:
                    break
                yield chunk
        except StoreUnavailable:
            if self._request.began:
                raise
            yield from _unavailable(self._request, self._environ, self._start_response)
        else:
            if self._request.fault is not None and not self._request.began:
                yield from _refuse(
                    self._request.fault, self._request, self._environ, self._start_response
                )

    def close(self) -> None:
        """Close the body, then look for changes that came too late."""
        try:
            _close(self._body)
        finally:
            if self._request.began:
                self._request.finish()


def _refuse(
    fault: SessionError,
    request: RequestSession,
    environ: dict[str, Any],
    start_response: StartResponse,
) -> list[bytes]:
    """Answer for a commit that failed; what is not an outage is the application's own error."""
    if isinstance(fault, StoreUnavailable):
        return _unavailable(request, environ, start_response)
    raise fault


def _unavailable(
    request: RequestSession, environ: dict[str, Any], start_response: StartResponse
) -> list[bytes]:
    """Answer 503. What was saved or ended before the outage stands, and the client hears of it."""
    body = b"The session store cannot be reached at the moment. Please try again.\n"
    status = "503 Service Unavailable"
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", RETRY_AFTER),
    ]
    start_response(status, request.start(status, headers))
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
