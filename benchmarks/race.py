"""Worker processes that are alive at the same time and take turns, so that noise cancels."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from session_backends.testing import memcached_server, redis_server

from .environments import ROOT
from .timing import WORKS

PATIENCE = 15.0
"""Seconds that a round of one worker may take, however short it ought to be."""

Rounds = list[dict[str, float]]


class Failed(Exception):
    """A worker did not answer as it should. The message says why."""


@dataclass(frozen=True)
class Contender:
    """A library that is measured: the Python that has it, and the module that `worker` takes."""

    name: str
    python: Path
    module: str
    seconds: float
    """How long a round of it lasts."""


@dataclass
class Result:
    """What the workers of one backend said."""

    rounds: dict[tuple[str, str], Rounds] = field(default_factory=dict)
    """By the contender's name and the work. Of a failure, nothing."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)


class Worker:
    """One process. It is started when it is asked something."""

    def __init__(self, contender: Contender, backend: str, address: str, folder: Path) -> None:
        self.contender = contender
        self._command = [str(contender.python), "-m", "benchmarks.worker", contender.module]
        self._command += [backend, address, str(folder / "sessions")]
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, work: str, seconds: float) -> dict[str, float]:
        """Run one round. Raises `Failed`; what does not answer is ended."""
        try:
            process = self._process or self._start()
            assert process.stdin is not None
            process.stdin.write(f"{work} {seconds}\n".encode())
            process.stdin.flush()
            answer = json.loads(self._line(process, seconds + PATIENCE))
        except (Failed, BrokenPipeError):
            self.end()
            raise
        if "failed" in answer:
            raise Failed(answer["failed"])
        return {name: float(value) for name, value in answer.items()}

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._line(self._process, PATIENCE)
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None
        number, data = process.stdout.fileno(), b""
        deadline = time.monotonic() + seconds
        while not data.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([number], [], [], left)[0]:
                raise Failed(f"no answer within {seconds:.0f} s")
            got = os.read(number, 65536)
            if not got:
                words = self._log.read_text(errors="replace").strip().splitlines() or ["no words"]
                raise Failed(f"it ended: {words[-1]}")
            data += got
        return data


@contextmanager
def server_for(backend: str) -> Iterator[str]:
    """Run the server that a backend needs; yield its address, or no text."""
    with ExitStack() as stack:
        if backend == "Redis":
            yield stack.enter_context(redis_server("--appendonly", "no")).address
        elif backend == "Memcached":
            yield stack.enter_context(memcached_server("-m", "256")).address
        else:
            yield ""


def race(contenders: list[Contender], backend: str, rounds: int, share: float) -> Result:
    """Let them take turns at every workload. ``share``: of the usual length of a round."""
    result = Result()
    usual = [work for work in WORKS if work != "new"]
    # How fast a folder is depends on where on the disk the system happens to put it, so that each
    # round has others.
    phases = [1] * rounds if backend == "FileSystem" else [rounds]
    # Each request of "new" leaves a session behind, and Django lists its folder at every write.
    for works in (usual, ["new"]):
        for phase in phases:
            _run(contenders, backend, works, phase, share, result)
    return result


def _run(
    contenders: list[Contender],
    backend: str,
    works: list[str],
    rounds: int,
    share: float,
    result: Result,
) -> None:
    """Run some rounds, with a server and folders that nobody has used before."""
    with (
        server_for(backend) as address,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ExitStack() as stack,
    ):
        workers = []
        for number, contender in enumerate(contenders):
            own = Path(folder, str(number))
            own.mkdir()
            workers.append(Worker(contender, backend, address, own))
            stack.callback(workers[-1].end)
        for _ in range(rounds):
            for work in works:
                for worker in random.sample(workers, len(workers)):
                    _ask(worker, work, share, result)


def _ask(worker: Worker, work: str, share: float, result: Result) -> None:
    key = (worker.contender.name, work)
    if key in result.failures:
        return
    try:
        answer: Any = worker.ask(work, worker.contender.seconds * share)
    except (Failed, BrokenPipeError) as error:
        result.failures[key] = str(error)
        result.rounds.pop(key, None)
    else:
        result.rounds.setdefault(key, []).append(answer)
