"""What sessions add to a request: ours beside the floor and its goals, and beside the peers.

The overhead of an app is the time of its request minus that of the app without sessions, in the
same round of the same process. A ratio is that of two overheads of one round.
"""

from __future__ import annotations

from statistics import median, quantiles

from .race import Result, Rounds
from .table import DASH, micro, spread, table
from .timing import WORKS

TITLES = {
    "SimpleCache": "memory",
    "FileSystem": "files",
    "Redis": "Redis",
    "Memcached": "memcached",
}
PLAIN, FAST = "ours", "ours with msgspec"
"""The contenders of ours."""

Goal = tuple[str, str, str, float]
GOALS: list[Goal] = [  # the work, the contender, the backend, the ratio
    (work, contender, backend, ratio)
    for work, contender, *ratios in (
        ("untouched", PLAIN, 0.7, 0.7),
        ("read", PLAIN, 1.0, 1.0),
        ("write", PLAIN, 0.6, 1.0),
        ("new", PLAIN, 0.7, 1.0),
        ("large write", PLAIN, 1.0, 1.0),
        ("large write", FAST, 0.6, 0.6),
        ("large read", PLAIN, 2.0, 2.0),
        ("large read", FAST, 1.0, 1.0),
    )
    for backend, ratio in zip(("SimpleCache", "Redis"), ratios, strict=True)
]
GOALS.append(("write", PLAIN, "FileSystem", 1.3))
SIGNING = (("read", 0.5), ("write", 0.63))
AIM = ("read", PLAIN, "SimpleCache", 0.8)
"""More than a goal: what the work on speed aims at."""


def overheads(rounds: Rounds, app: str) -> list[float]:
    return [each[app] - each["bare"] for each in rounds]


def floor(work: str) -> str:
    """Return the app that a workload is compared with."""
    return "attribute" if work == "untouched" else "hand"


def ratios(rounds: Rounds, app: str, under: str) -> list[float]:
    """Return one for each round in which the noise has left the floor an overhead."""
    pairs = zip(overheads(rounds, app), overheads(rounds, under), strict=True)
    return [above / below for above, below in pairs if below > 0]


def ours_table(result: Result) -> str:
    """Return one row for each workload, of one backend."""
    head = ["µs over bare; ratio to the floor", "floor µs"]
    columns = [(PLAIN, "ours", "ours"), (PLAIN, "signed", "signed"), (FAST, "ours", "msgspec")]
    head += [f"{title} {unit}" for _, _, title in columns for unit in ("µs", "ratio")]
    rows = []
    for work in WORKS:
        rounds = result.rounds.get((PLAIN, work), [])
        row = [work, spread(micro(overheads(rounds, floor(work))), 1)]
        for contender, app, _ in columns:
            rounds = result.rounds.get((contender, work), [])
            row.append(spread(micro(overheads(rounds, app)), 1))
            row.append(spread(ratios(rounds, app, floor(work)), 2))
        rows.append(row)
    return table(head, rows)


def goals_table(results: dict[str, Result]) -> str:
    """Return every goal with what was measured."""
    rows = []
    for work, contender, backend, goal in GOALS:
        if backend in results:
            rounds = results[backend].rounds.get((contender, work), [])
            found = ratios(rounds, "ours", floor(work))
            what = work + (", with msgspec" if contender == FAST else "")
            aim = f" (aim {AIM[3]})" if (work, contender, backend) == AIM[:3] else ""
            rows.append(_goal_row(what, TITLES[backend], goal, found, aim))
    if "SimpleCache" in results:
        for work, goal in SIGNING:
            rounds = results["SimpleCache"].rounds.get((PLAIN, work), [])
            reads = results["SimpleCache"].rounds.get((PLAIN, "read"), [])
            base = median(overheads(reads, "hand")) if reads else 0.0
            found = [(each["signed"] - each["ours"]) / base for each in rounds] if base > 0 else []
            what = f"what signing adds to a {work}, in reads of the floor"
            rows.append(_goal_row(what, "memory", goal, found, ""))
    return table(["", "backend", "goal: at most", "measured", "reached"], rows)


def _goal_row(what: str, where: str, goal: float, found: list[float], aim: str) -> list[str]:
    reached = DASH if not found else "yes" if median(found) <= goal else "**no**"
    return [what, where, f"{goal}{aim}", spread(found, 2), reached]


def peers_table(result: Result, peers: list[str]) -> str:
    """Return what each library adds to its own framework, in µs."""
    works = list(WORKS)
    lines = [("ours", PLAIN, "ours"), ("ours with msgspec", FAST, "ours")]
    lines += [("the floor", PLAIN, ""), *((name, name, "sessions") for name in peers)]
    rows = []
    for title, contender, app in lines:
        row = [title]
        for work in works:
            rounds = result.rounds.get((contender, work), [])
            row.append(spread(micro(overheads(rounds, app or floor(work))), 1))
        rows.append(row)
    return table(["µs over its own framework", *works], rows)


def ahead(result: Result, peers: list[str]) -> list[str]:
    """Return every cell in which a peer takes less than ours does."""
    found = []
    for work in WORKS:
        ours = micro(overheads(result.rounds.get((PLAIN, work), []), "ours"))
        fast = micro(overheads(result.rounds.get((FAST, work), []), "ours"))
        for peer in peers:
            theirs = micro(overheads(result.rounds.get((peer, work), []), "sessions"))
            if ours and theirs and median(theirs) < median(ours):
                text = f"{work}: {peer}, {median(theirs):.1f} µs against {median(ours):.1f}"
                if fast:
                    text += f" ({median(fast):.1f} with msgspec)"
                if _overlap(theirs, ours):
                    text += ", within the noise: the quartiles overlap"
                found.append(text)
    return found


def _overlap(low: list[float], high: list[float]) -> bool:
    if min(len(low), len(high)) < 2:
        return True
    return quantiles(low, n=4, method="inclusive")[2] >= quantiles(high, n=4, method="inclusive")[0]
