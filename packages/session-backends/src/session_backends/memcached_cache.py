"""A cachelib cache in memcached, for the app's own values."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import blake2b
from math import ceil
from typing import Any

from cachelib.base import BaseCache

from .memcached_node import Node, import_pymemcache
from .memcached_time import memcached_expiry
from .rendezvous import choose

__all__ = ["MemcachedAppCache"]

Timeout = int | float | timedelta | None


class MemcachedAppCache(BaseCache):
    """Arbitrary text to arbitrary values (pickled), with cachelib's methods and defaults.

    cachelib's own class does not find what it has stored under a key with blanks, and its
    ``clear`` empties the server, sessions and all. So here every key is hashed, together with a
    *generation*, a random word that each server keeps: a new word, and everything older cannot be
    found any more and expires by and by. Reading costs one round trip, writing one more to learn
    the generation. Faults raise the client's own errors.
    """

    def __init__(self, nodes: list[Node], prefix: str, serde: Any = None, **options: Any) -> None:
        """``prefix`` begins every key; ``serde`` is pymemcache's (default: its pickle_serde).

        ``options`` are those of cachelib's BaseCache.
        """
        super().__init__(**options)
        serde = serde or import_pymemcache().serde.pickle_serde
        self._nodes = [Node(node.address, node.settings, serde) for node in nodes]
        self._prefix = prefix
        self._generation_name = f"{prefix}generation"
        self._seen: dict[str, str] = {}

    def get(self, key: str) -> Any:
        node = choose(self._nodes, key)
        return self._fetch(node, [key]).get(key)

    def get_many(self, *keys: str) -> list[Any]:
        wanted: dict[str, list[str]] = {}
        for key in keys:
            wanted.setdefault(choose(self._nodes, key).name, []).append(key)
        found: dict[str, Any] = {}
        for node in self._nodes:
            if node.name in wanted:
                found.update(self._fetch(node, wanted[node.name]))
        return [found.get(key) for key in keys]

    def has(self, key: str) -> bool:
        return key in self._fetch(choose(self._nodes, key), [key])

    def set(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        return self._store("set", key, value, timeout)

    def add(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        return self._store("add", key, value, timeout)

    def delete(self, key: str) -> bool:
        node = choose(self._nodes, key)
        with node.connection() as client:
            return bool(client.delete(self._name(self._generation(client), key)))

    def clear(self) -> bool:
        for node in self._nodes:
            with node.connection() as client:
                client.set(self._generation_name, secrets.token_hex(8))
        return True

    def _store(self, method: str, key: str, value: Any, timeout: Timeout) -> bool:
        expiry = self._expiry(timeout)
        node = choose(self._nodes, key)
        with node.connection() as client:
            name = self._name(self._generation(client), key)
            return bool(getattr(client, method)(name, value, expiry))

    def _fetch(self, node: Node, keys: list[str]) -> dict[str, Any]:
        with node.connection() as client:
            # Ask for the generation and, betting on it being the one seen last, for the values.
            guess = self._seen.get(node.name, "")
            for _ in range(3):
                names = {self._name(guess, key): key for key in keys}
                found = client.get_many([self._generation_name, *names])
                current = _text(found.pop(self._generation_name, None))
                if current is None:
                    return {}
                if current == guess:
                    return {names[name]: value for name, value in found.items()}
                guess = self._seen[node.name] = current
        return {}  # cleared again and again while we asked

    def _generation(self, client: Any) -> str:
        current = _text(client.get(self._generation_name))
        if current is None:
            # Never cleared, or dropped by the server: a new word, so that nothing old comes back.
            current = secrets.token_hex(8)
            if not client.add(self._generation_name, current):
                current = _text(client.get(self._generation_name)) or current
        return current

    def _name(self, generation: str, key: str) -> str:
        text = f"{generation}:{key}".encode("utf-8", "surrogatepass")
        return self._prefix + blake2b(text, digest_size=24).hexdigest()

    def _expiry(self, timeout: Timeout) -> int:
        if timeout is None:
            timeout = self.default_timeout
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        if timeout <= 0:
            return ceil(timeout)  # 0: for ever; below: expired at once
        return memcached_expiry(timeout)


def _text(word: Any) -> str | None:
    return word.decode("ascii") if isinstance(word, bytes) else word
