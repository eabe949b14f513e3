"""Sessions in Redis, or in a server that speaks its protocol."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import timedelta
from typing import Any, Final

from session_core.errors import ConfigurationError, StoreUnavailable
from session_core.store import HEAD

from .redis_client import import_redis, new_client, private_client
from .redis_connection import find_execute
from .wait import as_wait

__all__ = ["RedisStore"]

SCRIPT: Final = b"""\
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Compare the head of the record, then write: Redis runs nothing else in between."""

_WORDS: Final = {
    "NOPERM": "its user lacks a right: sessions need get, set, del, getrange, evalsha and eval",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it refuses user name or password",
    "OOM": "it is out of memory: raise maxmemory, or choose an eviction policy",
    "READONLY": "it is a read-only replica: use the address of the master",
    "MISCONF": "it refuses writes because it cannot save to its disk: see its log",
    "NOREPLICAS": "it refuses writes because too few replicas are connected",
    "LOADING": "it is still loading its data",
    "BUSY": "it is busy with somebody's script",
    "MASTERDOWN": "it is a replica that has lost its master",
    "CLUSTERDOWN": "its cluster is down",
    "WRONGTYPE": "the key holds something that is no text value",
}
_CLASSES: Final = {
    "AuthenticationError": "it refuses user name or password",
    "BusyLoadingError": _WORDS["LOADING"],
    "MaxConnectionsError": "all connections of the pool are in use: raise max_connections",
    "NoPermissionError": _WORDS["NOPERM"],
    "OutOfMemoryError": _WORDS["OOM"],
    "ReadOnlyError": _WORDS["READONLY"],
    "TimeoutError": "it did not answer in time",
    "ConnectionError": "it cannot be reached",
}
_CODE: Final = re.compile(rf"\b({'|'.join(_WORDS)})\b")


class RedisStore:
    """Keeps records in Redis, for any number of threads, processes and hosts.

    ``client`` is a `redis.Redis`. Sessions do not use its connections but others to the same
    server and database, made from its settings, which wait ``wait`` seconds at most (default 2)
    for a connection and for an answer, and never send a command a second time. ``prefix``
    begins every key.

    Every verb is one round trip. The comparison in `replace` runs inside Redis, as a script.
    What Redis itself may lose: without an append-only file the last second at a crash; with an
    eviction policy, sessions that were not used for long.

    Raises `ConfigurationError` for a client that cannot be used. Does not connect.
    """

    def __init__(
        self, client: Any, *, prefix: str = "session:", wait: float | timedelta = 2.0
    ) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError("the prefix of the keys must be text")
        seconds = as_wait(wait)
        self._client = private_client(client, seconds)
        self._execute = find_execute(self._client, seconds)
        self._prefix = prefix
        self._unknown_script: type[Exception] = import_redis().exceptions.NoScriptError
        self._digest = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: str = "session:",
        wait: float | timedelta = 2.0,
        **options: Any,
    ) -> RedisStore:
        """Return the store for ``redis://``, ``rediss://`` or ``unix://``.

        ``options`` are further keyword arguments of `redis.Redis`.
        """
        client = new_client({**options, "url": url}, as_wait(wait))
        return cls(client, prefix=prefix, wait=wait)

    def load(self, key: str) -> tuple[bytes, bytes] | None:
        try:
            record: bytes | None = self._execute("GET", self._prefix + key)
        except Exception as error:
            if "WRONGTYPE" in str(error):
                return b"", b""  # something, but no record: damaged, for whoever decodes it
            raise _fault(error) from error
        return None if record is None else (record, record[:HEAD])

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        try:
            answer = self._execute(
                "SET", self._prefix + key, record, "PX", _milliseconds(ttl), "NX"
            )
        except Exception as error:
            raise _fault(error) from error
        return answer is not None and answer is not False

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        if len(version) != HEAD:
            return False  # what was loaded was no record
        arguments = (1, self._prefix + key, version, record, _milliseconds(ttl))
        try:
            try:
                answer = self._execute("EVALSHA", self._digest, *arguments)
            except self._unknown_script:
                # Certainly not executed, so this is no repetition. EVAL also makes it known.
                answer = self._execute("EVAL", SCRIPT, *arguments)
        except Exception as error:
            raise _fault(error) from error
        return bool(answer == 1)

    def delete(self, key: str) -> None:
        try:
            self._execute("DEL", self._prefix + key)
        except Exception as error:
            raise _fault(error) from error


def _milliseconds(ttl: float) -> int:
    return math.ceil(ttl * 1000)


def _fault(error: Exception) -> StoreUnavailable:
    """Say what is wrong. The client's own text is not quoted: it may hold keys and records."""
    if "No connection available" in str(error):
        return StoreUnavailable(f"Redis: {_CLASSES['MaxConnectionsError']}")
    for kind in type(error).__mro__:
        if kind.__name__ in _CLASSES:
            return StoreUnavailable(f"Redis: {_CLASSES[kind.__name__]}")
    text = str(error)
    code = _CODE.search(text)
    if code is not None:
        return StoreUnavailable(f"Redis: {_WORDS[code[0]]}")
    if any(hint in text for hint in ("unknown command", "ACL failure", "can't run this")):
        return StoreUnavailable(f"Redis: {_WORDS['NOPERM']}")
    return StoreUnavailable(f"Redis: {type(error).__name__}")
