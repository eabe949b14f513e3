"""The parts of a run. Each returns the Markdown that it adds to the results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from session_backends.testing import MissingProgram, ServerFailed

from . import overhead, served
from .environments import ROOT, NoEnvironment, Peer
from .imports import import_memory, import_times
from .overhead import FAST, PLAIN, TITLES
from .race import Contender, Result, race
from .table import DASH, micro, spread, table
from .timing import WrongAnswer

GROWTH_GOALS = {"SimpleCache": 1.1, "FileSystem": 1.5, "Redis": 1.1}
IMPORT_GOAL = 15.0
IMPORTS = (
    "import session_core",
    "from session_core import SessionManager",
    "import session_cookies",
    "import session_backends",
    "import session_bottle",
    "import BottleSessions",
    "import bottle",
)
OWN = Path(sys.executable)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Overhead:
    """The workloads, of ours and of the peers, on every backend."""

    def __init__(self, rounds: int, share: float, fast: Path | None, peers: list[Peer]) -> None:
        self.peers = peers
        self.results: dict[str, Result] = {}
        self.notes: list[str] = []
        ours = [Contender(PLAIN, OWN, "ours", 0.3)]
        if fast is not None:
            ours.append(Contender(FAST, fast, "ours", 0.3))
        others: list[tuple[Peer, Contender]] = []
        for peer in peers:
            try:
                each = Contender(peer.name, peer.python, f"peer.{peer.module}", 0.12)
            except NoEnvironment as error:
                self.notes.append(f"{peer.name}: {error}")
            else:
                others.append((peer, each))
        for backend in TITLES:
            say(f"workloads in {TITLES[backend]}")
            racing = ours + [each for peer, each in others if backend in peer.backends]
            try:
                result = race(racing, backend, rounds, share)
            except (MissingProgram, ServerFailed) as error:
                self.notes.append(f"{TITLES[backend]}: {error}")
                continue
            self.results[backend] = result
            for (name, work), reason in result.failures.items():
                self.notes.append(f"{name}, {work} in {TITLES[backend]}: {reason}")

    def goals(self) -> str:
        text = ["## Goals", overhead.goals_table(self.results), "## What sessions cost"]
        text.append(
            "What a request takes over one without sessions, and its ratio to the code by hand "
            "(for untouched: to a plugin that sets one attribute).\n"
            "Each is the median of the rounds, with their quartiles."
        )
        for backend, result in self.results.items():
            text += [f"### In {TITLES[backend]}", overhead.ours_table(result)]
        return "\n\n".join(text)

    def beside_peers(self) -> str:
        text = [
            "## Beside other libraries",
            f"µs over the same request without sessions in the library's own framework; "
            f"{DASH} where it has no such store, or failed.",
        ]
        for backend, result in self.results.items():
            names = [peer.name for peer in self.peers if backend in peer.backends]
            text += [f"### Peers in {TITLES[backend]}", overhead.peers_table(result, names)]
            lines = overhead.ahead(result, names)
            found = "\n".join(f"- {line}" for line in lines)
            text.append(f"Ahead of ours:\n\n{found}" if lines else "None is ahead of ours.")
        return "\n\n".join(text)

    def failures(self) -> str:
        lines = [f"- {line}" for line in self.notes]
        return "\n".join(["## What could not be measured", "", *lines]) if lines else ""


def growth(rounds: int, sizes: list[int]) -> str:
    head = ["live sessions", *(f"{size:,}" for size in sizes), "goal: at most", "reached", "lost"]
    rows, notes = [], []
    for backend, goal in GROWTH_GOALS.items():
        say(f"many sessions in {TITLES[backend]}")
        found, reason = _child("benchmarks.growth", backend, rounds, *sizes)
        if found is None:
            rows.append([TITLES[backend], *[DASH] * (len(head) - 1)])
            notes.append(f"- {TITLES[backend]}: {reason}")
            continue
        pairs = zip(found["microseconds"], found["ratios"], strict=True)
        cells = [f"{micro:.1f} µs, {ratio:.2f}" for micro, ratio in pairs]
        reached = "yes" if max(found["ratios"]) <= goal else "**no**"
        rows.append([TITLES[backend], *cells, str(goal), reached, f"{found['lost']:,}"])
    text = (
        "## With more and more live sessions\n\n"
        "One write request to a random session, and the ratio to the smallest store in the same "
        "round: medians.\nAt the end every session is read.\n\n" + table(head, rows)
    )
    return text + ("\n\n" + "\n".join(notes) if notes else "")


def visitors(rounds: int) -> str:
    rows, notes = [], []
    for backend in ("SimpleCache", "Redis"):
        say(f"many visitors in {TITLES[backend]}")
        found, reason = _child("benchmarks.visitors", backend, rounds)
        if found is None:
            notes.append(f"- {TITLES[backend]}: {reason}")
            continue
        for path, added in found.items():
            ratios = [ours / hand for ours, hand in zip(added["ours"], added["hand"], strict=True)]
            cells = [spread(micro(added[name]), 1) for name in ("hand", "ours")]
            rows.append([f"{path[1:]}, {TITLES[backend]}", *cells, spread(ratios, 2)])
    text = (
        "## With another visitor in each request\n\n"
        "A process keeps what it has read of the sessions that it served last, and the workloads "
        "above are those of one visitor.\nHere each request takes one of 1,000 sessions at "
        "random.\n\n" + table(["µs over bare", "floor", "ours", "ratio"], rows)
    )
    return text + ("\n\n" + "\n".join(notes) if notes else "")


def serve(rounds: int, seconds: float) -> str:
    say("over real sockets")
    head = "## Over real sockets\n\n"
    try:
        found = served.measure(rounds, seconds)
    except (MissingProgram, ServerFailed, WrongAnswer, OSError) as error:
        return f"{head}Not measured: {error}"
    rows = [
        [name, *(spread(found[name, route], 0) for route in served.ROUTES)] for name in served.APPS
    ]
    return (
        f"{head}Requests per second: gunicorn with {served.PROCESSES} processes of "
        f"{served.THREADS} threads, sessions in Redis, {served.CLIENTS} clients that keep their "
        "connections.\nServer, Redis and clients share the cores of the machine.\n"
        "The peers are left out: most bring a web framework of their own, and the server would be "
        "measured more than they.\n\n" + table(["", *served.ROUTES], rows)
    )


def imports(rounds: int, peers: list[Peer]) -> str:
    head = ["in a new process", "ms", "MiB", "goal: at most", "reached"]
    rows, notes = [], []
    measured = [("", statement, OWN) for statement in IMPORTS]
    for peer in peers:
        try:
            measured.append((f" ({peer.name})", peer.statement, peer.python))
        except NoEnvironment as error:
            notes.append(f"- {peer.name}: {error}")
    for whose, statement, python in measured:
        say(f"{statement}{whose}")
        try:
            times = import_times(python, statement, rounds)
            sizes = import_memory(python, statement) or []
        except subprocess.CalledProcessError as error:
            notes.append(f"- {statement}{whose}: {error.stderr.strip().splitlines()[-1]}")
            continue
        goal = [DASH, DASH]
        if statement == IMPORTS[0]:
            goal = [f"{IMPORT_GOAL:.0f} ms", "yes" if median(times) <= IMPORT_GOAL else "**no**"]
        size = f"{median(sizes):.1f}" if sizes else DASH
        rows.append([f"`{statement}`{whose}", spread(times, 1), size, *goal])
    text = (
        "## Imports\n\nTime and memory over a Python that imports nothing.\n"
        "Bottle is part of session_bottle and BottleSessions, and Django, Flask and Starlette of "
        "what is built on them, as far as the import loads it.\n\n" + table(head, rows)
    )
    return text + ("\n\n" + "\n".join(notes) if notes else "")


def stored(count: int) -> str:
    rows, notes, records = [], [], {}
    for backend in GROWTH_GOALS:
        row = [TITLES[backend]]
        for who in ("ours", "floor"):
            say(f"bytes of {who} in {TITLES[backend]}")
            found, reason = _child("benchmarks.stored", who, backend, count)
            if found is None:
                row.append(DASH)
                notes.append(f"- {who} in {TITLES[backend]}: {reason}")
            else:
                records[who] = found["record"]
                row.append(f"{found['all'] / 1e6:.1f}")
        rows.append(row)
    sizes = " and ".join(f"{size:,} bytes ({who})" for who, size in records.items())
    text = (
        f"## Room\n\nThe record of a session of ten keys takes {sizes}.\n"
        f"MB that the store grows by with {count:,} of them: the process's memory, the blocks of "
        "the disk, Redis's `used_memory`.\n\n" + table(["", "ours", "floor"], rows)
    )
    return text + ("\n\n" + "\n".join(notes) if notes else "")


def _child(module: str, *arguments: object) -> tuple[Any, str]:
    """Run a module in a process of its own; return what it printed, or None and why not."""
    command = [str(OWN), "-m", module, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            words, complaints = child.communicate()
        except BaseException:
            child.terminate()  # it ends the servers that it has started
            raise
    if child.returncode:
        return None, (complaints.strip().splitlines() or ["no words"])[-1]
    return json.loads(words), ""
