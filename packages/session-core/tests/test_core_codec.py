"""Values come back as they went in, what cannot is refused by name, and damage is survived."""

import base64
import binascii
import collections
import copy
import datetime
import decimal
import enum
import json
import math
import os
import pickle
import random
import subprocess
import sys
import uuid
import zoneinfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_core import MemoryStore, NewerRecord, SessionManager, UnstorableValue, codec
from session_core.codec import MAX_DEPTH, decode, encode, encode_lines
from session_core.record import DamagedRecord, Dead, Record, read_record, write_record
from session_core.terms import Terms
from session_core.testing import FakeClock

UTC = datetime.timezone.utc  # noqa: UP017 -- the name that repr shows
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def alike(a, b):
    """Equal in value and type all the way down, NaN and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return alike(list(a.items()), list(b.items()))
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(alike(x, y) for y in b) for x in a)
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, decimal.Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, datetime.datetime | datetime.time):
        return repr(a) == repr(b)
    return a == b


zones = st.none() | st.sampled_from(
    [UTC, BERLIN, zoneinfo.ZoneInfo("UTC"),
     datetime.timezone(datetime.timedelta(hours=-3, minutes=30, seconds=7, microseconds=9))]
)  # fmt: skip
folds = st.sampled_from([0, 1])
text = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", "~", "~~", "~~tuple", '~"a"', "~1", "},{", ",\n", '"', "\x00", "\x7f", "\u2028", "😀"]
)
keys_only = (
    text
    | st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([64, 1000, 14000]).map(lambda bits: -(2**bits))
    | st.floats(allow_nan=False)
    | st.binary(max_size=8)
    | st.builds(lambda d, f: d.replace(fold=f), st.datetimes(timezones=zones), folds)
    | st.dates()
    | st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds)
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
scalars = keys_only | st.floats() | st.decimals()
hashables = st.recursive(
    keys_only,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.just(())
        | st.dictionaries(hashables, inner, max_size=4)
        | st.sets(hashables, max_size=4)
        | st.frozensets(hashables, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=values)
@example(value=[-0.0, 0.0, math.nan, math.inf, -math.inf])
@example(value={"~~tuple": [1]})
@example(value={"~": {"~~": {"": {"~~tuple": ()}}}})
@example(value={(1, (2, b"\xff")): {frozenset({(1,)}): 1}})
@example(value=[[], (), {}, set(), frozenset(), b"", "", {"": []}, [[]]])
@example(value=datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN))
@example(value=datetime.time(12, 0, tzinfo=BERLIN, fold=1))
@example(value=decimal.Decimal("-0.00"))
@example(value=decimal.Decimal("sNaN"))
@example(value={True: 1, 0: 2, None: 3, 1.5: 4})
def test_every_value_comes_back_with_its_type(value):
    written = encode(value)
    assert written.isascii()
    assert "\n" not in written
    assert alike(decode(written), value)
    assert encode(decode(written)) == written


@settings(max_examples=60, deadline=None)
@given(data=st.dictionaries(hashables, values, max_size=5))
def test_every_session_comes_back_through_a_store(data):
    manager = SessionManager(MemoryStore())
    session = manager.open(None)
    session.update(data)
    answer = manager.commit(session)
    again = manager.open(answer.session_id) if data else {}
    assert alike(dict(again), data)


@settings(max_examples=60, deadline=None)
@given(data=st.dictionaries(hashables, values, min_size=1, max_size=5))
def test_a_session_that_was_only_read_is_not_written(data):
    manager = SessionManager(MemoryStore())
    session = manager.open(None)
    session.update(data)
    again = manager.open(manager.commit(session).session_id)
    assert not manager.has_changed(again)
    assert manager.commit(again).action == "nothing"


# -- subclasses --------------------------------------------------------------------------------


class Text(str): ...


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


class Ratio(float): ...


class Moment(datetime.datetime): ...


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Text("a"), "a"),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (Ratio(1.5), 1.5),
        (Ratio("nan"), math.nan),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (type("Items", (list,), {})([1]), [1]),
        (Point(1, 2), (1, 2)),
        (Moment(2026, 1, 2), datetime.datetime(2026, 1, 2)),
        ({Level.HIGH: Colour.RED, Colour.RED: Level.HIGH}, {3: "red", "red": 3}),
        ({Point(1, 2): 1}, {(1, 2): 1}),
    ],
)
def test_a_subclass_comes_back_as_its_base_type(value, stored):
    assert alike(decode(encode(value)), stored)


def test_a_zone_that_this_host_does_not_know_leaves_the_same_instant():
    written = encode(datetime.datetime(2026, 7, 1, 12, tzinfo=BERLIN))
    read = decode(written.replace("Europe/Berlin", "Mars/Olympus"))
    assert read == datetime.datetime(2026, 7, 1, 12, tzinfo=BERLIN)


# -- what cannot be stored ---------------------------------------------------------------------


def cycle():
    ring = []
    ring.append({"again": ring})
    return ring


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


UNSTORABLE = {
    "object": object(),
    "class": int,
    "function": len,
    "generator": (x for x in ()),
    "bytearray": bytearray(b"a"),
    "complex": 1j,
    "range": range(3),
    "exception": ValueError("x"),
    "enum": enum.Enum("Plain", "A").A,
    "lone surrogate": "a\udc80",
    "lone surrogate in a key": {"\ud800": 1},
    "lone surrogate in a tuple key": {("\ud800",): 1},
    "huge int": 10**5000,
    "huge int as a key": {10**5000: 1},
    "too deep": nested(MAX_DEPTH + 1),
    "cycle": cycle(),
    "nan as a key": {math.nan: 1},
    "nan within a key": {(1, (math.nan,)): 1},
    "decimal nan as a key": {decimal.Decimal("nan"): 1},
    "object as a key": {object(): 1},
    "list with a hash as a key": {type("Key", (list,), {"__hash__": lambda self: 7})(): 1},
    "list with a hash in a set": {type("Key", (list,), {"__hash__": lambda self: 7})()},
    "set within a tuple key": {(1, type("Key", (set,), {"__hash__": lambda self: 7})()): 1},
}


@pytest.mark.parametrize("value", UNSTORABLE.values(), ids=UNSTORABLE)
def test_what_cannot_be_stored_is_refused_and_the_stored_record_stays(world, value):
    session_id = world.stored(a=1)
    for way in (
        lambda session: session.update(bad=value),
        lambda session: session.update(bad={"x": [0, value]}),
        lambda session: session.session_atomic(lambda data: data.update(bad=value)),
        lambda session: (session.session_regenerate(), session.update(bad=value)),
    ):
        with pytest.raises(UnstorableValue, match=r"session\['bad'\]") as caught:
            world.request(session_id, way)
        assert isinstance(caught.value, TypeError)
    assert world.data(session_id) == {"a": 1}


@pytest.mark.parametrize("key", [object(), math.nan, "\ud800", (1, object()), (math.nan,)])
def test_a_session_key_that_cannot_be_stored_is_refused_by_name(world, key):
    with pytest.raises(UnstorableValue) as caught:
        world.request(None, lambda session: session.__setitem__(key, 1))
    assert caught.value.path[0] is key
    assert repr(key) in str(caught.value)
    assert world.store.took() == []


def test_the_error_names_the_way_to_the_value():
    with pytest.raises(UnstorableValue) as caught:
        encode({"cart": [0, {"items": (1, {2: object()})}]})
    assert str(caught.value).startswith("session['cart'][1]['items'][1][2]: ")
    assert "builtins.object" in str(caught.value)


def test_nesting_up_to_the_limit_is_stored(world):
    value = nested(MAX_DEPTH - 1)
    assert world.data(world.stored(a=value)) == {"a": value}
    tuples = ()
    for _ in range(MAX_DEPTH - 2):
        tuples = (tuples,)
    assert world.data(world.stored(a={tuples: tuples})) == {"a": {tuples: tuples}}


def test_an_int_at_the_interpreters_limit_is_stored(world):
    number = 10 ** (sys.get_int_max_str_digits() - 1)
    assert world.data(world.stored(a=[number, -number])) == {"a": [number, -number]}


# -- the text ----------------------------------------------------------------------------------

SAMPLE = """
from session_core.codec import encode
words = [f"word{n}" for n in range(40)]
print(encode({"a": set(words), "b": frozenset([frozenset(words), (1, "x"), None, b"y", 2.5])}))
"""


def test_the_text_of_a_set_is_the_same_in_every_process():
    texts = set()
    for seed in "123":
        done = subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )
        texts.add(done.stdout)
    assert len(texts) == 1


def read_by_the_page(text):
    """A reader of the documented format that shares nothing with the package."""

    def key_of(text):
        return value_of(json.loads(text[1:])) if text.startswith("~") else text

    def value_of(found):
        if isinstance(found, list):
            return [value_of(item) for item in found]
        if not isinstance(found, dict):
            return found
        (name, inside) = next(iter(found.items()), ("", None))
        kind = name[2:] if name.startswith("~~") else None
        if kind is None:
            return {key_of(key): value_of(item) for key, item in found.items()}
        if kind in ("tuple", "set", "frozenset"):
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](value_of(inside))
        if kind == "bytes":
            return base64.b64decode(inside)
        if kind in ("datetime", "time"):
            moment, zone, fold = inside if isinstance(inside, list) else (inside, None, 0)
            read = getattr(datetime, kind).fromisoformat(moment).replace(fold=fold)
            return read.replace(tzinfo=zoneinfo.ZoneInfo(zone)) if zone else read
        if kind == "date":
            return datetime.date.fromisoformat(inside)
        if kind == "timedelta":
            days, seconds, microseconds = inside
            return datetime.timedelta(days, seconds, microseconds)
        return {"decimal": decimal.Decimal, "uuid": uuid.UUID, "float": float}[kind](inside)

    return value_of(json.loads(text))


@settings(max_examples=100, deadline=None)
@given(value=values)
def test_another_reader_of_the_documented_format_reads_the_same(value):
    assert alike(read_by_the_page(encode(value)), value)


def test_a_record_is_as_documented(world):
    session_id = world.stored(user="alice", cart={"apples": 3})
    world.clock.advance(10)

    def work(session):
        session.clear()
        session.update({"user": "alice", "cart": {"apples": 3}, 1: (1,)})
        session.session_login("alice@example.org")

    answer = world.request(session_id, work)
    records = [world.store.inner.load(key)[0] for key in world.store.inner.scan()]
    live, dead = sorted(records, key=lambda record: b" dead " in record)
    first, _, body = live.partition(b"\n")
    head, form, kind, *numbers, more = first.decode("ascii").split(" ", 7)
    assert len(head) == 16
    assert (form, kind) == ("sc1", "live")
    assert [float(number) for number in numbers] == [1800000010, 1800000010, 300, 1]
    assert json.loads(more) == ["alice@example.org", None]
    assert body == b'{"user":"alice",\n"cart":{"apples":3},\n"~1":{"~~tuple":[1]}}'
    head, form, kind, at, more = dead.decode("ascii").rstrip("\n").split(" ", 4)
    assert (form, kind, float(at)) == ("sc1", "dead", 1800000010)
    reason, successor = json.loads(more)
    assert reason == "renewed"
    assert len(successor) == 64
    assert answer.session_id not in successor


def test_names_of_keys_that_are_remembered_are_few_and_text(world):
    class Odd:
        def __hash__(self):
            return hash("a")

        def __eq__(self, other):
            return other == "a"

    world.stored(a=1)
    with pytest.raises(UnstorableValue):
        encode_lines({Odd(): 1})
    encode_lines({f"key {number}": 1 for number in range(2000)})
    assert "a" in codec._starts
    assert len(codec._starts) <= 512


def test_a_large_record_has_a_sum(world):
    session_id = world.stored(a="x" * 5000)
    (key,) = world.store.inner.scan()
    for expected in (True, True, False):
        first, _, body = world.store.inner.load(key)[0].partition(b"\n")
        tail = json.loads(first.decode("ascii").split(" ", 7)[7])
        assert tail == ([None, None, binascii.crc32(body)] if expected else [None, None])
        work = {"b": 1} if "b" not in world.data(session_id) else {"a": "short"}
        world.request(session_id, lambda session: session.update(work))  # noqa: B023


def test_the_head_is_new_at_every_write(world):
    session_id = world.stored(a=1)
    heads = set()
    for _ in range(5):
        world.request(session_id, lambda session: session.session_save(force=True))
        (key,) = world.store.inner.scan()
        heads.add(world.store.inner.load(key)[0][:16])
    assert len(heads) == 5


# -- records of other writers ------------------------------------------------------------------


@pytest.fixture
def rewrite(world):
    """Return a function that changes the one stored record as another program might."""

    def rewrite(change):
        (key,) = world.store.inner.scan()
        record, version = world.store.inner.load(key)
        first, _, body = record.partition(b"\n")
        new = change(first, body)
        new = bytes(reversed(new[:16])) + new[16:] if len(new) > 16 else new
        assert world.store.inner.replace(key, version, new, 300)

    return rewrite


LAYOUTS = {
    "spaces": lambda data: json.dumps(data),
    "indented": lambda data: json.dumps(data, indent=2),
    "indent 0": lambda data: json.dumps(data, indent=0),
    "tight": lambda data: json.dumps(data, separators=(",", ":")),
    "as many lines by chance": lambda data: json.dumps(data, separators=(",", ":")).replace(
        ',"deep":2', ',\n"deep":2'
    ),
    "our layout with blanks": lambda data: (
        "{" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in data.items()) + "}"
    ),
}


@pytest.mark.parametrize("data", [{"a": {"x": 1, "deep": 2}, "b": [1, 2]}, {"a": {"x": 1}}])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_record_of_another_layout_is_read_and_merged_right(world, rewrite, layout, data):
    session_id = world.stored(**data)
    rewrite(lambda first, body: first + b"\n" + layout(data).encode())
    reader, writer, other = (world.manager.open(session_id) for _ in range(3))
    assert dict(reader) == data
    writer["a"]["x"] = 5
    other["c"] = 1
    assert world.manager.commit(writer).action == "extend"
    assert reader["a"]["x"] == 1
    assert world.manager.commit(reader).action == "nothing"
    assert world.manager.commit(other).action == "extend"
    expected = {**data, "a": {**data["a"], "x": 5}, "c": 1}
    assert world.data(session_id) == expected


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), lambda data: json.dumps(data) + " "])
def test_a_large_record_of_another_layout_is_extended_by_a_read(world, rewrite, layout):
    world.new_manager(rolling=True)
    data = {"a": {"x": 1, "deep": 2}, "long": "x" * 5000, "deep": 5}
    session_id = world.stored(**data)
    rewrite(lambda first, body: first + b"\n" + layout(data).encode())
    world.clock.advance(100)
    assert world.request(session_id, len).action == "extend"
    for change in ({"deep": 6}, {"new": 1}, {"x": 7}):
        assert world.request(session_id, lambda session: session.update(change)).action == "extend"  # noqa: B023
        data.update(change)
        assert world.data(session_id) == data


@pytest.mark.parametrize("sum_of_the_past", [[], [None, None, 324724747], [None, None, "x"]])
def test_a_record_of_version_1_0_0_is_read_and_written(world, rewrite, sum_of_the_past):
    """It wrote times with any number of decimals, knew no sum, and kept one that it found."""
    session_id = world.stored(a=1, b={"c": 2})
    tail = json.dumps(sum_of_the_past, separators=(",", ":")).encode()
    times = b" sc1 live 1799999990.1234567 1799999995.5 300 4 "
    rewrite(lambda first, body: b"h" * 16 + times + tail + b"\n" + body)
    world.clock.advance(5)
    session = world.manager.open(session_id)
    assert dict(session) == {"a": 1, "b": {"c": 2}}
    assert session.session_expires_in == 290.5
    session["b"]["c"] = 3
    assert world.manager.commit(session).action == "extend"
    assert world.data(session_id) == {"a": 1, "b": {"c": 3}}
    (key,) = world.store.inner.scan()
    stored = world.store.inner.load(key)[0]
    assert stored[16:].startswith(b" sc1 live 1799999990.1234567 1800000005.000000 300.000000 4 [")


def test_further_items_of_the_envelope_are_kept(world, rewrite):
    session_id = world.stored(a=1)
    more = [{"~~datetime": "2026-01-01"}, {"~~new": [1]}, "x y"]
    tail = json.dumps([None, None, None, *more]).encode()
    rewrite(lambda first, body: first.rpartition(b" ")[0] + b" " + tail + b"\n" + body)
    session_id = world.request(session_id, lambda s: s.update(b=2)).session_id
    session_id = world.request(session_id, lambda s: s.session_regenerate()).session_id
    assert world.data(session_id) == {"a": 1, "b": 2}
    (live,) = (
        record
        for record in (world.store.inner.load(key)[0] for key in world.store.inner.scan())
        if b" live " in record
    )
    assert json.loads(live.partition(b"\n")[0].split(b" ", 7)[7])[3:] == more


# -- damage ------------------------------------------------------------------------------------

HEAD = b"0123456789abcdef"
ENVELOPE = b" sc1 live 1800000000.0 1800000000.0 300 0 []\n"
BODIES = [
    b"", b"{", b"{}x", b"[]", b"null", b"5", b'{"a":}', b'{"a":NaN}', b'{"a":Infinity}',
    b"\xff\xfe", b"{'a':1}", b'{"a":"\x01"}', b'{"a":1', b'{"a":' + b"[" * 100_000,
    b'{"a":' + b"9" * 10_000 + b"}", b"\x80\x04cos\nsystem\n.",
] + [
    b'{"a":%s}' % tagged for tagged in (
        b'{"~~uuid":5}', b'{"~~uuid":null}', b'{"~~uuid":"x"}', b'{"~~bytes":"*"}',
        b'{"~~bytes":5}', b'{"~~tuple":5}', b'{"~~set":[[1]]}', b'{"~~set":[{}]}',
        b'{"~~frozenset":null}', b'{"~~datetime":"x"}', b'{"~~datetime":[1]}',
        b'{"~~datetime":["2026-01-01T00:00:00",5,0]}', b'{"~~datetime":["2026-01-01",null,7]}',
        b'{"~~datetime":["2026-01-01",null,"x"]}', b'{"~~time":"25:00"}', b'{"~~time":{}}',
        b'{"~~date":5}', b'{"~~timedelta":[1e400]}', b'{"~~timedelta":["a"]}',
        b'{"~~timedelta":[1,2,3,4,5,6,7,8]}', b'{"~~decimal":"x"}', b'{"~~decimal":{}}',
        b'{"~~decimal":"1e9999999999999999999"}', b'{"~~float":"x"}', b'{"~~float":[]}',
        b'{"~~unknown":1}', b'{"~~":1}', b'{"~":1}', b'{"~x":1,"b":2}', b'{"~[1]":1}',
        b'{"~{\\"~~set\\":[1]}":1}', b'{"~~tuple":[1],"b":2}',
    )
]  # fmt: skip
ENVELOPES = [
    b"", b" ", b" sc1", b" sc1 ", b" sc1 live", b" sc1 live ", b" sc1 live []", b" sc1 live [] []",
    b" sc1 live 1 1 1 0", b" sc1 live 1 1 1 0 ", b" sc1 live 1 1 1 0 5", b" sc1 live 1 1 1 0 {}",
    b" sc1 live 1 1 1 0 null", b' sc1 live 1 1 1 0 ["a"', b" sc1 live 1 1 1 0 [5]",
    b" sc1 live 1 1 1 0 [{}]", b' sc1 live 1 1 1 0 [{"~~uuid":5}]',
    b' sc1 live 1 1 1 0 [{"~~zzz":5}]', b' sc1 live 1 1 1 0 [{"~~decimal":"x"}]',
    b" sc1 live 1 1 1 0 [" + b"[" * 100_000, b" sc1 live 1 1 1 0 [\xff]",
    b" sc1 live x 1 1 0 []", b" sc1 live nan 1 1 0 []", b" sc1 live 1 inf 300 0 []",
    b" sc1 live 1 1e999 300 0 []", b" sc1 live 1 1 1 x []", b" sc1 live 1 1 1 1e9 []",
    b" sc1 live 1 1 1 " + b"9" * 9999 + b" []", b" sc1 live  1 1 1 0 []",
    b" sc1 dead", b" sc1 dead 1", b" sc1 dead 1 []", b' sc1 dead 1 ["ended"]', b" sc1 dead 1 5",
    b' sc1 dead x ["ended",null]', b' sc1 dead 1 ["ended",5]', b' sc1 dead 1 {"a":1}',
    b' sc1 dead 1 [{"~~zzz":1},{}]', b" sc1 dead 1 [\xff]",
    b" sc1 other 1 [1]", b" sc live 1 1 1 0 []", b" sc-1 live 1 1 1 0 []",
    b" sc99999999999 live 1 1 1 0 []", b" xx1 live 1800000000.0 1800000000.0 300 0 []",
    b"x sc1 live 1800000000.0 1800000000.0 300 0 []",
]  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [HEAD + ENVELOPE + body for body in BODIES]
    + [HEAD + envelope + b"\n{}" for envelope in ENVELOPES]
    + [b"", b"x", HEAD, HEAD + b"\n", b"\0" * 100, b"short sc1 live [1,1,1,null,0]\n{}"],
    ids=lambda record: repr(record[-40:]),
)
def test_a_damaged_record_is_a_new_session_under_a_new_id(world, rewrite, record):
    session_id = world.stored(a=1)
    rewrite(lambda first, body: record)
    session = world.manager.open(session_id)
    assert session == {}
    assert not session.session_gone
    session["b"] = 1
    answer = world.manager.commit(session)
    assert answer.action == "issue"
    assert answer.session_id != session_id
    assert "damaged" in world.names()


def test_damage_while_a_request_runs_drops_its_write(world, rewrite):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    rewrite(lambda first, body: first + b"\n" + body[:-3])
    session["b"] = 1
    assert world.manager.commit(session).action == "nothing"
    assert session.session_gone


def test_a_damaged_session_can_be_logged_out(world, rewrite):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    rewrite(lambda first, body: b"junk" * 9)
    session.session_logout()
    assert world.manager.open(session_id).session_gone


def sample_record():
    record = Record(1.8e9, 1.8e9, Terms(300, "alice", 2, None, None, ("more",)))
    record.body = (
        '{"a":{"x":[1,-0.0,2.5e300]},\n"~1":{"~~tuple":[1]},\n"m":{"~~datetime":'
        '["2026-01-31T12:00:00+01:00","Europe/Berlin",0]},\n"u":{"~~uuid":'
        '"12345678123456781234567812345678"},\n"d":{"~~timedelta":[1,2,3]},\n"e":"\\u00e9"}'
    )
    return written(record)


def written(record):
    return write_record(record.created, record.saved, record.terms, record.body)


def check_damaged(data):
    """Reading it is one of three things, and through a manager never an exception but 503."""
    try:
        record = read_record(data)
        if isinstance(record, Record):
            record.values()
            written(record)
        else:
            assert isinstance(record, Dead)
    except (DamagedRecord, NewerRecord):
        pass
    clock = FakeClock(1.8e9)
    store = MemoryStore(clock=clock)
    manager = SessionManager(store, clock=clock)
    session = manager.open(None)
    session["a"] = 1
    session_id = manager.commit(session).session_id
    (key,) = store.scan()
    store.replace(key, store.load(key)[1], data, 300)
    try:
        session = manager.open(session_id)
        session["b"] = 1
        manager.commit(session)
        session.session_delete()
    except NewerRecord:
        pass


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=80))
def test_random_bytes_never_raise(data):
    check_damaged(data)
    check_damaged(HEAD + ENVELOPE + data)


def test_a_truncated_record_never_raises():
    whole = sample_record()
    for length in range(len(whole)):
        check_damaged(whole[:length])


def test_a_record_with_flipped_bits_never_raises():
    chance = random.Random(4)
    whole = sample_record()
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        check_damaged(bytes(data))


@pytest.mark.parametrize("name", ["Europe", "..", "/etc/passwd", "a" * 5000, "\0", "Utc "])
def test_a_zone_name_that_is_no_zone_never_raises(name):
    record = Record(1.8e9, 1.8e9, Terms(300))
    record.body = json.dumps({"a": {"~~datetime": ["2026-01-31T12:00:00+01:00", name, 0]}})
    check_damaged(written(record))


def test_a_planted_pickle_is_not_run(world, rewrite, tmp_path):
    session_id = world.stored(a=1)
    mark = tmp_path / "run"
    planted = b"cos\nmkdir\n(V" + str(mark).encode() + b"\ntR."
    pickle.loads(planted)
    assert mark.is_dir()
    mark.rmdir()
    rewrite(lambda first, body: planted)
    assert world.manager.open(session_id) == {}
    assert not mark.exists()


def test_a_zone_that_this_host_does_not_know_is_kept(monkeypatch, world):
    moment = datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    session_id = world.stored(moments=[moment])
    monkeypatch.setattr(zoneinfo, "ZoneInfo", unknown_zone)
    session = world.manager.open(session_id)
    assert session["moments"] == [moment]
    assert copy.deepcopy(session)["moments"][0].tzname() == "Europe/Paris"
    assert world.manager.commit(session).action == "nothing"


def unknown_zone(name):
    raise zoneinfo.ZoneInfoNotFoundError(name)


def test_a_call_stack_that_is_used_up_is_not_damage(world):
    session_id = world.stored(a=[[[[[[1]]]]]])

    def descend():
        try:
            return descend()
        except RecursionError:
            return world.manager.open(session_id)

    try:
        found = descend()
    except RecursionError:
        found = None
    assert found is None or found == {"a": [[[[[[1]]]]]]}
    assert world.manager.open(session_id) == {"a": [[[[[[1]]]]]]}


@given(value=values)
def test_the_encoder_of_the_standard_library_writes_the_same(value):
    def plain(prepared):
        return json.dumps(prepared, separators=(",", ":"), allow_nan=False)

    text = encode(value)
    assert plain(json.loads(text)) == text


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.__setitem__(0, True),
        lambda v: v.__setitem__(0, 1.0),
        lambda v: v[1].append(2),
        lambda v: v[2].update(b=1),
        lambda v: v[3].add(3),
        lambda v: v.__setitem__(4, -0.0),
        lambda v: v.__setitem__(5, datetime.date(2026, 1, 2)),
        lambda v: v[2].__setitem__("a", v[2].pop("a") + 1),
    ],
)
def test_every_nested_change_is_seen(world, change):
    value = [1, [1], {"a": 1}, {1, 2}, 0.0, datetime.date(2026, 1, 1)]
    for part in (value, value[:5]):
        session_id = world.stored(value=part)
        session = world.manager.open(session_id)
        try:
            change(session["value"])
        except IndexError:
            continue
        assert world.manager.commit(session).action == "extend"
        assert alike(world.data(session_id)["value"], session["value"])
