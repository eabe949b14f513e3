"""The scenario in which the app is killed while it writes."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from session_backends import Backing
from session_core import SessionManager

from .server import Program
from .stress_app import MAX_BYTES, new_payload
from .stress_client import Browser, Load, Report


def kill(load: Load, rounds: int, app: Program, folder: Path) -> Report:
    """The app is killed while it writes large sessions into files; then the files are read."""
    report = Report("kill")
    backing = Backing("FileSystem", cache_dir=str(folder))
    manager = SessionManager(backing, max_bytes=MAX_BYTES)
    writers = [Writer(Browser(load, "brief")) for _ in range(min(4, load.threads))]
    assert all(load.each(Writer.write, writers))
    inside = torn = 0
    for number in range(rounds):
        before = sizes(folder)
        finish = load.start([writer.run for writer in writers])
        if number % 2:
            wait_for_a_write(folder, before)
            time.sleep(random.random() * 0.002)
        else:
            time.sleep(random.random() * 0.5)
        app.end(signal.SIGKILL)
        finish()
        inside += len(sizes(folder)) > len(before)
        torn += sum(not writer.is_right(manager) for writer in writers)
        app.start()
        load.start_anew()
    unusable = sum(not written for written in load.each(Writer.write, writers))
    torn += sum(not writer.is_right(manager) for writer in writers)
    report.count(rounds, "rounds")
    report.count(sum(writer.tried for writer in writers), "writes of 4 MB")
    report.promise(sum(w.interrupted for w in writers), "interrupted", rounds * len(writers))
    report.count(inside, "kills inside of a write")
    report.promise(torn, "records neither old nor new")
    report.promise(unusable, "that cannot be written afterwards")
    return report


@dataclass
class Writer:
    """A visitor with one large value, numbered."""

    browser: Browser
    kept: int = 0
    tried: int = 0
    interrupted: int = 0

    def write(self) -> bool:
        self.tried += 1
        reply = self.browser.send(f"payload/{self.tried}")
        if reply.kept:
            self.kept = self.tried
        self.interrupted += reply.status == 0
        return reply.kept

    def run(self) -> None:
        while self.write():
            pass

    def is_right(self, manager: SessionManager) -> bool:
        """Whether the record is what was acknowledged, or what was written after that."""
        found: dict[str, Any] = manager.open(self.browser.cookie.partition("=")[2])
        value = found.get("payload", {})
        number = value.get("number")
        if number not in (self.kept, self.tried) or value != new_payload(number):
            return False
        self.kept = number
        return True


def sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file that is a record, or is on its way to be one."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names if not path.endswith("locks") else ():
            with suppress(FileNotFoundError):
                found[name] = os.stat(os.path.join(path, name)).st_size
    return found


def wait_for_a_write(folder: Path, before: dict[str, int]) -> None:
    """Wait until a file has come or has another size: somebody is writing."""
    deadline = time.monotonic() + 1
    while sizes(folder) == before and time.monotonic() < deadline:
        pass
