"""Real Redis and memcached servers, for the tests of what is built on these stores.

    with redis_server("--maxmemory", "10mb") as server:
        store = RedisStore.from_url(server.url)

Each runs on a free port of the loopback interface, and is gone when the block is left. Freeze it,
kill it and start it again to see what an app does without it. Options are those of the program's
command line, except for port, address, TLS and running in the background.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = [
    "MissingProgram",
    "Server",
    "ServerFailed",
    "free_port",
    "memcached_server",
    "redis_server",
]

HOST: Final = "127.0.0.1"
PATIENCE: Final = 30.0  # seconds that a server may take until it answers
TRIES: Final = 5  # ports for a server that ends at once


class MissingProgram(Exception):
    """The program of a server is not on PATH. Its name is the argument."""

    def __str__(self) -> str:
        return f"{self.args[0]} is not on PATH: install it, or skip the tests that need it"


class ServerFailed(Exception):
    """A server has ended, or does not answer; with the last of what it printed."""


@dataclass(eq=False)
class Server:
    """A server program on a port of its own, made by `redis_server` and `memcached_server`."""

    command: list[str]  # PORT stands for the port
    question: bytes
    answer: str  # a pattern; PID stands for the process: the port may be somebody else's
    scheme: str
    folder: Path  # where it runs, and the file "log" is
    port: int = 0
    """Chosen at the first start, and kept from then on."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """Host and port, as in ``127.0.0.1:21000``."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The address behind ``redis://`` or ``memcached://``."""
        return f"{self.scheme}://{self.address}"

    def start(self) -> None:
        """Start it and wait until it answers; kill it first if it runs. Raises `ServerFailed`.

        The first time it gets a free port, and another one if somebody was faster to take that.
        """
        first = self.port == 0
        for left in reversed(range(TRIES if first else 1)):
            self.kill()
            if first:
                self.port = free_port()
            command = [str(self.port) if word == "PORT" else word for word in self.command]
            with (self.folder / "log").open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- the program is fixed below
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            try:
                return self.wait()
            except ServerFailed:
                if not left or self._process.poll() is None:
                    raise

    def wait(self) -> None:
        """Wait until it answers. Raises `ServerFailed` if it has ended or takes 30 seconds."""
        deadline = time.monotonic() + PATIENCE
        while self._process is None or not self._answers(self._process.pid):
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "does not run" if ended else "does not answer"
                words = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise ServerFailed(f"the server at {self.url} {what}:\n{words}")
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens if it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def freeze(self) -> None:
        """Let it stand still: connections are accepted, and nothing is answered."""
        self.signal(signal.SIGSTOP)
        if self._process is not None and hasattr(os, "waitid"):  # the signal takes its time
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, also while it is frozen. It is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, seconds: float = 10.0) -> None:
        """Ask it to end, also while it is frozen; kill it if that takes longer."""
        self.signal(signal.SIGTERM)
        self.thaw()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def restart(self) -> None:
        """Stop it and start it again on the same port. Raises `ServerFailed`."""
        self.stop()
        self.start()

    def _answers(self, pid: int) -> bool:
        data = b""
        with suppress(OSError), socket.create_connection((HOST, self.port), 1) as connected:
            connected.sendall(self.question)
            while received := connected.recv(10_000):
                data += received
        pattern = self.answer.replace("PID", str(pid))
        return re.match(pattern, data.decode(errors="replace"), re.DOTALL) is not None


def free_port() -> int:
    """Return a loopback port that nobody uses now.

    It is below the range out of which systems give ports to clients, so it stays free, or closed
    if that is what you need it for, unless somebody asks for this very number.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_768)  # not `random`, which tests like to seed
        with suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


@contextmanager
def redis_server(*options: str, folder: str | os.PathLike[str] | None = None) -> Iterator[Server]:
    """Run a redis-server; yield the `Server`. Raises `MissingProgram` and `ServerFailed`.

    It saves nothing unless ``options`` say so, such as ``"--appendonly", "yes"``, and then to
    ``folder``, which must exist and stays as it is left (default: a temporary folder).
    """
    place = [] if folder is None else ["--dir", os.path.abspath(folder)]
    fixed = ["redis-server", "--port", "PORT", "--bind", HOST, "--save", "", *place]
    question = b"PING\r\nINFO server\r\nQUIT\r\n"
    answer = r"\+PONG\r.*\nprocess_id:PID\r|-NOAUTH"  # with a password it does not say who it is
    yield from _running([*fixed, *options], question, answer, "redis")


@contextmanager
def memcached_server(*options: str) -> Iterator[Server]:
    """Run a memcached; yield the `Server`. Raises `MissingProgram` and `ServerFailed`."""
    # As root it starts only if it is told which user to be.
    user = ["-u", "root"] if 0 in (os.getuid(), os.geteuid()) else []
    fixed = ["memcached", "-p", "PORT", "-l", HOST, "-U", "0", *user]
    yield from _running([*fixed, *options], b"stats\r\nquit\r\n", r".*STAT pid PID\r", "memcached")


def _running(command: list[str], question: bytes, answer: str, scheme: str) -> Iterator[Server]:
    path = shutil.which(command[0])
    if path is None:
        raise MissingProgram(command[0])
    with tempfile.TemporaryDirectory() as folder:
        server = Server([path, *command[1:]], question, answer, scheme, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()
