"""A request costs what it should, beside the same request written by hand.

The limits are generous, because machines are noisy: twice the goals in benchmarks/RESULTS.md. A
careless change costs more than that. Only ratios of one run are looked at, never times.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest
from benchmarks.hand import attribute, bare, by_hand, ours
from benchmarks.timing import Race

# Not under coverage, which would make our lines slow and not those of the floor.
pytestmark = pytest.mark.slow

ROUNDS = 9
SECONDS = 0.1  # for each round

LIMITS = {
    "SimpleCache": {
        "untouched": 1.4,
        "read": 2.0,
        "write": 1.2,
        "new": 1.4,
        "large write": 2.0,
        "large read": 4.0,
    },
    "FileSystem": {"write": 2.6},
    "Redis": {
        "untouched": 1.4,
        "read": 2.0,
        "write": 2.0,
        "new": 2.0,
        "large write": 2.0,
        "large read": 4.0,
    },
}


def ratio(work: str, backend: str, address: str, folder: Path) -> float:
    """Return what sessions add to a request, by what the hand-written code adds."""
    floor = attribute()
    if work != "untouched":
        floor = by_hand(backend, address, folder / "hand")
    above = ours(backend, address, folder / "ours")
    race = Race({"bare": bare(), "floor": floor, "ours": above}, work)
    rounds = [race.round(SECONDS) for _ in range(ROUNDS)]
    return median((each["ours"] - each["bare"]) / (each["floor"] - each["bare"]) for each in rounds)


@pytest.mark.parametrize("work", LIMITS["SimpleCache"])
def test_in_memory(work: str, tmp_path: Path) -> None:
    assert ratio(work, "SimpleCache", "", tmp_path) < LIMITS["SimpleCache"][work]


def test_in_files(tmp_path: Path) -> None:
    assert ratio("write", "FileSystem", "", tmp_path) < LIMITS["FileSystem"]["write"]


@pytest.mark.servers
@pytest.mark.parametrize("work", LIMITS["Redis"])
def test_in_redis(work: str, redis_port: int, tmp_path: Path) -> None:
    assert ratio(work, "Redis", f"127.0.0.1:{redis_port}", tmp_path) < LIMITS["Redis"][work]
