"""Sessions in memcached."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from session_core.errors import ConfigurationError, RecordTooLarge, StoreError, StoreUnavailable

from .memcached_client import Servers, find_servers
from .memcached_node import Node
from .memcached_time import memcached_expiry
from .rendezvous import choose
from .wait import as_wait

__all__ = ["MemcachedStore"]

_PREFIX = re.compile(r"[!-~]{0,50}")


class MemcachedStore:
    """Keeps records in one or several memcached servers, for any number of threads and hosts.

    ``servers`` is an address (``'host'``, ``'host:port'``, ``('host', port)``, ``'[::1]:11211'``,
    ``'unix:/path'``), several of them in a list or separated by commas, or a pymemcache client, of
    which only the settings are used. ``prefix`` begins every key (50 characters at most).
    ``wait`` is how many seconds each connection and each answer may take (default 2).

    Every verb is one round trip; the version is memcached's own cas number. A key stays on its
    server, chosen by hashing: while that one is down its sessions are unavailable, and no other
    server answers for it, because what ended there would be alive again here. So give every
    process the same list of servers, by the same names.

    memcached is a cache: it drops records when it is full or restarted, and its users must log in
    again then. Raises `ConfigurationError` for what cannot be used. Does not connect.
    """

    def __init__(
        self, servers: Any, *, prefix: str = "session:", wait: float | timedelta = 2.0
    ) -> None:
        found = servers if isinstance(servers, Servers) else find_servers(servers, as_wait(wait))
        self._prefix = found.key_prefix + prefix
        if not _PREFIX.fullmatch(self._prefix):
            raise ConfigurationError(
                f"the prefix {self._prefix!r} cannot begin a memcached key: at most 50 characters "
                "of ASCII, without blanks"
            )
        self._nodes = found.nodes

    def load(self, key: str) -> tuple[bytes, bytes] | None:
        record, cas = self._call(key, "gets")
        return None if cas is None else (record, cas)

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        return bool(self._call(key, "add", record, memcached_expiry(ttl)))

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        # None would be "not found": both mean that it is no longer the version that was read.
        return self._call(key, "cas", record, version, memcached_expiry(ttl)) is True

    def delete(self, key: str) -> None:
        self._call(key, "delete")

    def _call(self, key: str, method: str, *arguments: Any) -> Any:
        node = choose(self._nodes, key)
        try:
            return node.call(method, self._prefix + key, *arguments)
        except Exception as error:
            raise _fault(node, error) from error


def _fault(node: Node, error: Exception) -> StoreError:
    """Say what is wrong. The client's own text may hold keys, so that it is not quoted."""
    text = str(error)
    if "too large" in text:
        return RecordTooLarge(
            f"memcached {node.name}: the session exceeds its item size limit (1 MiB by default; "
            "raise it with memcached -I)"
        )
    if "out of memory" in text:
        words = "it is out of memory: raise memcached -m, or let it evict (without -M)"
    elif isinstance(error, TimeoutError):
        words = "it did not answer in time"
    elif isinstance(error, OSError):
        words = f"it cannot be reached ({error.strerror or type(error).__name__})"
    elif type(error).__name__ == "MemcacheUnexpectedCloseError":
        words = "it closed the connection"
    else:
        words = type(error).__name__
    return StoreUnavailable(f"memcached {node.name}: {words}")
