"""Real servers, started when a test asks for one; what tests plant in them; servers that fail."""

import importlib
import os
import shutil
import socket
import threading
from contextlib import ExitStack

import pytest

from session_backends import testing

REQUIRED = os.environ.get("SESSIONS_REQUIRE_SERVERS") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "servers: needs redis-server or memcached")


def missing(what):
    if REQUIRED:
        pytest.fail(f"{what} is missing, and SESSIONS_REQUIRE_SERVERS=1")
    pytest.skip(f"{what} is missing")


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return missing(f"the package {name}")


def enter(stack, server):
    try:
        return stack.enter_context(server)
    except testing.MissingProgram as error:
        return missing(f"the program {error.args[0]}")


@pytest.fixture
def skip_without():
    return lambda program: shutil.which(program) or missing(f"the program {program}")


@pytest.fixture(scope="session")
def redis_server():
    module("redis")
    with ExitStack() as stack:
        yield enter(stack, testing.redis_server())


@pytest.fixture(scope="session")
def memcached_servers():
    module("pymemcache")
    with ExitStack() as stack:
        yield [enter(stack, testing.memcached_server()) for _ in range(2)]


@pytest.fixture
def start_redis():
    """Start one more redis-server, with these options."""
    module("redis")
    with ExitStack() as stack:
        yield lambda *options: enter(stack, testing.redis_server(*options))


@pytest.fixture
def start_memcached():
    """Start one more memcached, with these options."""
    module("pymemcache")
    with ExitStack() as stack:
        yield lambda *options: enter(stack, testing.memcached_server(*options))


@pytest.fixture
def redis():
    return module("redis")


@pytest.fixture
def pymemcache():
    return module("pymemcache")


@pytest.fixture
def closed_port():
    return testing.free_port()


@pytest.fixture
def serve():
    """Serve each connection with a function, in a thread, and return the port."""
    sockets = []
    threads = []

    def start(talk):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def accept():
            while True:
                try:
                    connected, _ = listener.accept()
                except OSError:
                    return
                sockets.append(connected)
                thread = threading.Thread(target=handle, args=[connected], daemon=True)
                threads.append(thread)
                thread.start()

        def handle(connected):
            try:
                talk(connected)
            except OSError:
                pass

        thread = threading.Thread(target=accept, daemon=True)
        threads.append(thread)
        thread.start()
        return listener.getsockname()[1]

    yield start
    for opened in sockets:
        try:
            opened.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        opened.close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def silent_port(serve):
    """A server that accepts, reads, and never says a word."""

    def listen(connected):
        while connected.recv(1000):
            pass

    return serve(listen)


class Bomb:
    """What an attacker would plant: unpickling it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.fixture
def bomb(tmp_path):
    path = tmp_path / "executed"
    planted = Bomb(path)
    yield planted
    assert not path.exists(), "a planted pickle was executed"
