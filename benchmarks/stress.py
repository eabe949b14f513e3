"""Whether anything is lost: many requests at the same time, over real HTTP, and dying servers.

    python -m benchmarks.stress --backend FileSystem --threads 8 --processes 2
    python -m benchmarks.stress --backend SimpleCache --threads 16
    python -m benchmarks.stress --backend Redis --processes 4 --scenario outage
    python -m benchmarks.stress --backend Memcached --short

It starts what it needs on loopback: redis-server or memcached, which have to be on PATH, and a
server with the app of `benchmarks.stress_app`: waitress for one process, gunicorn for several,
which share an app object that was made and used before the fork. ``--threads`` is the number of
requests at the same time, and of threads in each process of the server.

========  ========================================================================================
distinct  writes of distinct keys to shared sessions
counter   counters by session_atomic
logout    rounds of one logout against writes of the same visitor
renewal   rounds of one login, or new id, against writes of the same visitor
outage    Redis (appendfsync always) or memcached killed, frozen and restarted under load
kill      the app killed while it writes large sessions into files (FileSystem)
========  ========================================================================================

Each prints one line of counts. The program ends with 1 if a promise is broken, and says which.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import stress_kill, stress_outage, stress_race
from .server import Program, new_app_server, new_memcached, new_redis
from .stress_client import Load, Report

BACKENDS = ("SimpleCache", "FileSystem", "Redis", "Memcached")

SIZES = {  # writes, calls or rounds: by hand, and --short
    "distinct": (10_000, 1_000),
    "counter": (2_000, 400),
    "logout": (1_000, 30),
    "renewal": (1_000, 60),
    "outage": (4, 1),
    "kill": (200, 4),
}


class Stress:
    """One run: the servers, and the load on them."""

    def __init__(self, backend: str, folder: Path, *, threads: int, processes: int) -> None:
        self.backend = backend
        self.files = folder / "sessions"
        self.engine: Program | None = None
        options: dict[str, Any] = {"cache_type": backend, "session_wait": stress_outage.STORE_WAIT}
        if backend == "FileSystem":
            options["cache_dir"] = str(self.files)
        elif backend == "Redis":
            self.engine = new_redis(folder)
            options.update(host="127.0.0.1", port=self.engine.port)
        elif backend == "Memcached":
            self.engine = new_memcached(folder)
            options["servers"] = [f"127.0.0.1:{self.engine.port}"]
        self.app = new_app_server(folder, options, threads=threads, processes=processes)
        self.load = Load(self.app.port, threads)

    def __enter__(self) -> Stress:
        try:
            if self.engine is not None:
                self.engine.start()
            self.app.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.app.end(signal.SIGTERM)
        self.load.close()
        if self.engine is not None:
            self.engine.end(signal.SIGKILL)

    @property
    def scenarios(self) -> list[str]:
        names = ["distinct", "counter", "logout", "renewal"]
        if self.engine is not None:
            names.append("outage")
        if self.backend == "FileSystem":
            names.append("kill")
        return names

    def run(self, scenario: str, size: int) -> Report:
        if scenario == "outage":
            assert self.engine is not None
            durable = self.backend == "Redis"
            return stress_outage.outage(self.load, size, self.engine, durable=durable)
        if scenario == "kill":
            return stress_kill.kill(self.load, size, self.app, self.files)
        report: Report = getattr(stress_race, scenario)(self.load, size)
        return report


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", choices=BACKENDS, default="SimpleCache")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--scenario", choices=SIZES, action="append", help="default: all")
    parser.add_argument("--short", action="store_true", help="a few seconds for each scenario")
    options = parser.parse_args()
    if options.threads < 2 or options.processes < 1:
        parser.error("it needs two threads and one process at least")
    if options.backend == "SimpleCache" and options.processes > 1:
        parser.error("SimpleCache is the memory of one process: leave --processes out")
    return options


def main() -> None:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the servers, too
    server = "waitress" if options.processes == 1 else "gunicorn"
    print(
        f"{options.backend}, {server} {importlib.metadata.version(server)} with "
        f"{options.processes} x {options.threads} threads, "
        f"Python {platform.python_version()}, {platform.machine()}\n",
        flush=True,
    )
    broken: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="stress-") as folder,
        Stress(
            options.backend, Path(folder), threads=options.threads, processes=options.processes
        ) as stress,
    ):
        for scenario in options.scenario or stress.scenarios:
            if scenario not in stress.scenarios:
                sys.exit(f"{scenario} is not for {options.backend}")
            report = stress.run(scenario, SIZES[scenario][options.short])
            print(report.line(stress.load.take_seconds()), flush=True)
            broken += report.broken
        if broken:
            print("\nBROKEN\n" + "\n".join(broken))
            print(f"\nwhat the server printed last:\n{stress.app.tail()}")
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
