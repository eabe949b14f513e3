"""Check the built distributions in dist/ outside of the workspace.

    python scripts/check_wheels.py alone     each wheel with its declared dependencies only
    python scripts/check_wheels.py lowest    all wheels on the lowest versions they declare

alone: for each wheel a new environment, the newest dependencies that it allows, import without
extras, then the package's own tests, from a copy out of reach of the sources.

lowest: every third-party package that any of the five declares, pinned to its declared lower
bound. (A resolver asked for the lowest direct dependencies of one wheel takes the newest of what
its siblings declare.) Then all but the slow tests.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from pathlib import Path

from environment import CONSTRAINTS, ROOT, group
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


class CheckError(Exception):
    """What is wrong, for whoever reads the run."""


class Wheel:
    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.files = archive.namelist()
            info = next(name for name in self.files if name.endswith(".dist-info/METADATA"))
            metadata = BytesParser().parsebytes(archive.read(info))
        self.name = metadata["Name"]
        self.tops = {name.partition("/")[0] for name in self.files}
        self.module = next(name for name in sorted(self.tops) if not name.endswith(".dist-info"))
        self.extras = metadata.get_all("Provides-Extra", [])
        self.requires = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]

    def requirement(self, *extras: str) -> str:
        options = f"[{','.join(extras)}]" if extras else ""
        return f"{self.name}{options} @ {self.path.as_uri()}"


def read_wheels() -> list[Wheel]:
    wheels = [Wheel(path) for path in sorted((ROOT / "dist").glob("*.whl"))]
    folders = list(ROOT.glob("packages/*/pyproject.toml"))
    if len(wheels) != len(folders):
        sys.exit(f"{len(wheels)} wheels in dist/ for {len(folders)} packages: build them first")
    return wheels


WHEELS = read_wheels()
SIBLINGS = {canonicalize_name(wheel.name) for wheel in WHEELS}
THIRD_PARTY = [
    requirement
    for wheel in WHEELS
    for requirement in wheel.requires
    if canonicalize_name(requirement.name) not in SIBLINGS
]


def with_siblings(wheel: Wheel) -> list[Wheel]:
    """The wheel and those of the five that it declares, so that they come from dist/ and not
    from an index. That the declared range allows them is still up to pip."""
    found = [wheel]
    for each in found:
        names = {canonicalize_name(requirement.name) for requirement in each.requires}
        found += [w for w in WHEELS if canonicalize_name(w.name) in names and w not in found]
    return found


class Environment:
    """A new virtual environment, and a folder for its tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.log = ""
        self.run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
        names = {canonicalize_name(requirement.name) for requirement in THIRD_PARTY}
        lines = CONSTRAINTS.read_text().splitlines()
        self.constraints("tools", [line for line in lines if line.split("==")[0] not in names])

    def constraints(self, name: str, lines: list[str]) -> None:
        (self.folder / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            self.log += done.stdout
            raise CheckError(f"exit code {done.returncode}: {' '.join(map(str, command))}")
        return done.stdout

    def install(self, constraints: list[str], *requirements: str) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python]
        files = [f"--constraint={name}.txt" for name in constraints]
        self.run(*pip, "install", "-qq", *files, *requirements)

    def imports(self, modules: list[str]) -> None:
        """Import from the environment and from nowhere else, in isolated mode."""
        code = "import sys, importlib\nfor name in sys.argv[1:]: "
        code += "print(importlib.import_module(name).__file__)"
        for line in self.run(self.python, "-I", "-c", code, *modules).splitlines():
            if not Path(line).is_relative_to(self.folder):
                raise CheckError(f"not imported from the wheel: {line}")

    def installed(self) -> dict[str, str]:
        code = "import importlib.metadata as m, json\n"
        code += "print(json.dumps({d.name: d.version for d in m.distributions()}))"
        found = json.loads(self.run(self.python, "-I", "-c", code))
        self.log += "installed: " + ", ".join(f"{k} {v}" for k, v in sorted(found.items())) + "\n"
        return {canonicalize_name(name): version for name, version in found.items()}


def check_contents(wheel: Wheel) -> None:
    if f"{wheel.module}/py.typed" not in wheel.files:
        raise CheckError("the wheel has no py.typed")
    if not any(name.endswith("licenses/LICENSE") for name in wheel.files):
        raise CheckError("the wheel has no LICENSE")
    if len(wheel.tops) != 2:  # the package and its .dist-info
        raise CheckError("the wheel holds more than its package")
    sdist = next(wheel.path.parent.glob(wheel.path.name.split("-py3")[0] + ".tar.gz"))
    with tarfile.open(sdist) as archive:
        if not any("/tests/test_" in name for name in archive.getnames()):
            raise CheckError("the sdist has no tests")


def check_alone(wheel: Wheel, environment: Environment) -> None:
    check_contents(wheel)
    wheels = [each.requirement() for each in with_siblings(wheel)]
    environment.install([], *wheels)
    environment.imports([wheel.module])
    installed = environment.installed().keys()
    if wheel.name == "session-core" and len(installed) > 1:
        raise CheckError("session-core brings something in")
    for requirement in wheel.requires:
        optional = requirement.marker and "extra" in str(requirement.marker)
        name = canonicalize_name(requirement.name)
        if optional and name in installed and name not in SIBLINGS:
            raise CheckError(f"{requirement.name} came in without its extra")
    if wheel.extras:
        environment.install([], wheel.requirement(*wheel.extras), *wheels[1:])
    environment.install(["tools"], *group("test"))
    environment.installed()

    source = next(ROOT.glob(f"packages/*/src/{wheel.module}")).parents[1]
    copy = environment.folder / "packages" / source.name
    ignore = shutil.ignore_patterns("src", "__pycache__", ".*")
    shutil.copytree(source, copy, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", environment.folder)  # the settings of pytest
    environment.log += environment.run(environment.python, "-m", "pytest", copy / "tests")


def report_alone(wheel: Wheel) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder).resolve())
        try:
            check_alone(wheel, environment)
            problem = ""
        except CheckError as error:
            problem = f"FAILED: {wheel.name} alone: {error}\n"
    print(f"-- {wheel.name} alone\n{environment.log}{problem}", flush=True)
    return not problem


def alone() -> bool:
    with ThreadPoolExecutor(2) as pool:
        return all(list(pool.map(report_alone, WHEELS)))


def lower_bounds() -> dict[str, str]:
    bounds: dict[str, str] = {}
    for requirement in THIRD_PARTY:
        name = canonicalize_name(requirement.name)
        lowest = [part.version for part in requirement.specifier if part.operator == ">="]
        if not lowest:
            raise CheckError(f"no lower bound is declared: {requirement}")
        if bounds.setdefault(name, lowest[0]) != lowest[0]:
            raise CheckError(f"two lower bounds are declared for {name}")
    return bounds


def lowest() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder).resolve())
        try:
            bounds = lower_bounds()
            environment.constraints("bounds", [f"{name}=={bounds[name]}" for name in bounds])
            everything = [wheel.requirement(*wheel.extras) for wheel in WHEELS]
            # The folder as well: pip may ask for what a sibling's extra requires before it has met
            # the file.
            environment.install(["bounds"], "--find-links", str(ROOT / "dist"), *everything)
            environment.install(["bounds", "tools"], *group("test"), *group("stress"))
            environment.imports([wheel.module for wheel in WHEELS])
            installed = environment.installed()
            wrong = False
            for name, bound in sorted(bounds.items()):
                print(f"{name:14} declared {bound:10} installed {installed[name]}")
                wrong = wrong or Version(installed[name]) != Version(bound)
            if wrong:
                raise CheckError("what is installed are not the declared bounds")
        except CheckError as error:
            print(f"{environment.log}FAILED: lowest versions: {error}", flush=True)
            return False
        # From the checkout: its sources are in src folders, which nothing puts on the path.
        sys.stdout.flush()
        command = [environment.python, "-m", "pytest", "-m", "not slow"]
        return subprocess.run(command, check=False, cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(not {"alone": alone, "lowest": lowest}[sys.argv[1]]())
