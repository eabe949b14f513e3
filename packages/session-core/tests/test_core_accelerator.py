"""Every fast way does what its plain one does."""

import hashlib
import json
import os
import sys
import types

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_core import accelerator, codec
from session_core.accelerator import find_msgspec, fingerprint, new_decoder, new_encoder, sha256
from session_core.codec import encode
from session_core.record import write_record
from session_core.tag import decode_tagged, prepare
from session_core.terms import Terms

numbers = (
    st.integers(-(2**80), 2**80)
    | st.integers(min_value=2**62, max_value=2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
anything = st.recursive(
    plain | st.binary() | st.floats() | st.dates() | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text("~ab", max_size=3) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=6,
)
ODD = [
    "", " ", "1 ", " 1", "\n1\n", "1 2", "[1,]", "01", "1.", ".5", "-", "-0", "-0.0", "1e400",
    "-1e400", "1E5", "1e-400", "5e-324", "NaN", "Infinity", "-Infinity", "nul", "tru", '"\\x"',
    '"\t"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '{"a":1,"a":2}', "{1:2}", "{'a':1}",
    "18446744073709551615", "18446744073709551616", "1" * 400, "1" * 5000, "[" * 90 + "]" * 90,
    "1.7976931348623159e308", '{"a" : [ 1 , 2 ] }', "9007199254740993", "9007199254740993.0",
]  # fmt: skip


def outcome(decode, text):
    try:
        return repr(decode(text))  # tells 1, 1.0 and True apart
    except (ArithmeticError, LookupError, TypeError, ValueError):  # a damaged tag: anything
        return "refused"


@pytest.fixture(scope="module")
def msgspec():
    return pytest.importorskip("msgspec", reason="the extra 'fast' is not installed here")


@pytest.fixture(scope="module")
def decoders(msgspec):
    return new_decoder(decode_tagged), new_decoder(decode_tagged, msgspec)


@pytest.mark.parametrize("text", ODD)
def test_both_decoders_take_the_same_texts(decoders, text):
    slow, fast = (outcome(decode, text) for decode in decoders)
    assert slow == fast


@given(value=anything, where=st.integers(0, 200), letter=st.sampled_from(' "{}[],:-.e0\\~'))
@settings(max_examples=500)
def test_both_decoders_give_the_same_values(decoders, value, where, letter):
    text = encode(value)
    slow, fast = (outcome(decode, text) for decode in decoders)
    assert slow == fast != "refused"
    broken = text[:where] + letter + text[where + 1 :]
    slow, fast = (outcome(decode, broken) for decode in decoders)
    assert slow == fast


@given(plain)
def test_the_plain_decoder_reads_what_json_reads(value):
    text = json.dumps(value)
    if '"~' not in text:
        assert repr(new_decoder(decode_tagged)(text)) == repr(json.loads(text))


@given(plain)
def test_both_encoders_write_the_same(value):
    made_once = new_encoder(json.encoder.c_make_encoder)
    assert made_once(value) == new_encoder(None)(value) == accelerator.encode_json(value)


@given(anything)
@example({"a": {"~": 1}})
@example({"a": ["\U0001f600"]})
@example([{1: 2}])
def test_plain_values_are_written_as_all_others_are(value):
    assert encode(value) == accelerator.encode_json(prepare(value, 0))


@given(anything, anything)
def test_values_of_one_fingerprint_are_written_alike(one, other):
    for a, b in ((one, other), ([one], [other]), (one, json.loads(json.dumps(1)))):
        if fingerprint(a) is not None and fingerprint(a) == fingerprint(b):
            assert encode(a) == encode(b)


@given(st.binary(max_size=200))
def test_the_interpreters_hash_is_the_one_of_hashlib(data):
    assert sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()


def test_without_msgspec_there_is_the_standard_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert find_msgspec() is None


def test_an_old_msgspec_that_rounds_large_integers_is_not_used(monkeypatch):
    rounding = types.SimpleNamespace(json=types.SimpleNamespace(decode=float))
    monkeypatch.setitem(sys.modules, "msgspec", rounding)
    assert find_msgspec() is None


def test_what_is_installed_is_used(msgspec):
    assert find_msgspec() is msgspec
    assert codec.decode.__name__ == "decode_fast"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_writes_heads_of_its_own():
    def heads():
        return [write_record(1, 2, Terms(3), "{}")[:16] for _ in range(100)]

    heads()  # some have been drawn before the fork
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, b"".join(heads()))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 1 << 16)
    os.close(read)
    os.close(write)
    mine = heads()
    assert len(theirs) == 1600
    assert not {theirs[at : at + 16] for at in range(0, 1600, 16)} & set(mine)
