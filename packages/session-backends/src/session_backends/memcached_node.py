"""One memcached server and the connections to it."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from session_core.errors import ConfigurationError

from .memcached_address import Address, address_name
from .stack import ConnectionStack

__all__ = ["Node", "import_pymemcache"]


def import_pymemcache() -> Any:
    """Return the module pymemcache. Raises `ConfigurationError` with the extra to install."""
    try:
        import pymemcache
    except ImportError as error:
        raise ConfigurationError(
            "memcached needs the client library pymemcache: "
            "pip install 'session-backends[memcached]'"
        ) from error
    return pymemcache


@functools.cache
def _connection_class() -> Any:
    """Return pymemcache's client for one connection, with its way of connecting repaired.

    pymemcache tries only the first address of a name: where ``localhost`` is ``::1`` first, it
    does not find a server on 127.0.0.1.
    """
    client_class = import_pymemcache().Client

    class Connection(client_class):  # type: ignore[misc, valid-type, unused-ignore]
        def _connect(self) -> None:
            if isinstance(self.server, str):
                super()._connect()
                return
            self.close()
            connected = socket.create_connection(self.server, self.connect_timeout)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.tls_context is not None:
                    connected = self.tls_context.wrap_socket(
                        connected, server_hostname=self.server[0]
                    )
                connected.settimeout(self.timeout)
            except BaseException:
                connected.close()
                raise
            self.sock = connected

        def __del__(self) -> None:
            if getattr(self, "sock", None) is not None:
                self.close()

    return Connection


class Node:
    """One server, and the connections to it."""

    def __init__(self, address: Address, settings: dict[str, Any], serde: Any = None) -> None:
        """``settings`` are pymemcache's, timeouts above all. ``serde`` is its way to turn values
        into bytes; None: they are bytes."""
        self.address = address
        self.settings = settings
        self.name = address_name(address)
        connection_class = _connection_class()
        self._stack: ConnectionStack[Any] = ConnectionStack(
            lambda: connection_class(address, serde=serde, default_noreply=False, **settings),
            lambda client: client.close(),
            lambda client: client.sock,
        )

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Lend a client to the ``with`` block. Raises what it raises."""
        client = self._stack.take()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        finally:
            self._stack.give(client)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call one method of a client. Raises what it raises."""
        client = self._stack.take()
        try:
            return getattr(client, method)(*arguments)
        except BaseException:
            client.close()
            raise
        finally:
            self._stack.give(client)

    def close(self) -> None:
        """Close the connections that are not in use. The node can still be used."""
        self._stack.close()
