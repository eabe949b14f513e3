"""How long an import takes, and how much memory, over a Python that imports nothing."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

MEMORY = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"):
        print(line.split()[1])
"""
"""Prints the most memory that the process has had, in KiB. Linux only: the number that `resource`
gives is not used because a process starts with that of its parent."""


def import_times(python: Path, statement: str, rounds: int) -> list[float]:
    """Return the milliseconds that a new process takes for it, one for each round."""
    _run(python, statement)  # so that it is compiled, and in the system's cache
    return [(_time(python, statement) - _time(python, "pass")) * 1e3 for _ in range(rounds)]


def import_memory(python: Path, statement: str) -> list[float] | None:
    """Return the MiB that it adds to the largest size of a process; None if nobody knows."""
    if not Path("/proc/self/status").exists():
        return None
    sizes = [
        [int(_run(python, code + "\n" + MEMORY)) / 1024 for code in (statement, "pass")]
        for _ in range(3)
    ]
    return [one - none for one, none in sizes]


def _time(python: Path, code: str) -> float:
    started = time.perf_counter()
    _run(python, code)
    return time.perf_counter() - started


def _run(python: Path, code: str) -> str:
    return subprocess.run(
        [python, "-I", "-c", code], capture_output=True, check=True, text=True
    ).stdout
