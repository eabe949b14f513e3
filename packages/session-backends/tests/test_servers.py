"""`session_backends.testing`: servers that are there when asked for and gone afterwards."""

import os
import signal
import socket

import pytest

from session_backends import testing
from session_backends.testing import MissingProgram, Server, ServerFailed

pytestmark = pytest.mark.servers


def ask(server, question):
    with socket.create_connection(("127.0.0.1", server.port), 5) as connected:
        connected.sendall(question)
        return connected.recv(1000)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(params=["redis", "memcached"])
def kind(request, skip_without):
    skip_without("redis-server" if request.param == "redis" else "memcached")
    return request.param


@pytest.fixture
def start(kind):
    return {"redis": testing.redis_server, "memcached": testing.memcached_server}[kind]


def test_it_answers_and_is_gone_afterwards(start, kind):
    with start() as server:
        pid = server._process.pid
        assert server.address == f"127.0.0.1:{server.port}"
        assert server.url == f"{kind}://{server.address}"
        server.wait()
        folder = server.folder
        assert folder.is_dir()
    assert is_gone(pid)
    assert not folder.exists()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_it_is_gone_after_an_error_and_also_when_it_is_frozen(start):
    with pytest.raises(KeyboardInterrupt):
        with start() as server:
            pid = server._process.pid
            server.freeze()
            raise KeyboardInterrupt
    assert is_gone(pid)


def test_frozen_it_says_nothing_and_thawed_it_goes_on(start):
    with start() as server:
        server.freeze()
        with socket.create_connection(("127.0.0.1", server.port), 5) as connected:
            connected.sendall(b"version\r\n")
            connected.settimeout(0.05)
            with pytest.raises(TimeoutError):
                connected.recv(1)
            server.thaw()
            connected.settimeout(5)
            assert connected.recv(1)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_it_comes_back_on_its_port(start, end, frozen):
    with start() as server:
        port, pid = server.port, server._process.pid
        if frozen:
            server.freeze()
        end(server)
        assert is_gone(pid)
        end(server)
        server.freeze()  # what does not run takes no signal, and nobody else gets it
        with pytest.raises(ServerFailed, match="does not run"):
            server.wait()
        server.start()
        server.wait()
        assert server.port == port
        server.restart()
        assert server.port == port


def test_a_start_ends_what_still_runs_or_has_died(start):
    with start() as server:
        first = server._process.pid
        server.start()
        second = server._process.pid
        assert is_gone(first)
        server.signal(signal.SIGKILL)
        server._process.wait()
        server.signal(signal.SIGTERM)
        server.start()
        assert server._process.pid not in (first, second)


def test_stop_does_not_wait_for_ever(skip_without):
    skip_without("redis-server")
    with testing.redis_server("--enable-debug-command", "yes") as server:
        pid = server._process.pid
        with socket.create_connection(("127.0.0.1", server.port), 5) as connected:
            connected.sendall(b"DEBUG SLEEP 60\r\n")
            server.stop(0.2)
        assert is_gone(pid)


def test_another_port_is_tried_when_somebody_was_faster(start, monkeypatch):
    with start() as other:
        free = testing.free_port()
        ports = [other.port, other.port, free]
        monkeypatch.setattr(testing, "free_port", lambda: ports.pop(0))
        with start() as server:
            assert server.port == free
        other.wait()


def test_a_server_that_cannot_start_says_why(start):
    with pytest.raises(ServerFailed) as caught:
        with start("--no-such-option", "1"):
            raise AssertionError
    assert "no-such-option" in str(caught.value)


def test_a_port_that_was_taken_meanwhile_is_a_failure(start):
    with start() as server:
        server.stop()
        with socket.create_server(("127.0.0.1", server.port)):
            with pytest.raises(ServerFailed, match=r"in use"):
                server.start()
        server.start()


def test_a_server_that_never_answers_is_given_up(start, monkeypatch):
    monkeypatch.setattr(testing, "PATIENCE", 0.05)
    monkeypatch.setattr(Server, "_answers", lambda *_: False)
    monkeypatch.setattr(testing, "TRIES", 10**6)
    with pytest.raises(ServerFailed, match="does not answer"):
        with start():
            raise AssertionError


def test_a_missing_program_is_named(start, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match=f"{kind}.* is not on PATH: install it") as caught:
        with start():
            raise AssertionError
    assert caught.value.args[0].startswith(kind)


def test_redis_keeps_what_it_is_told_to_keep(skip_without, tmp_path, monkeypatch):
    skip_without("redis-server")
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")
    for folder in ("data", tmp_path / "data"):
        with testing.redis_server("--appendonly", "yes", folder=folder) as server:
            ask(server, b"INCR starts\r\n")
            server.restart()
            ask(server, b"INCR starts\r\n")
    with testing.redis_server("--appendonly", "yes", folder=tmp_path / "data") as server:
        assert ask(server, b"GET starts\r\n") == b"$1\r\n4\r\n"
    with testing.redis_server() as server:
        ask(server, b"INCR starts\r\n")
        server.restart()
        assert ask(server, b"GET starts\r\n") == b"$-1\r\n"
    assert os.listdir(tmp_path) == ["data"]


def test_redis_with_a_password(skip_without):
    skip_without("redis-server")
    with testing.redis_server("--requirepass", "open") as server:
        assert ask(server, b"PING\r\n").startswith(b"-NOAUTH")
        assert ask(server, b"AUTH open\r\n") == b"+OK\r\n"


def test_options_reach_memcached(skip_without):
    skip_without("memcached")
    with testing.memcached_server("-m", "8") as server:
        assert b"STAT maxbytes 8388608\r" in ask(server, b"stats settings\r\n")


def test_a_free_port_can_be_bound_and_a_taken_one_is_passed_over(monkeypatch):
    port = testing.free_port()
    with socket.create_server(("127.0.0.1", port)):
        numbers = iter([port - 20_000, port - 20_000, 7])
        monkeypatch.setattr(testing.secrets, "randbelow", lambda _: next(numbers))
        assert testing.free_port() == 20_007
