"""Which of several servers keeps a key: always the same one."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

__all__ = ["Named", "choose"]


class Named(Protocol):
    """A server with a name that is the same in every process."""

    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=Named)


def choose(servers: Sequence[S], key: str) -> S:
    """Return the server of a key, by rendezvous hashing.

    The choice depends on nothing but the names and the key: not on the order of the servers, and
    not on which of them are up. A server that is added takes over its share of the keys, and the
    others stay where they are.
    """
    if len(servers) == 1:
        return servers[0]
    tail = f"\0{key}".encode("utf-8", "surrogatepass")
    return max(
        servers, key=lambda server: blake2b(server.name.encode() + tail, digest_size=8).digest()
    )
