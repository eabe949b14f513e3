"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from .environments import ROOT, NoEnvironment, Peer, versions

OURS = ["BottleSessions", "session-bottle", "session-core", "session-backends", "session-cookies"]
OTHERS = ["bottle", "cachelib", "redis", "pymemcache", "itsdangerous", "portalocker", "gunicorn"]
SERVERS = {"redis-server": ["--version"], "memcached": ["--version"]}


def describe(rounds: int, quick: bool, fast: Path | None, peers: list[Peer]) -> str:
    """Return the machine and the versions of everything, as lines of Markdown."""
    kind = "quick run" if quick else "full run"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, a {kind} of {rounds} rounds{_commit()}.",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, {_system()}.",
        f"CPython {platform.python_version()}, {', '.join(_servers())}.",
        f"Ours: {_list(versions(Path(sys.executable), OURS + OTHERS))}.",
    ]
    if fast is not None:
        lines.append(f"Ours with msgspec: the same and {_list(versions(fast, ['msgspec']))}.")
    for peer in peers:
        with suppress(NoEnvironment):
            names = [requirement.partition("==")[0] for requirement in peer.requirements]
            lines.append(f"{peer.name}: with {_list(versions(peer.python, names[1:]))}.")
    return "\n".join(lines)


def _list(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _system() -> str:
    with suppress(OSError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}"
    return platform.platform()


def _servers() -> list[str]:
    found = []
    for name, option in SERVERS.items():
        if shutil.which(name):
            words = _output([name, *option]).split()
            number = words[2].removeprefix("v=") if name == "redis-server" else words[1]
            found.append(f"{name} {number}")
        else:
            found.append(f"no {name}")
    return found


def _commit() -> str:
    """Return which commit it is, if this is a checkout of git."""
    with suppress(OSError, subprocess.CalledProcessError):
        name = _output(["git", "rev-parse", "--short", "HEAD"]).strip()
        changed = _output(["git", "status", "--porcelain", "--untracked-files=no", "packages"])
        return f", at commit {name}" + (" with changes in packages/" if changed else "")
    return ""


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
