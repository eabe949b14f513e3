"""docs/GUARANTEES.md names tests and scenarios that exist, and every test of the guarantees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/GUARANTEES.md").read_text(encoding="utf-8")


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/-]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 30
    missing = [
        (path, name)
        for path, name in named
        if not (ROOT / path).is_file() or (name and name not in names_in(ROOT / path))
    ]
    assert missing == []


def test_every_scenario_that_is_named_exists() -> None:
    program = (ROOT / "benchmarks/stress.py").read_text(encoding="utf-8")
    named = set(re.findall(r"`--scenario (\w+)`", PAGE)) - {"x"}
    assert named == set(re.findall(r'^    "(\w+)": \(\d', program, re.MULTILINE))


def test_every_file_of_these_tests_is_named() -> None:
    files = {path.name for path in (ROOT / "tests").glob("test_guarantee_*.py")}
    unnamed = {name for name in files if f"tests/{name}" not in PAGE}
    assert unnamed == {Path(__file__).name}
