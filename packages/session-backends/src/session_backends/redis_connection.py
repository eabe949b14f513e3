"""Commands to Redis without what redis-py does around each of them.

For every command redis-py takes a connection out of a pool and looks after retries, maintenance and
statistics, which takes half as long as the answer does on the way from the same host. Here its
connections come from a stack of our own. For clients that this does not fit there is
`redis.Redis.execute_command`, which sends the same and returns the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .redis_client import import_redis
from .stack import ConnectionStack, NoneFree
from .wait import shorter

__all__ = ["find_execute"]

UNLIMITED: Final = 10_000
"""From this number of connections on, a limit is none."""

Execute = Callable[..., Any]


def find_execute(client: Any, wait: float) -> Execute:
    """Return what sends a command, once, and returns Redis's answer.

    It raises redis-py's errors. ``wait``: how many seconds it waits for a free connection, where
    their number is limited.
    """
    module = import_redis()
    pool = getattr(client, "connection_pool", None)
    if type(pool) in (module.ConnectionPool, module.BlockingConnectionPool):
        return _Connections(module, pool, wait).execute
    execute: Execute = client.execute_command
    return execute


class _Connections:
    """Connections of redis-py, of which only methods are used that have public names."""

    def __init__(self, module: Any, pool: Any, wait: float) -> None:
        new, settings = pool.connection_class, pool.connection_kwargs
        self._error: type[Exception] = module.ConnectionError
        self._stack: ConnectionStack[Any] = ConnectionStack(
            lambda: new(**settings),
            lambda connection: connection.disconnect(),
            lambda connection: getattr(connection, "_sock", None),  # the one that has none
            limit=pool.max_connections if pool.max_connections < UNLIMITED else None,
            wait=shorter(getattr(pool, "timeout", None), wait),
        )

    def execute(self, *command: Any) -> Any:
        try:
            connection = self._stack.take()
        except NoneFree:
            raise self._error("No connection available.") from None
        try:
            connection.send_packed_command(connection.pack_command(*command))
            return connection.read_response()
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._stack.give(connection)
