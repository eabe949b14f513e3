"""Why a session cookie was or was not accepted and sent, in plain words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from session_cookies import CookiePolicy
from session_core import Session, StoreUnavailable
from session_core.ids import is_session_id, store_key
from session_core.look import look
from session_core.manager import MAX_CANDIDATES
from session_core.record import Dead
from session_core.snapshot import Snapshot

if TYPE_CHECKING:
    from .plugin import BottleSessions

__all__ = ["explain", "warn_of_http"]

logger = logging.getLogger(__name__)

_LOCAL = ("localhost", "127.", "[::1]")


def is_plain_http(environ: dict[str, Any]) -> bool:
    """Whether the browser most likely came over plain http, and not to its own machine."""
    if environ["wsgi.url_scheme"] == "https" or environ.get("HTTP_X_FORWARDED_PROTO") == "https":
        return False
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return not (host.startswith(_LOCAL) or host.partition(":")[0].endswith(".localhost"))


def warn_of_http(plugin: BottleSessions, environ: dict[str, Any]) -> bool:
    """Log if the cookie is Secure and leaves over plain http, and say whether it was so."""
    if plugin.cookie_secure is not True or not is_plain_http(environ):
        return False
    logger.warning(
        "a Secure session cookie was sent over plain http, and browsers will not keep it: serve "
        "the app over https; behind a proxy that does, pass X-Forwarded-Proto on; "
        "for development on a trusted network set session_secure=False"
    )
    return True


def explain(plugin: BottleSessions, environ: dict[str, Any]) -> str:
    """Return what `BottleSessions.explain` promises."""
    https = environ["wsgi.url_scheme"] == "https"
    policy = plugin.policies[https]
    scope = environ.get(plugin.scope_key)
    session = None if scope is None else scope.session
    lines = [
        *_received(plugin, policy, environ, https),
        "request.session has not been used so far: nothing is saved and no cookie is sent."
        if session is None
        else _to_be_sent(plugin, session),
    ]
    if session is not None and policy.secure and is_plain_http(environ):
        lines.append("Over plain http browsers drop the cookie, because it is Secure.")
    return "\n".join(lines)


def _received(
    plugin: BottleSessions, policy: CookiePolicy, environ: dict[str, Any], https: bool
) -> list[str]:
    header = environ.get("HTTP_COOKIE", "")
    values = policy.read(header)
    if values:
        return [_judge(plugin, policy, https, value) for value in values[:MAX_CANDIDATES]]
    lines = [
        f"The request carries cookies, but none is called {policy.name}."
        if header
        else "The request carries no cookie."
    ]
    if policy.secure and is_plain_http(environ):
        lines.append("The cookie is Secure and the request came over plain http: it stays away.")
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if not path.startswith(policy.path):
        lines.append(f"The cookie is for {policy.path} and below, and this path is not.")
    host = environ.get("HTTP_HOST", "").partition(":")[0].lower()
    domain = (policy.domain or host).lower()
    if host != domain and not host.endswith(f".{domain}"):
        lines.append(f"The cookie is for {domain}, and this host is not in it.")
    if policy.same_site == "Strict":
        lines.append("It is SameSite=Strict: who followed a link from another site has none.")
    return lines


def _judge(plugin: BottleSessions, policy: CookiePolicy, https: bool, value: str) -> str:
    cookie = f"A cookie {policy.name} came"
    ids = plugin.cookies[https].read(f"{policy.name}={value}")
    if not ids:
        return f"{cookie}, but its signature is not by one of our keys: refused."
    if not is_session_id(ids[0]):
        return f"{cookie}, but it does not look like one of ours: refused."
    try:
        found, version = look(plugin.manager, store_key(ids[0]))
    except StoreUnavailable:
        return f"{cookie}, and the store cannot be asked about it."
    if isinstance(found, Snapshot):
        return f"{cookie}, and its session is stored: accepted."
    if isinstance(found, Dead):
        return f"{cookie}, but its session has just ended ({found.reason})."
    if version is not None:
        return f"{cookie}, but its session has timed out or cannot be read."
    return f"{cookie}, but the store does not know it: it has ended, timed out, or never was."


def _to_be_sent(plugin: BottleSessions, session: Session) -> str:
    if session.session_deleted:
        return "The session was deleted: the response removes the cookie."
    if session.session_gone:
        return "The session ended elsewhere: what is written to it is dropped, no cookie is sent."
    if session.session_expires_in is None:
        if not session:
            return "There is no session, and nothing was put into it: no cookie is sent."
        return "A new session: unless the request fails, it is stored and its cookie sent."
    if not (session.session_modified or session.session_is_saved):
        return "Nothing was assigned so far: unless a value changes inside, no cookie is sent."
    persistent = session.session_persistent
    if plugin.persistent if persistent is None else persistent:
        return "The session is saved, and its cookie is sent again with a new life time."
    return "The session is saved. Its cookie ends with the browser and is not sent again."
