"""The example of the classic README, unchanged, over real HTTP.

It is served as it is. For other backings the class is replaced by one with options set, before the
example imports it; its clock can be moved by writing a number of seconds into a file.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).with_name("seed_app.py")

RUNNER = """
import functools, pathlib, runpy, sys, time
import bottle, BottleSessions
port, shift, options = int(sys.argv[1]), pathlib.Path(sys.argv[2]), eval(sys.argv[3])
BottleSessions.BottleSessions = functools.partial(
    BottleSessions.BottleSessions,
    session_clock=lambda: time.time() + (int(shift.read_text()) if shift.exists() else 0),
    **options,
)
bottle.Bottle.run = functools.partialmethod(bottle.run, port=port, quiet=True)
runpy.run_path(sys.argv[4], run_name="__main__")
"""


class Server:
    def __init__(self, folder: Path, options: dict[str, object]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.shift = folder / "shift"
        self._command = [
            sys.executable,
            "-c",
            RUNNER,
            str(self.port),
            str(self.shift),
            repr(options),
            str(EXAMPLE),
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env={**os.environ})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the example ended"
                time.sleep(0.02)
        raise AssertionError("the example did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


class Client:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookie = ""

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request("GET", path, headers={"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        assert answer.status == 200
        cookie = answer.getheader("Set-Cookie")
        if cookie:
            self.cookie = cookie.partition(";")[0]
        text = answer.read().decode()
        connection.close()
        return text


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(**options):
        servers.append(Server(tmp_path, options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def check(server: Server) -> Client:
    alice, bob = Client(server), Client(server)
    assert alice.get("/") == "hello world"
    assert alice.cookie == ""
    assert alice.get("/get/user") == '{"user": "does not exist"}'
    assert alice.get("/set/user/alice") == '{"user": "alice"}'
    assert alice.cookie.startswith("bottlecookie=")
    assert alice.get("/get/user") == '{"user": "alice"}'
    assert bob.get("/get/user") == '{"user": "does not exist"}'
    return alice


def test_in_memory_and_expiry(serve):
    server = serve()
    alice = check(server)
    server.shift.write_text("299")
    assert alice.get("/get/user") == '{"user": "alice"}'
    server.shift.write_text("301")
    assert alice.get("/get/user") == '{"user": "does not exist"}'


def test_files_survive_a_restart(serve, tmp_path):
    server = serve(cache_type="FileSystem", cache_dir=str(tmp_path / "sessions"))
    alice = check(server)
    server.restart()
    assert alice.get("/get/user") == '{"user": "alice"}'
    server.shift.write_text("301")
    assert alice.get("/get/user") == '{"user": "does not exist"}'


def test_redis_survives_a_restart(serve, redis_port):
    server = serve(cache_type="Redis", host="127.0.0.1", port=redis_port)
    alice = check(server)
    server.restart()
    assert alice.get("/get/user") == '{"user": "alice"}'


def test_memcached_survives_a_restart(serve, memcached_port):
    server = serve(cache_type="Memcached", servers=[f"127.0.0.1:{memcached_port}"])
    alice = check(server)
    server.restart()
    assert alice.get("/get/user") == '{"user": "alice"}'
