"""The classic `BottleSessions` plugin."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import GeneratorType
from typing import Any, Final, Literal

from bottle import Bottle, HTTPResponse, PluginError, request, response

from session_cookies import CookiePolicy, CookieSigner
from session_core import ConfigurationError, Event, Session, SessionError
from session_core.manager import seconds
from session_core.request import OnOutage, RequestOptions, SupportsCookie

from .cookie import SignedCookie
from .errors import BottleManager
from .explain import explain
from .layer import Layer, Scope
from .option import find_backing, from_environment, read_secure

__all__ = ["BottleSessions", "get_session"]


class BottleSessions:
    """Gives every request of a Bottle app a session: ``request.session``, a dict that survives.

        app = Bottle()
        btl = BottleSessions(app)

    - ``app``: install at once. Default None: call ``app.install(btl)`` yourself.
    - ``session_backing``: where sessions are kept. None or {} for memory, a dict with
      ``cache_type`` and the options of that type, a `Backing`, a cachelib cache, or any object
      that honours the store contract (`session_core.store`). Further keyword arguments are
      options of the backing as well.
    - ``session_cookie``: name of the cookie. Environment: ``SESSION_COOKIE``.
    - ``session_expire``: idle timeout, in seconds or a timedelta, since the last write; also the
      cookie's Max-Age. Environment: ``SESSION_LIFE`` (seconds).
    - ``session_secure``: cookie over https only. ``'auto'``: if the request came over https.
      Environment: ``SESSION_SECURE``.
    - ``session_path``: path of the cookie. Environment: ``SESSION_PATH``.
    - ``session_reference``: name of the request attribute, and of the plugin.
    - ``session_samesite``: ``'Lax'``, ``'Strict'``, ``'None'``, or None for no attribute.
    - ``session_domain``: Domain of the cookie; None for the host that set it.
    - ``session_partitioned``: a separate cookie under each embedding site (CHIPS).
    - ``session_secret``: a text, or a list of texts OLDEST FIRST, to sign the cookie with: the
      last one signs, all of them verify. Default None: unsigned, 256 random bits. Environment:
      ``SESSION_SECRET`` (one key).
    - ``session_absolute``: absolute timeout, in seconds or a timedelta. Default None.
    - ``session_rolling``: reading extends a session, too, writing at most once per tenth of its
      idle timeout.
    - ``session_persistent``: the cookie gets a Max-Age, and is sent again whenever the session is
      extended. False: it ends with the browser session, and is sent once.
    - ``session_headers``: responses get ``Vary: Cookie`` where the session was used, and
      ``Cache-Control: no-store`` with a session cookie, unless they have one. False: they do not.
    - ``session_on_outage``: ``'error'`` answers 503 when the store cannot be asked,
      ``'anonymous'`` goes on with an empty session that is not stored.
    - ``session_max_bytes``: the largest session that is stored.
    - ``session_wait``: bound, in seconds, for every call of the store and for merging.
    - ``session_on_event``: called with each `session_core.Event`.
    - ``session_clock``: returns seconds since the epoch; for tests.

    Raises `ConfigurationError` or `CookiePolicyError`, both of them ValueErrors, for what cannot
    work, and `bottle.PluginError` when two instances on one app clash.
    """

    api = 2

    def __init__(
        self,
        app: Bottle | None = None,
        session_backing: Any = None,
        session_cookie: str = "bottlecookie",
        session_expire: float | timedelta = 300,
        session_secure: bool | Literal["auto"] = True,
        session_path: str = "/",
        session_reference: str = "session",
        *,
        session_samesite: str | None = "Lax",
        session_domain: str | None = None,
        session_partitioned: bool = False,
        session_secret: str | bytes | Iterable[str | bytes] | None = None,
        session_absolute: float | timedelta | None = None,
        session_rolling: bool = False,
        session_persistent: bool = True,
        session_headers: bool = True,
        session_on_outage: OnOutage = "error",
        session_max_bytes: int = 1024 * 1024,
        session_wait: float = 2,
        session_on_event: Callable[[Event], None] | None = None,
        session_clock: Callable[[], float] = time.time,
        **backing_options: Any,
    ) -> None:
        if not isinstance(session_reference, str) or not session_reference.isidentifier():
            raise ConfigurationError("session_reference must be a name, as in request.session")
        if session_on_outage not in ("error", "anonymous"):
            raise ConfigurationError("session_on_outage must be 'error' or 'anonymous'")
        self.name: Final = session_reference
        self.attribute: Final = f"bottle.request.ext.{session_reference}"
        self.scope_key: Final = f"session_bottle.{id(self)}"
        self.persistent: Final = session_persistent
        self.headers: Final = session_headers
        self.backing: Final = find_backing(session_backing, backing_options, session_wait)
        self.manager: Final = BottleManager(
            self.backing,
            idle_timeout=seconds("session_expire", _life(session_expire)),
            absolute_timeout=session_absolute,
            rolling=session_rolling,
            max_bytes=session_max_bytes,
            wait=session_wait,
            clock=session_clock,
            on_event=session_on_event,
        )
        self.cookie_secure: Final = read_secure(session_secure)
        policy = functools.partial(
            CookiePolicy,
            from_environment(session_cookie, "SESSION_COOKIE"),
            path=from_environment(session_path, "SESSION_PATH", "SECURE_PATH"),
            domain=session_domain,
            same_site=session_samesite,
            partitioned=session_partitioned,
            max_age=self.manager.idle_timeout if session_persistent else None,
        )
        secret = from_environment(session_secret, "SESSION_SECRET")
        usual = policy(secure=self.cookie_secure is not False)
        over_http = policy(secure=False) if self.cookie_secure == "auto" else usual
        self.policies: Final = {True: usual, False: over_http}
        """By whether the request came over https."""
        self.cookies: Final[dict[bool, SupportsCookie]] = {
            https: each if secret is None else self._signed(each, secret)
            for https, each in self.policies.items()
        }
        self.requests: Final = {
            https: RequestOptions(
                self.manager,
                cookie,
                persistent=session_persistent,
                headers=session_headers,
                on_outage=session_on_outage,
            )
            for https, cookie in self.cookies.items()
        }
        """What its requests have in common, by the same."""
        self.cookie_name: Final = self.policies[True].name
        self.cookie_expire: Final = self.manager.idle_timeout
        self.session_path: Final = self.policies[True].path
        self.warned_of_http = False
        self._layers: list[Layer] = []
        if app is not None:
            app.install(self)

    # -- Bottle's plugin interface -----------------------------------------------------------

    def setup(self, app: Bottle) -> None:
        """Called by ``app.install``."""
        for other in app.plugins:
            if isinstance(other, BottleSessions):
                for option, mine, theirs in (
                    ("session_reference", self.name, other.name),
                    ("session_cookie", self.cookie_name, other.cookie_name),
                ):
                    if mine == theirs:
                        raise PluginError(
                            f"two BottleSessions on one app have the same {option}={mine!r}; "
                            "give one of them another"
                        )
        self._layers.append(Layer(self, app))

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        """Called for each route. Does something only where no layer of this plugin is outside."""

        @functools.wraps(callback)
        def session_wrapper(*args: Any, **kwargs: Any) -> Any:
            if self.scope_key in request.environ:
                return callback(*args, **kwargs)
            return self._run_without_layer(callback, args, kwargs)

        return session_wrapper

    def close(self) -> None:
        """Called by ``app.uninstall``, and by ``app.close``."""
        removed = [layer for layer in self._layers if self not in layer.app.plugins]
        for layer in removed or self._layers:
            layer.remove()
        self._layers = [layer for layer in self._layers if removed and layer not in removed]

    @property
    def on_event(self) -> Callable[[Event], None] | None:
        """What is called with each `session_core.Event`; set it at any time, or to None.

        It begins as ``session_on_event``. In it, ``bottle.request`` is the current request.
        """
        return self.manager.events.hook

    @on_event.setter
    def on_event(self, hook: Callable[[Event], None] | None) -> None:
        self.manager.events.hook = hook

    # -- for routes that skip the plugin -----------------------------------------------------

    def open_session(self) -> Session:
        """Open the session of the current request and make it ``request.session``.

        For routes with ``skip=True``. Raises `StoreUnavailable`.
        """
        scope = request.environ.get(self.scope_key)
        if scope is None:
            scope = Scope(self, request.environ)
        scope.unskipped = True
        session: Session = scope.get()
        return session

    def close_session(self, session: Session) -> None:
        """Save what `open_session` returned and put the cookie on ``bottle.response``.

        Status and headers that are already set there stay. Raises what saving raises.
        """
        scope = request.environ.get(self.scope_key)
        if scope is None or scope.session is not session:
            raise SessionError("close_session takes what open_session returned in this request")
        _send(scope.commit(), response)

    def explain(self) -> str:
        """Say in plain words what became of the session cookie in the current request.

        Which cookies came and why each was accepted or not, and whether the response will carry
        one and why. For the log or a page of yours while you search for a mistake: it asks the
        store for each cookie. Holds neither ids nor data.
        """
        return explain(self, request.environ)

    def _signed(
        self, policy: CookiePolicy, secret: str | bytes | Iterable[str | bytes]
    ) -> SignedCookie:
        signer = CookieSigner(secret, cookie_name=policy.name)
        return SignedCookie(policy, signer, lambda: self.manager.events.send("signature refused"))

    # -- natively mounted and merged children -------------------------------------------------

    def _run_without_layer(
        self, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a route of an app whose parent, which has no session plugin, answers for it."""
        scope = Scope(self, request.environ)
        try:
            result = callback(*args, **kwargs)
            if isinstance(result, GeneratorType):
                result = _begun(result)
        except HTTPResponse as answer:
            self._commit(scope, answer)
            raise
        self._commit(scope, result if isinstance(result, HTTPResponse) else response)
        return result

    def _commit(self, scope: Scope, answer: Any) -> None:
        if scope.session is not None:
            cookie = scope.commit(failed=answer.status_code >= 500)
            _send(cookie, answer)
            if self.headers:
                answer.add_header("Vary", "Cookie")
                if cookie is not None and not answer.get_header("Cache-Control"):
                    answer.set_header("Cache-Control", "no-store")
            self.manager.close(scope.session)
        scope.restore()


def get_session(request: Any, reference: str = "session") -> Session:
    """Return ``request.session``, typed.

    ``reference`` is the ``session_reference`` of the plugin. Raises AttributeError where there is
    no session, as on a route that skips the plugin, and `StoreUnavailable`.
    """
    session: Session = getattr(request, reference)
    return session


def _life(given: Any) -> Any:
    """Return the idle timeout; text, as the classic package took it, becomes a number."""
    value = from_environment(given, "SESSION_LIFE")
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            "session_expire, or SESSION_LIFE in the environment, must be whole seconds, "
            f"not {value!r}"
        ) from None


def _begun(chunks: Iterator[Any]) -> Iterator[Any]:
    """Return the same chunks, with the code before the first one already run."""
    first = list(itertools.islice(chunks, 1))
    return itertools.chain(first, chunks)


def _send(cookie: str | None, answer: Any) -> None:
    if cookie is not None:
        answer.add_header("Set-Cookie", cookie)
