"""Connections to memcached that wait a bounded time and acknowledge only what happened."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from session_core.errors import ConfigurationError

from .memcached_address import read_addresses
from .memcached_node import Node, import_pymemcache
from .wait import shorter

__all__ = ["Servers", "find_servers"]

logger = logging.getLogger(__name__)


class Servers(NamedTuple):
    """Servers, and what a ready-made client does with keys and values."""

    nodes: list[Node]
    key_prefix: str = ""
    """What it puts before every key."""
    serde: Any = None
    """How it turns values into bytes; None if it leaves that to its user."""


def find_servers(servers: Any, wait: float) -> Servers:
    """Return the servers at these addresses, or those of a ready-made pymemcache client.

    Of such a client only the settings are used. Its connections are not: they may wait for ever,
    acknowledge writes that did not happen (``default_noreply``) or unpickle what they read.
    ``wait`` bounds, in seconds, each wait for a connection and for an answer. Does not connect.
    Raises `ConfigurationError`.
    """
    module = import_pymemcache()
    if isinstance(servers, module.HashClient):
        clients = list(servers.clients.values())
    elif isinstance(servers, module.Client | module.PooledClient):
        clients = [servers]
    elif hasattr(servers, "get") and hasattr(servers, "set"):
        raise ConfigurationError(
            f"servers cannot be a {type(servers).__name__}: sessions need pymemcache without "
            "retries around it; give the addresses, as in servers=['host:11211'], or a "
            "pymemcache Client, PooledClient or HashClient"
        )
    else:
        settings = {"connect_timeout": wait, "timeout": wait}
        return Servers([Node(address, settings) for address in read_addresses(servers)])
    if not clients:
        raise ConfigurationError("the HashClient has no servers")
    doubts = _doubts(module, servers, clients)
    if doubts:
        logger.warning(
            "the memcached client %s: sessions use connections of their own to the same servers, "
            "which wait %g s at most and carry bytes",
            " and ".join(doubts),
            wait,
        )
    nodes = [Node(client.server, _settings(client, wait)) for client in clients]
    serde = clients[0].serde if _converts(module, clients[0]) else None
    return Servers(nodes, clients[0].key_prefix.decode("ascii"), serde)


def _settings(client: Any, wait: float) -> dict[str, Any]:
    return {
        "connect_timeout": shorter(client.connect_timeout, wait),
        "timeout": shorter(client.timeout, wait),
        "tls_context": client.tls_context,
        "socket_keepalive": client.socket_keepalive,
    }


def _converts(module: Any, client: Any) -> bool:
    plain = module.serde.LegacyWrappingSerde(None, None)
    return any(
        getattr(getattr(client.serde, method), "__func__", None)
        is not getattr(plain, method).__func__
        for method in ("serialize", "deserialize")
    )


def _doubts(module: Any, given: Any, clients: Iterable[Any]) -> list[str]:
    doubts = []
    if any(client.timeout is None or client.connect_timeout is None for client in clients):
        doubts.append("waits for ever (no timeout or connect_timeout)")
    if any(client.default_noreply for client in clients):
        doubts.append("acknowledges writes unseen (default_noreply)")
    if any(_converts(module, client) for client in clients):
        doubts.append("converts values (serde), maybe by pickle")
    if given.ignore_exc:
        doubts.append("hides faults (ignore_exc)")
    if isinstance(given, module.HashClient):
        doubts.append("moves keys to other servers when one is down (HashClient)")
    return doubts
