"""One memcached server and the connections to it."""

from __future__ import annotations

import functools
import select
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from session_core.errors import ConfigurationError

from .memcached_address import Address, address_name
from .process import PerProcess

__all__ = ["Node", "import_pymemcache"]

IDLE: Final = 64
"""How many unused connections are kept for each server; more are opened when threads need them."""


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
    """One server: a pool of connections, one for each thread that is talking to it.

    A connection whose answer was not read to its end is closed, whatever the reason: the rest of
    the answer would be taken for the answer to the next question, which may be somebody else's.
    """

    def __init__(self, address: Address, settings: dict[str, Any], serde: Any = None) -> None:
        """``settings`` are pymemcache's, timeouts above all. ``serde`` is its way to turn values
        into bytes; None: they are bytes."""
        self.address = address
        self.settings = settings
        self.name = address_name(address)
        self._connection_class = _connection_class()
        self._serde = serde
        # A connection that two processes share would mix up their answers.
        self._idle: PerProcess[deque[Any]] = PerProcess(deque, _close_all)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Lend a client to the ``with`` block. Raises what it raises."""
        idle = self._idle.get()
        try:
            client = idle.pop()
        except IndexError:
            client = self._new_client()
        else:
            if _is_stale(client.sock):
                client.close()  # it connects anew
        try:
            yield client
        except BaseException:
            client.close()
            raise
        if len(idle) < IDLE:
            idle.append(client)
        else:
            client.close()

    def _new_client(self) -> Any:
        return self._connection_class(
            self.address, serde=self._serde, default_noreply=False, **self.settings
        )

    def close(self) -> None:
        """Close the connections that are not in use. The node can still be used."""
        _close_all(self._idle.get())


def _is_stale(connected: socket.socket | None) -> bool:
    """Say whether the other side has closed the connection, or sent what nobody asked for.

    Between two questions nothing is to be read, so a socket with something to read is of no use.
    It saves the first request after a restart of the server from failing.
    """
    if connected is None:
        return False
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(connected, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([connected], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _close_all(idle: deque[Any]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return
