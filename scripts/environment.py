"""Make a virtual environment of this checkout, or keep the one there if it is still right.

    python scripts/environment.py FOLDER [GROUP ...]

FOLDER gets the five packages (editable, both extras of session-backends included) and these
dependency groups of pyproject.toml, at the versions in constraints.txt, for the Python that runs
this script. The standard library only: it runs before anything is installed.
"""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def group(name: str) -> list[str]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    found: list[str] = []
    for item in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][name]:
        found += [item] if isinstance(item, str) else group(item["include-group"])
    return found


def fingerprint(folder: Path, requirements: list[str]) -> str:
    """Text that changes whenever the environment has to be made anew."""
    files = [CONSTRAINTS, Path(__file__), *(path / "pyproject.toml" for path in PACKAGES)]
    parts = [str(folder), sys.version, sys.base_prefix, *requirements]
    parts += [path.read_text(encoding="utf-8") for path in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make(folder: Path, requirements: list[str]) -> None:
    print(f"making {folder.name} with Python {sys.version.split()[0]}", flush=True)
    # The base executable, because this may be the very environment that is made anew.
    subprocess.run([sys._base_executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    pip += ["--constraint", CONSTRAINTS]
    # One build backend for all five, installed first, instead of five isolated ones.
    subprocess.run([*pip, "hatchling", *requirements], check=True)
    packages = [argument for path in PACKAGES for argument in ("--editable", path)]
    subprocess.run([*pip, "--no-build-isolation", *packages], check=True)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    requirements = [requirement for name in sys.argv[2:] for requirement in group(name)]
    stamp = folder / "made-by-environment.py"
    wanted = fingerprint(folder, requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    try:
        make(folder, requirements)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{folder.name} could not be made: pip ended with {error.returncode}")
    stamp.write_text(wanted)  # last: an environment that was interrupted is made anew


if __name__ == "__main__":
    main()
