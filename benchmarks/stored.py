"""How much room sessions take.

    python -m benchmarks.stored WHO BACKEND COUNT

WHO is ``ours`` or ``floor``. It stores COUNT sessions of the small content and prints one line of
JSON: the bytes of one record, and of all that the store holds. In memory that is what the process
has grown by, in files the blocks of the disk, in Redis its ``used_memory``.
"""

from __future__ import annotations

import gc
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .content import Content
from .hand import Hand, our_backing
from .race import server_for


def status(key: str) -> int:
    """Return one of this process's sizes in bytes, such as ``VmRSS``. Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise SystemExit(f"/proc/self/status has no {key}")


def used(backend: str, address: str, folder: Path) -> int:
    if backend == "SimpleCache":
        gc.collect()
        return status("VmRSS")
    if backend == "FileSystem":
        paths = [folder, *folder.rglob("*")] if folder.exists() else []
        return sum(path.stat().st_blocks * 512 for path in paths)
    from redis import Redis

    host, _, port = address.partition(":")
    with Redis(host, int(port)) as client:
        info: Any = client.info("memory")
    return int(info["used_memory"])


def storing(who: str, backend: str, address: str, folder: Path) -> Callable[[], Any]:
    """Return what stores one new session."""
    if who == "floor":
        hand = Hand(backend, address, folder)
        hand.life = 3600
        return lambda: hand.set(secrets.token_urlsafe(32), json.dumps(Content("small").values()))

    from session_backends import Backing
    from session_core import SessionManager

    options = our_backing(backend, address, folder)
    manager = SessionManager(Backing(**options), idle_timeout=3600)

    def store() -> None:
        session = manager.open()
        session.update(Content("small").values())
        manager.commit(session)

    return store


def record_size(who: str) -> int:
    """Return the bytes of one record."""
    if who == "floor":
        return len(json.dumps(Content("small").values()))

    from session_core import MemoryStore, SessionManager

    sizes = []

    class Measured(MemoryStore):
        def create(self, key: str, record: bytes, ttl: float) -> bool:
            sizes.append(len(record))
            return super().create(key, record, ttl)

    manager = SessionManager(Measured())
    session = manager.open()
    session.update(Content("small").values())
    manager.commit(session)
    return sizes[0]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the server, too
    who, backend, count = sys.argv[1:]
    with server_for(backend) as address, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder, "sessions")
        record = record_size(who)
        store = storing(who, backend, address, place)
        store()  # what is made at the first use does not count
        before = used(backend, address, place)
        for _ in range(int(count)):
            store()
        print(json.dumps({"record": record, "all": used(backend, address, place) - before}))


if __name__ == "__main__":
    main()
