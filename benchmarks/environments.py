"""The environments of the benchmark: two of ours, of which one has the extra ``fast``, and one for
each peer."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class NoEnvironment(Exception):
    """pip could not make it. The message says why."""


@dataclass(frozen=True)
class Peer:
    """A library that does what ours does. See the module of `benchmarks.peer` about it."""

    module: str
    requirements: list[str]
    backends: tuple[str, ...]
    statement: str
    """What a program that uses it imports."""

    @property
    def name(self) -> str:
        return self.requirements[0].replace("==", " ")

    @cached_property
    def python(self) -> Path:
        """Its Python. Raises `NoEnvironment`."""
        folder = ROOT / f".venv-bench-{self.module}"
        stamp = folder / "made-by-benchmarks"
        parts = [str(folder), sys.version, sys.base_prefix, *self.requirements]
        wanted = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        python = folder / "bin" / "python"
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"making {folder.name}", file=sys.stderr, flush=True)
            _run([sys._base_executable, "-m", "venv", "--clear", str(folder)])
            _install(python, self.requirements)
            stamp.write_text(wanted)  # last: an environment that was interrupted is made anew
        return python


def find_peers() -> list[Peer]:
    """Read the modules of `benchmarks.peer`, which can be imported only where the peer is."""
    found = []
    for path in sorted((ROOT / "benchmarks" / "peer").glob("[a-z]*.py")):
        values = {}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign([ast.Name("REQUIREMENTS" | "BACKENDS" | "IMPORT" as name)], value):
                    values[name] = ast.literal_eval(value)
        found.append(Peer(path.stem, values["REQUIREMENTS"], values["BACKENDS"], values["IMPORT"]))
    return found


def make_fast() -> Path:
    """Return the Python of our second environment. Raises `NoEnvironment`."""
    folder = ROOT / ".venv-bench-fast"
    _run([sys._base_executable, "scripts/environment.py", str(folder), "stress", "fast"])
    return folder / "bin" / "python"


def versions(python: Path, names: list[str]) -> dict[str, str]:
    """Return the versions of those packages that an environment has."""
    program = (
        "import json, sys\n"
        "from importlib import metadata\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = metadata.version(name)\n"
        "    except metadata.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    found: dict[str, str] = json.loads(_run([str(python), "-c", program, *names]))
    return found


def _install(python: Path, requirements: list[str]) -> None:
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    _run([*pip, *requirements])


def _run(command: list[str]) -> str:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        words = (ended.stderr or ended.stdout).strip().splitlines() or ["no words"]
        raise NoEnvironment(f"{' '.join(command[1:4])} …: {words[-1]}")
    return ended.stdout
