"""Real servers for the tests that cross packages, started when the first of them asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from session_backends.testing import MissingProgram, Server, memcached_server, redis_server


def port_of(starting: AbstractContextManager[Server]) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(starting)
        except MissingProgram as missing:
            if os.environ.get("SESSIONS_REQUIRE_SERVERS") == "1":
                pytest.fail(f"{missing}; SESSIONS_REQUIRE_SERVERS=1")
            pytest.skip(str(missing))
        yield server.port


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    yield from port_of(redis_server())


@pytest.fixture(scope="session")
def memcached_port() -> Iterator[int]:
    yield from port_of(memcached_server())
