"""BottleSessions beside the floor, for `benchmarks.worker`."""

from __future__ import annotations

from pathlib import Path

from .hand import attribute, bare, by_hand, ours
from .timing import App

SECRET = "a secret of the benchmark, thirty-two bytes or more"


def apps(backend: str, address: str, folder: Path) -> dict[str, App]:
    """Return all of them in one process, so that they can be compared round by round."""
    return {
        "bare": bare(),
        "attribute": attribute(),
        "hand": by_hand(backend, address, folder / "hand"),
        "ours": ours(backend, address, folder / "ours"),
        "signed": ours(backend, address, folder / "signed", session_secret=SECRET),
    }
