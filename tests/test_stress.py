"""The stress program, short: real servers, parallel requests, faults. It says what it promises."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

servers = pytest.mark.servers


def require(found: object, what: str) -> None:
    if found is None:
        if os.environ.get("SESSIONS_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{what} is missing, and SESSIONS_REQUIRE_SERVERS=1")
        pytest.skip(f"{what} is missing")


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, processes, program",
    [
        pytest.param("SimpleCache", 1, None),
        pytest.param("FileSystem", 2, None),
        pytest.param("Redis", 2, "redis-server", marks=servers),
        pytest.param("Memcached", 2, "memcached", marks=servers),
    ],
)
def test_nothing_is_lost(backend, processes, program):
    if program is not None:
        require(shutil.which(program), f"the program {program}")
    package = "waitress" if processes == 1 else "gunicorn"
    require(find_spec(package), f"the package {package}")
    command = [sys.executable, "-m", "benchmarks.stress", "--short", "--backend", backend]
    with subprocess.Popen(
        [*command, "--processes", str(processes)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as stress:
        try:
            text, _ = stress.communicate(timeout=180)
        finally:
            stress.terminate()  # if it is still there; it ends its servers
    assert stress.returncode == 0, text
