"""How the cost of a write depends on how many sessions live, and whether any is lost.

    python -m benchmarks.growth                    SimpleCache, the default backing
    python -m benchmarks.growth --backend FileSystem
    python -m benchmarks.growth --backend Redis --port 6379

For each number of live sessions it writes a sample of them (open, change, commit) and prints the
median time of one write and its ratio to the smallest number; at the end every session is read.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import tempfile
import time

from session_backends import Backing
from session_core import SessionManager

SIZES = (100, 1_000, 10_000, 100_000)
SAMPLE = 500
ROUNDS = 5


def new_backing(options: argparse.Namespace, folder: str) -> Backing:
    if options.backend == "FileSystem":
        return Backing("FileSystem", cache_dir=folder)
    if options.backend == "Redis":
        return Backing("Redis", host="127.0.0.1", port=options.port, key_prefix="growth:")
    if options.backend == "Memcached":
        return Backing("Memcached", servers=[f"127.0.0.1:{options.port}"], key_prefix="growth:")
    return Backing(options.backend)


def time_writes(manager: SessionManager, ids: list[str]) -> float:
    """Return the median of some rounds, in seconds for one write."""
    times = []
    for _ in range(ROUNDS):
        sample = random.choices(ids, k=SAMPLE)
        started = time.perf_counter()
        for session_id in sample:
            session = manager.open(session_id)
            session["count"] += 1
            manager.commit(session)
        times.append((time.perf_counter() - started) / SAMPLE)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="SimpleCache")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    print(f"{options.backend}, Python {platform.python_version()}, {platform.machine()}\n")
    print("| live sessions | µs for a write | ratio |")
    print("|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        manager = SessionManager(new_backing(options, folder), idle_timeout=3600)
        ids: list[str] = []
        first = 0.0
        for size in options.sizes:
            while len(ids) < size:
                session = manager.open()
                session.update(count=0, user=f"user{len(ids)}", list=[1, 2, 3])
                ids.append(manager.commit(session).session_id)
            seconds = time_writes(manager, ids)
            first = first or seconds
            print(f"| {size:,} | {seconds * 1e6:.1f} | {seconds / first:.2f} |", flush=True)
        lost = sum(manager.open(session_id).get("count") is None for session_id in ids)
    print(f"\n{len(ids):,} sessions written, {lost} lost")
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    main()
