"""What a process keeps of the records that it met last is never seen by anybody."""

import copy
import datetime
import decimal
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from session_core import MemoryStore, SessionManager, look
from session_core.codec import encode
from session_core.ids import store_key
from session_core.record import SMALL
from session_core.testing import FakeClock

NESTED = {
    "list": [1, "a", None],
    "list of lists": [[1], [2, [3]]],
    "dict": {"x": 1},
    "dict of lists": {"x": [1], "y": {"z": []}},
    "set": {1, 2},
    "tuple": (1, "a"),
    "tuple of a list": ([1], 2),
    "list of sets": [{1}, frozenset({2})],
    "list of dates": [datetime.date(2026, 1, 1), decimal.Decimal("1.5")],
    "nothing": [],
}


def change(value):
    """Change a value in place, as deep as it goes; return whether that was possible."""
    if isinstance(value, dict):
        for item in list(value.values()):
            change(item)
        value[f"new {len(value)}"] = 1
    elif isinstance(value, list):
        for item in value:
            change(item)
        value.append("new")
    elif isinstance(value, set):
        value.add(f"new {len(value)}")
    else:
        return isinstance(value, tuple) and any(change(item) for item in value)
    return True


@pytest.fixture
def reads(monkeypatch):
    """Return the list that grows by one for each record that is really read."""
    done = []
    read = look.read_snapshot

    def count(data, share):
        done.append(data)
        return read(data, share)

    monkeypatch.setattr(look, "read_snapshot", count)
    return done


# -- nobody sees it ----------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [0, 1, 2])
@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
def test_a_change_that_is_not_stored_is_seen_by_nobody_else(world, value, seen):
    before = copy.deepcopy(value)
    session_id = world.stored(value=value, plain="x")
    for _ in range(seen):
        world.data(session_id)
    first, second = world.manager.open(session_id), world.manager.open(session_id)
    changeable = change(first["value"])
    assert (first["value"] != before) is changeable
    assert second["value"] == before
    assert world.manager.commit(first, failed=True).action == "nothing"
    assert world.data(session_id) == {"value": before, "plain": "x"}
    assert world.manager.commit(second).action == "nothing"


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
def test_every_change_inside_is_noticed_again_and_again(world, value):
    expected = copy.deepcopy(value)
    session_id = world.stored(value=copy.deepcopy(value), count=0)
    for number in range(4):
        session = world.manager.open(session_id)
        assert session["value"] == expected
        session["count"] = number
        assert world.manager.commit(session).action == "extend"
        session = world.manager.open(session_id)
        changeable = change(session["value"])
        change(expected)
        assert world.manager.commit(session).action == ("extend" if changeable else "nothing")
        assert world.data(session_id) == {"value": expected, "count": number}


@pytest.mark.parametrize("value", [value for name, value in NESTED.items() if "dates" not in name])
def test_a_session_that_was_only_read_is_not_looked_at_twice(world, value):
    """How often an object is referred to may change its fingerprint, which costs an encoding.

    Dates have none.
    """
    session_id = world.stored(value=value)
    sessions = [world.manager.open(session_id) for _ in range(4)]
    for session in sessions:
        assert session._snapshot.changed_inside(session) == []


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_what_is_changed_after_a_save_is_another_change(world, seen):
    session_id = world.stored(cart=[1], count=0)
    for _ in range(seen):
        world.data(session_id)
    session = world.manager.open(session_id)
    session["count"] = 1
    session.session_save()
    session["cart"].append(2)
    assert world.data(session_id) == {"cart": [1], "count": 1}
    world.manager.commit(session)
    assert world.data(session_id) == {"cart": [1, 2], "count": 1}


@pytest.mark.parametrize("stored", [False, True])
def test_every_save_of_a_request_counts(world, stored):
    session = world.manager.open(world.stored(other=1) if stored else None)
    for number in (1, 2, 1, 3, 1):
        session["number"] = number
        session.session_save()
        assert world.data(session.session_id)["number"] == number


def test_an_assigned_object_stays_the_handlers_own(world):
    mine = [1]
    session_id = world.stored(value=mine, count=0)
    for _ in range(2):
        world.data(session_id)
    world.request(session_id, lambda session: session.update(value=mine, count=1))
    mine.append(2)
    assert world.data(session_id) == {"value": [1], "count": 1}
    world.request(session_id, lambda session: session.update(count=2))
    assert world.data(session_id) == {"value": [1], "count": 2}


def test_types_are_those_of_a_reader_of_the_record(world):
    class Name(str):
        pass

    class Number(int):
        pass

    session_id = world.stored(name="a", number=1, flag=True)
    for _ in range(2):
        world.data(session_id)
    world.request(session_id, lambda s: s.update(name=Name("b"), number=Number(2), flag=0))
    (name, number, flag) = world.data(session_id).values()
    assert (type(name), type(number), type(flag)) == (str, int, int)
    world.request(session_id, lambda s: s.update({Name("name"): "c", Name("other"): 1}))
    assert [type(key) for key in world.data(session_id)] == [str] * 4


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # the process
        st.sampled_from(["set", "inside", "both", "remove", "clear", "again", "fail", "atomic"]),
        st.sampled_from("abc"),
        st.sampled_from([0, True, 1.0, "x", None, [1], {"k": [2]}, (3, [4]), {5}, b"6", "ü~"]),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_several_processes_see_what_a_plain_dict_would_hold(steps):
    clock = FakeClock(1.8e9)
    store = MemoryStore(clock=clock)
    managers = [SessionManager(store, clock=clock) for _ in range(3)]
    session = managers[0].open(None)
    session["start"] = [0]
    session_id = managers[0].commit(session).session_id
    model = {"start": [0]}
    for process, step, key, value in steps:
        manager = managers[process]
        session = manager.open(session_id)
        assert session == model
        assert encode(dict(session)) == encode(model)  # tells 1, 1.0 and True apart
        target = copy.deepcopy(model) if step == "fail" else model
        if step == "atomic":
            session.session_atomic(lambda data: data.update({key: value}))  # noqa: B023
        for data in (session, target):
            if step in ("set", "both", "again", "fail") or (step == "atomic" and data is model):
                data[key] = copy.deepcopy(value)
            if step in ("inside", "both", "fail"):
                for each in list(data.values()):
                    change(each)
            if step == "remove":
                data.pop(key, None)
            if step == "clear":
                data.clear()
                data["start"] = [0]
            if step == "again":
                if data is session:
                    session.session_save()
                change(data["start"])
                data["count"] = 1
        manager.commit(session, failed=step == "fail")
    for manager in managers:
        assert encode(dict(manager.open(session_id))) == encode(model)


def test_threads_that_change_the_same_value_do_not_meet(world):
    session_id = world.stored(value={"list": [1]})
    wrong = []

    def work():
        for _ in range(300):
            session = world.manager.open(session_id)
            if session != {"value": {"list": [1]}}:
                wrong.append(dict(session))
            session["value"]["list"].append(2)
            world.manager.commit(session, failed=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- it is there, and it is no more than that ---------------------------------------------------


def kept(manager):
    """Return the keys of the records that are kept."""
    recent = manager.recent
    return {
        key
        for each in (recent._new, recent._old)
        for key, (_, snapshot) in each.items()
        if snapshot is not None
    }


def test_a_record_is_read_twice_and_not_again(world, reads):
    session_id = world.stored(a=1, cart=[1])
    for expected in (1, 2, 2, 2):
        assert world.data(session_id) == {"a": 1, "cart": [1]}
        assert len(reads) == expected
    world.request(session_id, lambda session: session.update(a=2, new="x"))
    assert world.data(session_id) == {"a": 2, "cart": [1], "new": "x"}
    assert len(reads) == 2  # not what this process has written itself
    other = SessionManager(world.store, clock=world.clock)
    session = other.open(session_id)
    session["a"] = 3
    other.commit(session)
    assert world.data(session_id)["a"] == 3
    assert len(reads) == 4


def test_a_session_that_expires_is_not_kept_alive(world):
    session_id = world.stored(a=1)
    for _ in range(3):
        assert world.data(session_id) == {"a": 1}
    (key,) = world.store.inner.scan()
    data, version = world.store.inner.load(key)
    assert world.store.inner.replace(key, version, data, 10_000)  # a store that forgets nothing
    world.clock.advance(301)
    session = world.manager.open(session_id)
    assert session == {}
    assert session.session_id != session_id
    assert world.names() == ["expired"]


def test_few_are_kept_and_none_that_is_large(world):
    ids = [world.stored(a=number) for number in range(100)]
    large = world.stored(a="x" * SMALL)
    for session_id in [*ids, large]:
        for _ in range(3):
            world.manager.open(session_id)
    recent = world.manager.recent
    assert len(recent._new) + len(recent._old) <= 16
    assert store_key(ids[-1]) in kept(world.manager)
    assert store_key(large) not in kept(world.manager)


def test_those_in_use_are_kept(world, reads):
    often = world.stored(a=0)
    world.data(often)
    rarely = 500
    for _ in range(rarely):
        world.data(world.stored(a=1))
        world.data(often)
    assert len(reads) == rarely + 2


def test_visitors_who_come_once_are_not_kept(world):
    for number in range(100):
        world.data(world.stored(a=number))
    assert not kept(world.manager)


@pytest.mark.parametrize("end", ["session_logout", "session_regenerate"])
def test_an_end_is_an_end(world, end):
    session_id = world.stored(secret="x")
    for _ in range(3):
        world.data(session_id)
    assert kept(world.manager) == {store_key(session_id)}
    world.request(session_id, lambda session: getattr(session, end)())
    assert store_key(session_id) not in kept(world.manager)
