"""docs/SECURITY.md names tests that exist, and the example that it names does what it says."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

from session_core.ids import new_session_id
from session_core.testing import FakeClock

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## The checklist")[2].splitlines()
    if line.startswith("|") and not line.startswith(("| requirement", "|---"))
]
NAMED = re.findall(r"`([\w/-]+\.py)(?:::(\w+))?`", PAGE)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_checklist_is_complete():
    assert len(ROWS) >= 45
    assert all(len(row) == 4 and row[0] and row[1] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_line_says_how_it_is_met_and_by_which_test(row):
    _, _, how, test = row
    assert re.match(r"default\b|option `session_\w+`|yours\b", how)
    assert test or how.startswith("yours")
    assert re.fullmatch(r"(`[\w/-]+\.py::test_\w+`(, )?)*", test)


def test_every_test_that_is_named_exists():
    missing = [
        (path, name)
        for path, name in NAMED
        if not (ROOT / path).is_file() or (name and name not in names_in(ROOT / path))
    ]
    assert missing == []


def test_every_file_of_these_tests_is_named():
    named = {path for path, _ in NAMED}
    files = {f"tests/{path.name}" for path in (ROOT / "tests").glob("test_security_*.py")}
    assert files <= named


def test_every_option_that_is_named_exists():
    text = (ROOT / "docs/OPTIONS.md").read_text(encoding="utf-8")
    for name in re.findall(r"option `(session_\w+)`", PAGE):
        assert f"\n## {name}\n" in text


# --- examples/unknown_ids.py --------------------------------------------------------------------


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("unknown_ids", ROOT / "examples/unknown_ids.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.guesses.clock = FakeClock()
    return module


def ask(module, client, cookie=""):
    environ = {"REMOTE_ADDR": client, "HTTP_COOKIE": cookie, "wsgi.errors": io.StringIO()}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = "/"
    started = []
    body = b"".join(module.app(environ, lambda *given: started.extend(given)))
    return started[0], dict(started[1]), body.decode()


def test_the_example_counts_unknown_ids_for_each_client(example):
    def guess(client):
        return ask(example, client, f"bottlecookie={new_session_id()}")

    for _ in range(example.LIMIT):
        assert guess("192.0.2.1")[0] == "200 OK"
    status, headers, body = guess("192.0.2.1")
    assert (status, headers["Retry-After"]) == ("429 Too Many Requests", "60")
    assert body == "Too many unknown session ids.\n"
    assert guess("192.0.2.2")[0] == "200 OK"
    assert ask(example, "192.0.2.1")[0].startswith("429")
    example.guesses.clock.advance(example.WINDOW)
    assert ask(example, "192.0.2.1")[0] == "200 OK"


def test_the_example_does_not_count_who_has_a_session_or_none(example):
    cookie = ""
    for number in range(1, 3 * example.LIMIT):
        status, headers, body = ask(example, "192.0.2.3", cookie)
        assert (status, body) == ("200 OK", f"Visit number {number}.\n")
        cookie = headers["Set-Cookie"].partition(";")[0]


def test_the_example_remembers_a_bounded_number_of_clients(example, monkeypatch):
    monkeypatch.setattr(example, "CLIENTS", 10)
    for number in range(100):
        example.guesses.note(f"client {number}")
    assert len(example.guesses.counts) == 10
    assert example.guesses.current("client 99")[0] == 1
