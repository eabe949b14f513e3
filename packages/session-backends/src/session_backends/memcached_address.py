"""Where memcached servers are: all the ways in which people write it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from session_core.errors import ConfigurationError

__all__ = ["Address", "address_name", "read_addresses"]

Address = tuple[str, int] | str
"""Host and port, or the path of a socket."""

PORT: Final = 11211

_HELP: Final = (
    "write servers=['host:11211'], several for several servers; an entry is 'host', 'host:port', "
    "('host', port), '[::1]:11211' or 'unix:/path/of/the/socket'"
)


def read_addresses(servers: Any) -> list[Address]:
    """Return the addresses in ``servers``: one, or several in a list or separated by commas.

    Raises `ConfigurationError` that shows how to write them.
    """
    if isinstance(servers, str):
        servers = [part for part in servers.split(",") if part.strip()]
    elif isinstance(servers, tuple | list) and len(servers) == 2 and isinstance(servers[1], int):
        servers = [servers]
    if not isinstance(servers, Iterable) or isinstance(servers, bytes | dict):
        raise ConfigurationError(f"servers cannot be a {type(servers).__name__}: {_HELP}")
    addresses = [_read(server) for server in servers]
    if not addresses:
        raise ConfigurationError(f"servers is empty: {_HELP}")
    names = [address_name(address) for address in addresses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"servers names {', '.join(twice)} more than once")
    return addresses


def address_name(address: Address) -> str:
    """Return an address as text, the same however it was written."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read(server: Any) -> Address:
    if isinstance(server, tuple | list) and len(server) == 2:
        host, port = server
        if isinstance(host, str) and host:
            return host, _port(port, server)
    if isinstance(server, str) and server.strip():
        return _read_text(server.strip())
    raise ConfigurationError(f"{server!r} is no memcached server: {_HELP}")


def _read_text(text: str) -> Address:
    if text.startswith("unix:"):
        return text.removeprefix("unix:").removeprefix("//")
    if text.startswith("/"):
        return text
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if closed and host and (not rest or rest.startswith(":")):
            return host, _port(rest[1:] or PORT, text)
    elif text.count(":") > 1:
        return text, PORT  # a bare IPv6 address
    elif not text.startswith(":") and "/" not in text:
        host, _, port = text.partition(":")
        return host, _port(port or PORT, text)
    raise ConfigurationError(f"{text!r} is no memcached server: {_HELP}")


def _port(port: Any, server: Any) -> int:
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 65536:
        raise ConfigurationError(f"{server!r} has no usable port: {_HELP}")
    return number
