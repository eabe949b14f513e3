"""Everything is where programs built on the classic package look for it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from importlib.metadata import version

import pytest
from packaging.version import Version

STATEMENTS = [
    "import BottleSessions",
    "import BottleSessions.Session",
    "import BottleSessions.BottleSessions",
    "import BottleSessions.backing",
    "from BottleSessions.backing import Backing",
    "from BottleSessions.Session import Session",
    "from BottleSessions.BottleSessions import BottleSessions as B",
    "from BottleSessions import BottleSession",
    "import importlib; importlib.import_module('BottleSessions.Session')",
]

CHECK = """
import BottleSessions, session_backends, session_bottle, session_core
assert BottleSessions.BottleSessions is session_bottle.BottleSessions
assert BottleSessions.BottleSession is session_bottle.BottleSessions
assert BottleSessions.Session is session_core.Session
assert BottleSessions.Backing is session_backends.Backing
"""


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_in_any_order():
    # One process for all orders: what is imported is thrown away in between.
    forget = (
        "import sys\n"
        "for name in list(sys.modules):\n"
        "    if name.startswith('BottleSessions'): del sys.modules[name]"
    )
    orders = itertools.permutations(STATEMENTS, 2)
    run("\n".join("\n".join([forget, *order, CHECK]) for order in orders))


@pytest.mark.parametrize("statement", STATEMENTS)
def test_as_the_first_import(statement):
    run(statement + CHECK)


def test_star_import():
    names = {}
    exec("from BottleSessions import *", names)
    assert {"BottleSessions", "BottleSession", "Session", "Backing"} <= set(names)


def test_pip_sees_an_upgrade():
    assert Version(version("BottleSessions")) > Version("21.9.21")
