"""How often a request waits for the store's server: counted between the two."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from benchmarks.timing import Client
from bottle import Bottle, request

from BottleSessions import BottleSessions
from session_core.testing import FakeClock


class Relay:
    """Passes connections on to a server and counts the questions: what is sent after an answer."""

    def __init__(self, port: int) -> None:
        self.questions = 0
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            other = {client: server, server: client}
            last = None
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ)
                selector.register(server, selectors.EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        sender: Any = key.fileobj
                        data = sender.recv(1 << 16)
                        if not data:
                            return
                        if sender is client and last is not client:
                            self.questions += 1
                        last = sender
                        other[sender].sendall(data)


@pytest.fixture(params=["Redis", "Memcached"])
def relay(request: pytest.FixtureRequest) -> Iterator[tuple[Relay, dict[str, Any]]]:
    port = request.getfixturevalue(f"{request.param.lower()}_port")
    relay = Relay(port)
    if request.param == "Redis":
        yield relay, {"cache_type": "Redis", "host": "127.0.0.1", "port": relay.port}
    else:
        yield relay, {"cache_type": "Memcached", "servers": [f"127.0.0.1:{relay.port}"]}
    relay.close()


@pytest.mark.servers
@pytest.mark.parametrize("secret", [None, "k3y-0f-m0re-than-16-characters"])
def test_round_trips(relay: tuple[Relay, dict[str, Any]], secret: str | None) -> None:
    server, backing = relay
    clock = FakeClock()
    app = Bottle()
    BottleSessions(app, backing, session_secret=secret, session_clock=clock, session_rolling=True)
    app.route("/untouched", callback=lambda: "ok")
    app.route("/read", callback=lambda: str(request.session.get("count")))
    app.route("/nested", callback=lambda: request.session["list"].append(1))
    app.route("/new", callback=lambda: request.session.update(count=0, list=[]))

    @app.route("/write")
    def write() -> None:
        request.session["count"] += 1

    client = Client(app)

    def trips(path: str, cookie: str = "") -> int:
        before = server.questions
        client.get(path, cookie)
        return server.questions - before

    client.get("/new")  # connects, and Redis learns the script
    cookie = next(v.partition(";")[0] for name, v in client.headers if name == "Set-Cookie")
    client.get("/write", cookie)
    assert trips("/untouched", cookie) == 0
    assert trips("/untouched") == 0
    assert trips("/read") == 0
    assert trips("/read", cookie) == 1
    assert trips("/write", cookie) == 2
    assert trips("/nested", cookie) == 2
    assert trips("/new") == 1
    # Rolling: a tenth of the idle timeout later one extension is let through.
    clock.advance(29)
    assert trips("/read", cookie) == 1
    clock.advance(2)
    assert trips("/read", cookie) == 2
    assert trips("/read", cookie) == 1
    assert client.get("/read", cookie) == b"2"
