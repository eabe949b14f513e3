"""How the cost of a write depends on how many sessions live, and whether any is lost.

    python -m benchmarks.growth BACKEND ROUNDS SIZE [SIZE ...]

It fills one store for each number of sessions, then times write requests to them in turn: each
round takes a random sample of the sessions of every store, and compares the times of that round.
At the end every session is read. It prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from .hand import ours
from .race import server_for
from .timing import NAME, Client, environ

SAMPLE = 50


def time_requests(client: Client, cookies: list[str], path: str = "/write") -> float:
    """Return the seconds of one request, over a random sample of the sessions."""
    sample = random.sample(cookies, SAMPLE)
    # New texts, as a server makes of what it receives: to find the old ones in memory would take
    # longer the more there are.
    sent = [environ(path, cookie.encode().decode()) for cookie in sample]
    app, start_response = client.app, client.start_response
    started = time.perf_counter()
    for each in sent:
        body = app(each, start_response)
        for _chunk in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    taken = (time.perf_counter() - started) / SAMPLE
    if not client.status.startswith("200"):
        raise SystemExit(f"{path} was answered by {client.status}")
    return taken


def measure(backend: str, rounds: int, sizes: list[int]) -> dict[str, object]:
    with ExitStack() as stack:
        stores: list[tuple[Client, list[str]]] = []
        for size in sizes:
            address = stack.enter_context(server_for(backend))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            client = Client(ours(backend, address, Path(folder, "s"), session_expire=3600))
            stores.append((client, [client.fill("small") for _ in range(size)]))
        for client, cookies in stores:
            time_requests(client, cookies)
        gc.collect()
        times: list[list[float]] = [[] for _ in stores]
        for _ in range(rounds):
            # In another order each time, so that no size follows the same one always.
            for place in random.sample(range(len(stores)), len(stores)):
                times[place].append(time_requests(*stores[place]))
        lost = sum(
            client.get("/read", cookie) != NAME for client, cookies in stores for cookie in cookies
        )
    ratios = [[one / first for one, first in zip(each, times[0], strict=True)] for each in times]
    return {
        "microseconds": [median(each) * 1e6 for each in times],
        "ratios": [median(each) for each in ratios],
        "lost": lost,
    }


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the servers, too
    backend, rounds, *sizes = sys.argv[1:]
    print(json.dumps(measure(backend, int(rounds), [int(size) for size in sizes])))


if __name__ == "__main__":
    main()
