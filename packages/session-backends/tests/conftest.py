"""Real servers on free loopback ports, started when a test asks for one."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

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


def program(name):
    return shutil.which(name) or missing(f"the program {name}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server program; ``ask`` and ``answer`` are how it says that it is ready."""

    def __init__(self, command, port, ask, answer):
        self.command = command
        self.port = port
        self.ask = ask
        self.answer = answer
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self.is_ready():
            assert self.process.poll() is None, f"{self.command[0]} ended at once"
            assert time.monotonic() < deadline, f"{self.command[0]} did not start"
            time.sleep(0.02)

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connected:
                connected.sendall(self.ask)
                return connected.recv(100).startswith(self.answer)
        except OSError:
            return False

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def running(command, port, ask, answer):
    process = Process(command, port, ask, answer)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.signal(signal.SIGCONT)
        process.kill()


def redis_process(folder, *options):
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", str(folder), *options]
    return running(command, port, b"PING\r\n", b"+PONG")


def memcached_process(*options):
    port = free_port()
    command = [program("memcached"), "-p", str(port), "-l", "127.0.0.1", "-U", "0", *options]
    if hasattr(os, "getuid") and os.getuid() == 0:
        command += ["-u", "root"]
    return running(command, port, b"version\r\n", b"VERSION")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    module("redis")
    with redis_process(tmp_path_factory.mktemp("redis")) as process:
        yield process


@pytest.fixture(scope="session")
def memcached_servers():
    module("pymemcache")
    with memcached_process() as first, memcached_process() as second:
        yield [first, second]


@pytest.fixture
def start_redis(tmp_path):
    """Start one more redis-server, with these options."""
    module("redis")
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(redis_process(tmp_path, *options))


@pytest.fixture
def start_memcached():
    """Start one more memcached, with these options."""
    module("pymemcache")
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(memcached_process(*options))


@pytest.fixture
def redis():
    return module("redis")


@pytest.fixture
def pymemcache():
    return module("pymemcache")


@pytest.fixture
def closed_port():
    return free_port()


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
