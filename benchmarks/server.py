"""Server programs for a benchmark: Redis, memcached, and the app under stress, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from session_backends.testing import free_port

ROOT = Path(__file__).resolve().parents[1]

HTTP = (b"GET /brief/ready HTTP/1.0\r\n\r\n", b"HTTP/1.")
"""What a web server is asked, and how its answer begins."""


class Program:
    """A server program with its processes. What it prints goes to a file."""

    def __init__(
        self,
        command: list[str],
        port: int,
        question: bytes,
        answer: bytes,
        log: Path,
        environ: dict[str, str] | None = None,
    ) -> None:
        """``question`` and ``answer``: how one knows that it serves."""
        self.command = command
        self.port = port
        self.log = log
        self._question = question
        self._answer = answer
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, wait until it serves, and return when that was (`time.monotonic`)."""
        with self.log.open("ab") as output:
            # A session of its own, so that a signal reaches all of its processes.
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.wait()

    def wait(self) -> float:
        """Wait until it serves, and return when that was."""
        deadline = time.monotonic() + 30
        while not self._serves():
            if self._process is None or self._process.poll() is not None:
                raise SystemExit(f"{' '.join(self.command)} ended:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(self.command)} does not answer:\n{self.tail()}")
            time.sleep(0.005)
        return time.monotonic()

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def end(self, number: int) -> None:
        """End it by a signal and wait until it is gone."""
        if self._process is None:
            return
        self.signal(number)
        self.signal(signal.SIGCONT)  # in case it is frozen
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait(10)
        with suppress(ProcessLookupError):  # children that outlive it
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process = None

    def tail(self) -> str:
        """Return the end of what it has printed."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _serves(self) -> bool:
        with suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), 1) as connected:
                connected.sendall(self._question)
                return connected.recv(100).startswith(self._answer)
        return False


def find_program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"{name} is not on PATH")
    return path


def new_redis(folder: Path) -> Program:
    """Redis that has written to its file whatever it has acknowledged."""
    port = free_port()
    command = [find_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
    command += ["--appendfsync", "always"]
    return Program(command, port, b"PING\r\n", b"+PONG", folder / "redis.log")


def new_memcached(folder: Path) -> Program:
    port = free_port()
    command = [find_program("memcached"), "-p", str(port), "-l", "127.0.0.1", "-U", "0"]
    if os.getuid() == 0:
        command += ["-u", "root"]
    return Program(command, port, b"version\r\n", b"VERSION", folder / "memcached.log")


def new_app_server(
    folder: Path, options: dict[str, Any], *, threads: int, processes: int
) -> Program:
    """Serve `benchmarks.stress_app`: one process of waitress, or several of gunicorn, which
    are forked from one that has made the app."""
    app = "benchmarks.stress_app:new_app"
    environ = {"STRESS_OPTIONS": json.dumps(options)}
    if processes > 1:
        return new_gunicorn(folder, f"{app}()", environ, threads=threads, processes=processes)
    port = free_port()
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}"]
    command += [f"--threads={threads}", "--call", app]
    return Program(command, port, *HTTP, folder / "app.log", environ)


def new_gunicorn(
    folder: Path, app: str, environ: dict[str, str], *, threads: int, processes: int
) -> Program:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", f"--workers={processes}"]
    command += ["--worker-class=gthread", f"--threads={threads}", f"--bind=127.0.0.1:{port}"]
    command += ["--keep-alive=60", "--timeout=60", "--log-level=warning", "--no-control-socket"]
    return Program([*command, app], port, *HTTP, folder / "app.log", environ)
