"""The store in memory, the queue of what expires, and log lines that do not flood."""

import logging
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_core import ConfigurationError, MemoryStore, SessionManager
from session_core.expiry import ExpiryQueue
from session_core.testing import FakeClock, new_key, new_record
from session_core.throttle import ThrottledLog


@pytest.fixture
def clock():
    return FakeClock(1000.0)


# -- MemoryStore -------------------------------------------------------------------------------


def test_a_hundred_thousand_sessions_and_none_is_lost():
    store = MemoryStore()
    keys = [f"{number:064x}" for number in range(100_000)]
    for key in keys:
        assert store.create(key, key.encode(), 300)
    assert len(store) == len(keys)
    assert all(store.load(key)[0] == key.encode() for key in keys)


def test_expired_records_are_freed_by_later_writes_a_few_at_a_time(clock):
    store = MemoryStore(clock=clock)
    for _ in range(1000):
        store.create(new_key(), new_record(), 10)
    clock.advance(11)
    sizes = []
    for _ in range(500):
        store.create(new_key(), new_record(), 10_000)
        sizes.append(len(store))
    assert sizes[-1] == 500
    steps = [before - after for before, after in zip([1000, *sizes], sizes, strict=False)]
    assert max(steps) <= 16
    assert all(step > 0 for step in steps[:50])


def test_a_session_that_is_extended_over_and_over_takes_the_room_of_one(clock):
    store, key = MemoryStore(clock=clock), new_key()
    store.create(key, new_record(), 10)
    for _ in range(2000):
        clock.advance(5)
        assert store.replace(key, store.load(key)[1], new_record(), 10)
    assert len(store) == 1
    assert store.sweep() == 0
    clock.advance(11)
    assert store.sweep() == 1
    assert len(store) == 0


def test_without_a_bound_nothing_live_is_ever_dropped(clock, caplog):
    store = MemoryStore(clock=clock)
    for _ in range(2000):
        store.create(new_key(), new_record(), 10)
    assert len(list(store.scan())) == 2000
    assert not caplog.records


def test_a_full_store_drops_what_expires_first_and_says_so(clock, caplog):
    store = MemoryStore(max_entries=3, clock=clock)
    keys = [new_key() for _ in range(5)]
    for key, ttl in zip(keys, [50, 10, 30, 40, 60], strict=True):
        assert store.create(key, new_record(), ttl)
    assert set(store.scan()) == {keys[0], keys[3], keys[4]}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "max_entries=3" in record.getMessage()
    assert "1 live sessions" in record.getMessage()


def test_a_full_store_drops_nothing_live_while_something_has_expired(clock, caplog):
    store = MemoryStore(max_entries=2, clock=clock)
    old, kept, new = new_key(), new_key(), new_key()
    store.create(old, new_record(), 10)
    store.create(kept, new_record(), 100)
    clock.advance(11)
    assert store.create(new, new_record(), 100)
    assert set(store.scan()) == {kept, new}
    assert not caplog.records


def test_an_extended_session_in_a_full_store_is_not_the_first_to_go(clock):
    store = MemoryStore(max_entries=2, clock=clock)
    first, second = new_key(), new_key()
    store.create(first, new_record(), 10)
    store.create(second, new_record(), 20)
    store.replace(first, store.load(first)[1], new_record(), 30)
    store.create(new_key(), new_record(), 5)
    assert store.load(first) is not None
    assert store.load(second) is None


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_below_one_is_refused(bound):
    with pytest.raises(ConfigurationError, match="max_entries"):
        MemoryStore(max_entries=bound)


def test_a_second_process_is_warned_once(clock, caplog, monkeypatch):
    manager = SessionManager(MemoryStore(clock=clock), clock=clock)
    session = manager.open(None)
    session["a"] = 1
    session_id = manager.commit(session).session_id
    manager.open(session_id)
    assert not caplog.records
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    for count in range(5):
        session = manager.open(session_id)
        assert session["a"] == count + 1
        session["a"] += 1
        manager.commit(session)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "second process" in record.getMessage()
    assert session_id not in record.getMessage()


# -- ExpiryQueue -------------------------------------------------------------------------------

KEYS = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("schedule"), KEYS, st.integers(0, 20)),
    st.tuples(st.just("discard"), KEYS),
    st.tuples(st.just("pop"), st.integers(0, 20), st.integers(0, 10)),
    st.tuples(st.just("soonest")),
)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=60))
def test_the_queue_does_what_a_plain_dict_would(steps):
    model = {}
    queue = ExpiryQueue(model.get)
    for step in steps:
        if step[0] == "schedule":
            was = model.get(step[1])
            model[step[1]] = step[2]
            queue.schedule(step[1], step[2], was)
        elif step[0] == "discard":
            if model.pop(step[1], None) is not None:
                queue.discard()
        elif step[0] == "pop":
            popped = queue.pop_expired(step[1], step[2])
            assert len(popped) == len(set(popped)) <= step[2]
            for key in popped:
                assert model.pop(key) <= step[1]
        elif model:
            soonest = min(model.values())
            assert model.pop(queue.pop_soonest()) == soonest
        else:
            assert queue.pop_soonest() is None
        assert len(queue) == len(model)
    due = {key for key, expires in model.items() if expires <= 10}
    assert set(queue.pop_expired(10, 1000)) == due


def test_the_queue_heeds_an_earlier_expiry_than_the_one_before():
    times = {"a": 11}
    queue = ExpiryQueue(times.get)
    queue.schedule("a", 11)
    times["a"] = 5
    queue.schedule("a", 5, 11)
    assert queue.due == 5
    assert queue.pop_expired(5, 10) == ["a"]
    assert queue.due == 11  # its first entry
    del times["a"]
    assert queue.pop_expired(11, 10) == []
    assert queue.due == math.inf


def test_the_queue_does_not_grow_with_the_number_of_changes():
    times = {"a": 1}
    queue = ExpiryQueue(times.get)
    queue.schedule("a", 1)
    for number in range(10_000):
        was, times["a"] = times["a"], -number
        queue.schedule("a", -number, was)
        times["b"] = number
        queue.schedule("b", number)
        del times["b"]
        queue.discard()
    assert queue.pop_expired(-1, 300) == ["a"]
    del times["a"]
    assert len(queue) == 0
    assert len(queue._heap) < 300


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEPS, max_size=60), lost=st.sets(st.integers(0, 59)))
def test_the_queue_survives_keys_that_vanish_behind_its_back(steps, lost):
    model = {}
    queue = ExpiryQueue(model.get)
    for number, step in enumerate(steps):
        if step[0] == "schedule":
            was = model.get(step[1])
            model[step[1]] = step[2]
            queue.schedule(step[1], step[2], was)
        if number in lost:
            model.clear()
    due = {key for key, expires in model.items() if expires <= 10}
    found = queue.pop_expired(10, 1000)
    assert set(found) == due
    assert len(found) == len(due)
    for key in found:
        del model[key]
    for _ in range(len(model)):
        del model[queue.pop_soonest()]
    assert queue.pop_soonest() is None
    assert len(queue) == 0


# -- ThrottledLog ------------------------------------------------------------------------------


def test_a_throttled_log_says_how_many_a_line_stands_for(clock, caplog):
    log = ThrottledLog(logging.getLogger("t"), "%d times", interval=60, clock=clock)
    for _ in range(5):
        log.note()
    assert caplog.messages == ["1 times"]
    clock.advance(59)
    log.note()
    assert len(caplog.messages) == 1
    clock.advance(1)
    log.note()
    assert caplog.messages == ["1 times", "6 times"]
