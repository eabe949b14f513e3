"""Requests per second over real sockets: gunicorn with two processes, and clients that keep their
connections."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from .hand import bare, by_hand, ours
from .race import server_for
from .server import new_gunicorn
from .timing import App, WrongAnswer

APPS = ("bare", "hand", "ours")
ROUTES = ("/plain", "/read", "/write")
PROCESSES, THREADS, CLIENTS = 2, 4, 8


def new_app() -> App:
    """Return the app that the environment names, for the server."""
    name, address = json.loads(os.environ["BENCHMARK_APP"])
    if name == "bare":
        return bare()
    return {"hand": by_hand, "ours": ours}[name]("Redis", address, Path())


class Visitor:
    """One connection, and the session that belongs to it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._cookie = ""
        lines = self._get(self._request("/fill/small")).split("\r\n")
        for line in lines:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                self._cookie = value.partition(";")[0]

    def close(self) -> None:
        self._socket.close()

    def count(self, path: str, seconds: float) -> float:
        """Return how many requests a second were answered."""
        request, done = self._request(path), 0
        started = time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds:
            self._get(request)
            done += 1
        return done / taken

    def _request(self, path: str) -> bytes:
        cookie = f"Cookie: {self._cookie}\r\n" if self._cookie else ""
        return f"GET {path} HTTP/1.1\r\nHost: example.com\r\n{cookie}\r\n".encode()

    def _get(self, request: bytes) -> str:
        """Return the head of the answer."""
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            got = self._socket.recv(65536)
            if not got:
                raise WrongAnswer("the server closed a connection")
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode()
        if not text.startswith("HTTP/1.1 200"):
            raise WrongAnswer(text.partition("\r\n")[0])
        length = int(text.lower().partition("content-length: ")[2].partition("\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        return text


def measure(rounds: int, seconds: float) -> dict[tuple[str, str], list[float]]:
    """Return the requests per second of each app and route, one for each round."""
    found: dict[tuple[str, str], list[float]] = {}
    with (
        server_for("Redis") as address,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ThreadPoolExecutor(CLIENTS) as pool,
        ExitStack() as stack,
    ):
        ports = {}
        for name in APPS:
            own = Path(folder, name)
            own.mkdir()
            environ = {"BENCHMARK_APP": json.dumps([name, address])}
            app = "benchmarks.served:new_app()"
            program = new_gunicorn(own, app, environ, threads=THREADS, processes=PROCESSES)
            stack.callback(program.end, signal.SIGTERM)
            program.start()
            ports[name] = program.port
        for number in range(rounds + 1):  # the first one warms up
            for route in ROUTES:
                for name in random.sample(APPS, len(APPS)):
                    with ExitStack() as connections:
                        visitors = [Visitor(ports[name]) for _ in range(CLIENTS)]
                        for visitor in visitors:
                            connections.callback(visitor.close)
                        rates = [pool.submit(each.count, route, seconds) for each in visitors]
                        total = sum(rate.result() for rate in rates)
                        if number:
                            found.setdefault((name, route), []).append(total)
    return found
