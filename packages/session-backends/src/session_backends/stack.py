"""Connections that are not in use at the moment, for Redis and for memcached."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from .process import PerProcess

__all__ = ["ConnectionStack", "NoneFree"]

C = TypeVar("C")

IDLE: Final = 64
"""How many unused connections are kept; more are opened when threads need them."""


class NoneFree(Exception):
    """All connections are in use, and stayed so."""


class _Idle(Generic[C]):
    """What one process has: the connections, and a token for each that may be taken."""

    def __init__(self, limit: int | None) -> None:
        self.connections: deque[C] = deque()
        # Both in C: a semaphore takes longer than all the rest.
        self.tokens: SimpleQueue[None] | None = None if limit is None else SimpleQueue()
        for _ in range(limit or 0):
            self.tokens.put(None)  # type: ignore[union-attr]


class ConnectionStack(Generic[C]):
    """Connections, one for each thread that is talking to the server.

    One whose answer was not read to its end must be closed before it is given back, whatever the
    reason: the rest of the answer would be taken for the answer to the next question, which may be
    somebody else's.
    """

    __slots__ = ("_close", "_idle", "_new", "_socket_of", "_wait")

    def __init__(
        self,
        new: Callable[[], C],
        close: Callable[[C], None],
        socket_of: Callable[[C], Any],
        *,
        limit: int | None = None,
        wait: float = 0,
    ) -> None:
        """``new`` makes one that connects at its first use, and again after ``close``.

        There are at most ``limit`` of them; ``wait`` is how many seconds one waits for a free one.
        """
        self._new = new
        self._close = close
        self._socket_of = socket_of
        self._wait = wait
        # A connection that two processes share would mix up their answers.
        self._idle: PerProcess[_Idle[C]] = PerProcess(lambda: _Idle(limit), self._close_all)

    def __len__(self) -> int:
        return len(self._idle.get().connections)

    def take(self) -> C:
        """Return a connection that nobody else has, to be given back. Raises `NoneFree`."""
        idle = self._idle.get()
        if idle.tokens is not None:
            try:
                idle.tokens.get(timeout=self._wait)
            except Empty:
                raise NoneFree from None
        try:
            connection = idle.connections.pop()
        except IndexError:
            return self._new()
        if _is_stale(self._socket_of(connection)):
            self._close(connection)  # it connects anew
        return connection

    def give(self, connection: C) -> None:
        """Take back what `take` has returned."""
        idle = self._idle.get()
        if len(idle.connections) < IDLE:
            idle.connections.append(connection)
        else:
            self._close(connection)
        if idle.tokens is not None:
            idle.tokens.put(None)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._close_all(self._idle.get())

    def _close_all(self, idle: _Idle[C]) -> None:
        while True:
            try:
                self._close(idle.connections.pop())
            except IndexError:
                return


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
