"""What sessions add to a request where each request is that of another visitor.

    python -m benchmarks.visitors BACKEND ROUNDS

A process keeps what it has read of the few sessions that it served last, and the other workloads
are about one session. Here each request takes one of a thousand at random, so that hardly any is
kept. It prints one line of JSON: the overheads in seconds, one for each round.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
from pathlib import Path

from .growth import time_requests
from .hand import bare, by_hand, ours
from .race import server_for
from .timing import Client

SESSIONS = 1000


def measure(backend: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    with server_for(backend) as address, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        apps = {
            "bare": Client(bare()),
            "hand": Client(by_hand(backend, address, Path(folder, "hand"))),
            "ours": Client(ours(backend, address, Path(folder, "ours"))),
        }
        cookies = {
            name: [client.fill("small") for _ in range(SESSIONS)] for name, client in apps.items()
        }
        found: dict[str, dict[str, list[float]]] = {}
        for path in ("/read", "/write"):
            added = found[path] = {"hand": [], "ours": []}
            for _ in range(rounds):
                names = random.sample(list(apps), len(apps))
                times = {name: time_requests(apps[name], cookies[name], path) for name in names}
                for name, values in added.items():
                    values.append(times[name] - times["bare"])
    return found


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the servers, too
    backend, rounds = sys.argv[1:]
    print(json.dumps(measure(backend, int(rounds))))


if __name__ == "__main__":
    main()
