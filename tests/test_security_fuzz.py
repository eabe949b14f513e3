"""Whatever a client sends, and whatever lies in the store: no exception, nothing adopted, in time.

What must hold is in benchmarks/fuzz.py. Here it is checked for 52,000 inputs: good ones that were
damaged at random (seeded, cheap), and ones that Hypothesis puts together (derandomized). A million:

    python -m benchmarks.fuzz --examples 1000000
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_core import IdCookie
from session_core.ids import new_session_id

ROOT = Path(__file__).resolve().parents[1]

spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks/fuzz.py")
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)

thorough = settings(
    max_examples=3000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@functools.cache
def target(name):
    with fuzz.listening(fuzz.Lines()):
        return getattr(fuzz, name)()


# --- good inputs, damaged -----------------------------------------------------------------------


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_ten_thousand_damaged_inputs(name):
    fuzz.run(name, 10_000, "CI")


def test_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "--examples", "40", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("| 10 |") == 4
    assert "No example failed." in done.stdout


def test_what_fails_is_shown(monkeypatch):
    def fail(self, given):
        raise KeyError("why")

    monkeypatch.setattr(fuzz.Headers, "check", fail)
    with pytest.raises(AssertionError, match="headers, example 0: '"):
        fuzz.run("headers", 10, 0)


# --- put together by Hypothesis -----------------------------------------------------------------

words = st.sampled_from(fuzz.WORDS)
texts = st.text(max_size=5)
names = st.sampled_from(["sid", "__Host-sid", "SID", " sid", "sid ", "xsid", "", "\xa0sid"])
values = st.sampled_from(["", "A" * 43, '"', '"' + "b" * 43 + '"', "a,b", "a=b", "../../etc"])
pairs = st.tuples(names, st.sampled_from(["=", " = ", "", "=="]), values).map("".join)
headers = st.lists(st.one_of(pairs, words, texts), max_size=8).map("; ".join)


@thorough
@given(headers)
def test_reading_any_cookie_header(header):
    target("Headers").check(header)


@thorough
@given(st.data())
def test_unsigning_any_value(data):
    signatures = target("Signatures")
    good = data.draw(st.sampled_from([*signatures.by_one, *signatures.by_last]))
    cut = data.draw(st.integers(0, len(good)))
    signatures.check(good[:cut] + data.draw(texts | words) + good[cut:])
    signatures.check(good[:cut])


numbers = st.sampled_from(
    ["0", "1", "-1", "1800000000.0", "1799999999.5", "300", "1e308", "1e999", "nan", "inf", "x"]
)
atoms = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5), words
)
tags = st.sampled_from(
    ["a", "~1", "~", "~~", "~[]", '~{"~~set":[]}', "~~tuple", "~~set", "~~frozenset", "~~bytes",
     "~~datetime", "~~date", "~~time", "~~timedelta", "~~decimal", "~~uuid", "~~float", "~~eval"]
)  # fmt: skip
trees = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tags, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def records(draw):
    form = draw(st.sampled_from(["sc1", "sc1", "sc1", "sc2", "sc0", "sc", "x"]))
    rare = json.dumps(draw(st.sampled_from([[], ["alice"], [None, True], [1], ["a", None, 7], {}])))
    body = json.dumps(draw(st.dictionaries(tags | texts, trees, max_size=4)))
    body = draw(st.sampled_from([body, body, body + "\n", " " + body, body[1:], ""]))
    if draw(st.integers(0, 5)) == 0:
        return f"{'h' * 16} {form} dead {draw(numbers)} {rare}\n{body}".encode()
    four = " ".join(draw(st.lists(numbers, min_size=4, max_size=4)))
    return f"{'h' * 16} {form} live {four} {rare.replace(' ', '')}\n{body}".encode()


@pytest.mark.slow
@thorough
@given(records())
def test_opening_any_record(record):
    with fuzz.listening(fuzz.Lines()):
        target("Records").check(record)


def test_opening_a_record_with_a_newline_at_its_end():
    record = b'hhhhhhhhhhhhhhhh sc1 live 1800000000.0 1800000000.0 300 0 []\n{"a":1,\n"b":2}\n'
    target("Records").check(record)


@pytest.mark.slow
@thorough
@given(st.data(), st.booleans())
def test_sending_any_cookie_header_to_the_app(data, signed):
    requests = target("SignedRequests" if signed else "Requests")
    ours = st.sampled_from([*requests.live, new_session_id(), "A" * 43 + "." + "A" * 43])
    cookie = st.builds("bottlecookie={}".format, ours | words)
    header = "; ".join(data.draw(st.lists(st.one_of(cookie, ours, words, texts), max_size=5)))
    header = header.encode("latin-1", "replace").decode("latin-1")
    requests.check(header.replace("\r", "").replace("\n", ""))


# --- time ---------------------------------------------------------------------------------------

UNITS = [
    ";", ",", "=", '"', " ", "; \t", "a=b; ", "\xff", "bottlecooki", "bottlecookie",
    "bottlecookie=", "bottlecookie=;", "bottlecookie=A ", ",bottlecookie=",
    f"bottlecookie={'A' * 43}; ", f"bottlecookie={'A' * 43}.{'B' * 43}; ", "different",
]  # fmt: skip


def long_header(unit, size):
    if unit == "different":
        return "; ".join(f"bottlecookie={'A' * 43}.{number:043}" for number in range(size // 100))
    return unit * (size // len(unit))


def seconds_of(function, header):
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        function(header)
        taken.append(time.perf_counter() - started)
    return min(taken)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("way", ["Requests", "SignedRequests", "IdCookie"])
def test_a_header_of_a_megabyte_takes_milliseconds(way, unit):
    function = IdCookie("bottlecookie").read if way == "IdCookie" else target(way).send
    with fuzz.listening(fuzz.Lines()):
        small = seconds_of(function, long_header(unit, 100_000))
        large = seconds_of(function, long_header(unit, 1_000_000))
    assert large < 0.5  # here it takes 40 ms at most
    assert large < 40 * max(small, 0.0005)  # proportional would be 10, quadratic 100


def test_a_header_of_forged_signatures_costs_a_few_log_lines():
    requests = target("SignedRequests")
    requests.logged.lines.clear()
    with fuzz.listening(requests.logged):
        requests.send(long_header("different", 1_000_000))
    assert len([line for line in requests.logged.lines if "signature refused" in line]) == 32
