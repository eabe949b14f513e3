"""The WSGI layer around a Bottle app, and what ``request.session`` resolves to.

The layer puts a `Scope` into the environment. Bottle finds it there under the name of the request
attribute, sees that it has ``__get__``, and calls that on every access; so the session is opened
by the first access and never before. The commit comes when Bottle calls ``start_response``: after
handlers, hooks, error pages and the first chunk of a generator, when the final status and header
list are known.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from bottle import Bottle, HTTPError, response

from session_core import Session, SessionError, StoreUnavailable
from session_core.request import RequestSession, StartResponse
from session_core.wsgi import watch

from .errors import SessionUnavailable
from .explain import warn_of_http

if TYPE_CHECKING:
    from .plugin import BottleSessions

__all__ = ["Layer", "Scope"]

logger = logging.getLogger(__name__)


class Scope(RequestSession):
    """The session of one request of one plugin, as Bottle reaches it."""

    unskipped = False
    """Whether ``open_session`` was called, so that a skipped route has its session, too."""

    def __init__(
        self,
        plugin: BottleSessions,
        environ: dict[str, Any],
        start_response: StartResponse | None = None,
    ) -> None:
        # What the constructor of the parent does, without the call: every request comes here.
        self._options = plugin.requests[environ["wsgi.url_scheme"] == "https"]
        self._environ = environ
        self._start_response = start_response
        self._plugin = plugin
        self._hidden = environ.get(plugin.attribute)
        environ[plugin.scope_key] = environ[plugin.attribute] = self

    def __get__(self, request: object, owner: object = None) -> Session:
        route = self._environ.get("bottle.route")
        if route is not None and route.skiplist and not self.unskipped and self._skipped(route):
            raise AttributeError(
                f"request.{self._plugin.name} is not there: this route skips the session plugin"
            )
        try:
            return self.get()
        except SessionError:
            raise
        except Exception as error:  # Bottle would take a KeyError for a missing attribute
            raise SessionError(
                f"the session could not be opened: {type(error).__name__}"
            ) from error

    def restore(self) -> None:
        """Give the name back to the app that has mounted this one.

        Bottle has started the response by now, so nothing of the server's needs to be held.
        """
        self._start_response = None
        plugin = self._plugin
        environ = self._environ
        session = self.session
        if (
            session is not None
            and session.session_is_saved
            and environ["wsgi.url_scheme"] != "https"
        ):
            plugin.warned_of_http = plugin.warned_of_http or warn_of_http(plugin, environ)
        if environ.get(plugin.attribute) is not self:
            logger.warning(
                "request.%s was assigned to, which stores nothing: write request.%s.clear() and "
                "request.%s.update(...) to replace its content",
                *(plugin.name,) * 3,
            )
        if self._hidden is not None:
            environ[plugin.attribute] = self._hidden

    def _skipped(self, route: Any) -> bool:
        if "mountpoint.target" in route.config:  # Bottle's own skip=True on what it mounts
            return False
        plugin = self._plugin
        skiplist = route.skiplist
        return (
            True in skiplist
            or plugin.name in skiplist
            or plugin in skiplist
            or type(plugin) in skiplist
        )


class Layer:
    """Stands in for ``app.wsgi``."""

    def __init__(self, plugin: BottleSessions, app: Bottle) -> None:
        self.app: Final = app
        self._plugin: BottleSessions | None = plugin
        self._inner: Final[Callable[..., Iterable[bytes]]] = app.wsgi
        # Bottle 0.13 refuses to assign an attribute of an app twice.
        app.__dict__["wsgi"] = self

    def remove(self) -> None:
        """Undo what the constructor did, as far as nobody has wrapped this layer meanwhile."""
        self._plugin = None
        if self.app.__dict__.get("wsgi") is self:
            if isinstance(self._inner, Layer):
                self.app.__dict__["wsgi"] = self._inner
            else:
                del self.app.__dict__["wsgi"]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        plugin = self._plugin
        if plugin is None or plugin.scope_key in environ:  # a parent has this plugin, too
            return self._inner(environ, start_response)
        scope = Scope(plugin, environ, start_response)
        body = self._inner(environ, scope.start_response)
        if scope.fault is not None:
            if hasattr(body, "close"):
                body.close()
            body = self._answer(scope.fault, scope, environ, start_response)
        scope.restore()
        scope.release()
        if scope.session is None or type(body) is list:  # as Bottle returns nearly always
            return body
        return watch(body, scope)

    def _answer(
        self,
        fault: SessionError,
        scope: Scope,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        """Answer with Bottle's error page for a commit that failed."""
        if isinstance(fault, SessionUnavailable):
            error: HTTPError = fault
        elif isinstance(fault, StoreUnavailable):
            error = SessionUnavailable(fault)
        else:
            if not self.app.catchall:
                raise fault
            trace = "".join(traceback.format_exception(fault))
            environ["wsgi.errors"].write(trace)
            error = HTTPError(500, "Internal Server Error", fault, trace)
        try:
            body: Iterable[bytes] = self.app._cast(error)
        except Exception as failure:
            if not isinstance(error, SessionUnavailable):
                raise
            # Most likely the app's own 503 page needs the session that cannot be had.
            if not isinstance(failure, SessionUnavailable):
                logger.exception("the app's own page for 503 failed")
            error.apply(response)
            body = self.app._cast(error.body)
        if environ["REQUEST_METHOD"] == "HEAD":
            body = []
        start_response(response.status_line, scope.start(response.status_line, response.headerlist))
        return body
