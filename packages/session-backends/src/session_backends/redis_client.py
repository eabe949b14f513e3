"""Redis clients that wait a bounded time and send every command once."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Final

from session_core.errors import ConfigurationError

from .wait import shorter

__all__ = ["import_redis", "new_client", "private_client"]

logger = logging.getLogger(__name__)

_REPLACED: Final = ("retry", "retry_on_error", "retry_on_timeout")
"""Settings that make redis-py send a command again."""

_PLUMBING: Final = ("event_dispatcher", "himport_registry", "maint_", "oss_cluster_maint_", "orig_")
"""How the settings begin that redis-py adds to a pool for itself; another pool makes its own."""


def import_redis() -> Any:
    """Return the module redis. Raises `ConfigurationError` that names the extra to install."""
    try:
        import redis
    except ImportError as error:
        raise ConfigurationError(
            "Redis needs the client library redis-py: pip install 'session-backends[redis]'"
        ) from error
    return redis


def new_client(options: dict[str, Any], wait: float) -> Any:
    """Return a client for keyword arguments of `redis.Redis`, or for an address in ``url``.

    It waits ``wait`` seconds at most, if ``options`` does not say otherwise, and never repeats a
    command. Does not connect. Raises `ConfigurationError`.
    """
    module = import_redis()
    repeating = [name for name in _REPLACED if name in options]
    if repeating:
        raise ConfigurationError(
            f"{', '.join(repeating)}: leave it out, because a write of a session must never be "
            "repeated (give code of your own that wants retries a client of its own)"
        )
    once = module.retry.Retry(module.backoff.NoBackoff(), 0)
    settings = {"socket_timeout": wait, "socket_connect_timeout": wait, "retry": once, **options}
    url = settings.pop("url", None)
    try:
        return module.Redis(**settings) if url is None else module.Redis.from_url(url, **settings)
    except TypeError as error:
        raise ConfigurationError(f"redis.Redis does not take these options: {error}") from None
    except ValueError:
        # Its text quotes the address, and a password may be in it.
        raise ConfigurationError(
            "the Redis address cannot be read: write redis://, rediss:// or unix:// and so on, as "
            "in redis://:password@host:6379/0"
        ) from None


def private_client(client: Any, wait: float) -> Any:
    """Return a client for the same server and database whose connections only sessions use.

    They wait ``wait`` seconds at most (less if ``client`` has a shorter timeout), answer in bytes
    and send no command twice. A client that they cannot be derived from is used as it is, with
    a warning. Raises `ConfigurationError` for what is no client.
    """
    if not callable(getattr(client, "execute_command", None)) or isinstance(client, type):
        raise ConfigurationError(
            f"a {type(client).__name__} is no Redis client: pass a host name or a redis.Redis(...)"
        )
    if inspect.iscoroutinefunction(client.execute_command):
        raise ConfigurationError(
            "an asyncio client cannot be used here: pass a redis.Redis instead of redis.asyncio's"
        )
    pool = getattr(client, "connection_pool", None)
    settings = getattr(pool, "connection_kwargs", None)
    if not isinstance(settings, dict):
        _warn(client, ["its settings cannot be read"])
        return client
    if settings.get("decode_responses"):
        raise ConfigurationError(
            "the Redis client has decode_responses=True, but session records are bytes: make it "
            "without decode_responses, or give the address instead of a client"
        )
    doubts = _doubts(settings)
    module = import_redis()
    if type(pool) not in (module.ConnectionPool, module.BlockingConnectionPool):
        if doubts:
            _warn(client, doubts)
        return client
    if doubts:
        logger.warning(
            "the Redis client %s: sessions use connections of their own to the same server, with "
            "bounded waits and without retries",
            " and ".join(doubts),
        )
    return module.Redis(connection_pool=_private_pool(module, pool, settings, wait))


def _private_pool(module: Any, pool: Any, settings: dict[str, Any], wait: float) -> Any:
    own = {
        name: value
        for name, value in settings.items()
        if name not in _REPLACED and not name.startswith(_PLUMBING)
    }
    own.update(
        retry=module.retry.Retry(module.backoff.NoBackoff(), 0),
        socket_timeout=shorter(own.get("socket_timeout"), wait),
        # Version 3 lets the server announce maintenance, upon which the client waits longer.
        protocol=2,
    )
    if "path" not in own:
        own["socket_connect_timeout"] = shorter(own.get("socket_connect_timeout"), wait)
    if isinstance(pool, module.BlockingConnectionPool):
        own["timeout"] = pool.timeout
    return type(pool)(
        connection_class=pool.connection_class, max_connections=pool.max_connections, **own
    )


def _doubts(settings: dict[str, Any]) -> list[str]:
    """Return what in a client's settings must not count for sessions."""
    doubts = []
    retry = settings.get("retry")
    # redis-py 5 has no public way to ask for the number.
    if settings.get("retry_on_timeout") or (retry and getattr(retry, "_retries", 1) != 0):
        doubts.append("repeats commands whose outcome is unknown")
    if settings.get("socket_timeout") is None:
        doubts.append("waits for ever (no socket_timeout)")
    return doubts


def _warn(client: Any, doubts: list[str]) -> None:
    logger.warning(
        "sessions use a %s as it is: %s; a write that is repeated can undo another one, and a wait "
        "without bound blocks the server: give it socket_timeout=2 and no retries",
        type(client).__name__,
        " and ".join(doubts),
    )
