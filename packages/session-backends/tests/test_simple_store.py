"""Sessions in memory: a hundred thousand of them, a bound if one is wanted, forks."""

import logging
import os
import signal
import threading
import time

import pytest
from cachelib import SimpleCache

from session_backends import Backing, CacheStore
from session_core.testing import FakeClock, new_key, new_record


def test_a_hundred_thousand_sessions_all_stay():
    store = Backing().store
    records = {new_key(): new_record() for _ in range(100_000)}
    for key, record in records.items():
        assert store.create(key, record, 300)
    assert all(store.load(key)[0] == record for key, record in records.items())


def test_a_write_costs_the_same_with_many_sessions():
    store = Backing().store
    record = new_record()

    def cost():
        times = []
        for _ in range(2000):
            key = new_key()
            started = time.perf_counter()
            store.create(key, record, 300)
            times.append(time.perf_counter() - started)
        return sorted(times)[1000]

    few = cost()
    for _ in range(50_000):
        store.create(new_key(), record, 300)
    assert cost() < 4 * few + 5e-6


def test_the_default_threshold_of_cachelib_is_nobodys_choice():
    store = CacheStore(SimpleCache())
    keys = [new_key() for _ in range(2000)]
    for key in keys:
        store.create(key, new_record(), 300)
    assert all(store.load(key) for key in keys)


@pytest.mark.parametrize(
    "make",
    [
        lambda clock: CacheStore(SimpleCache(threshold=10), clock=clock),
        lambda clock: CacheStore(SimpleCache(), clock=clock, threshold=10),
        lambda clock: Backing(threshold=10).store,
    ],
)
def test_a_threshold_is_kept_and_every_eviction_is_logged(make, caplog):
    clock = FakeClock()
    store = make(clock)
    keys = [new_key() for _ in range(11)]
    for number, key in enumerate(keys):
        store.create(key, new_record(), 300 - number)
    # The last of the first ten expired first.
    assert [key for key in keys if store.load(key) is None] == [keys[9]]
    assert "threshold=10" in caplog.text
    assert "1 live sessions were dropped" in caplog.text


def test_a_create_that_is_refused_takes_nobodys_place(caplog):
    store = CacheStore(SimpleCache(threshold=3))
    keys = [new_key() for _ in range(3)]
    for key in keys:
        store.create(key, new_record(), 60)
    assert not store.create(keys[0], new_record(), 60)
    assert all(store.load(key) for key in keys)
    assert not caplog.records


def test_expired_sessions_give_way_before_live_ones(caplog):
    clock = FakeClock()
    store = CacheStore(SimpleCache(threshold=3), clock=clock)
    for _ in range(3):
        store.create(new_key(), new_record(), 1)
    clock.advance(2)
    live = new_key()
    store.create(live, new_record(), 60)
    assert store.load(live)
    assert not caplog.records


def test_expired_sessions_are_freed_by_later_writes():
    clock = FakeClock()
    cache = SimpleCache()
    store = CacheStore(cache, clock=clock)
    for _ in range(1000):
        store.create(new_key(), new_record(), 1)
    clock.advance(2)
    for _ in range(200):
        store.create(new_key(), new_record(), 60)
    assert len(cache._cache) == 200


def test_a_session_that_is_cut_short_is_freed_then():
    clock = FakeClock()
    cache = SimpleCache()
    store = CacheStore(cache, clock=clock)
    key = new_key()
    store.create(key, new_record(), 1000)
    assert store.replace(key, store.load(key)[1], new_record(), 1)
    clock.advance(2)
    store.create(new_key(), new_record(), 60)
    assert len(cache._cache) == 1


@pytest.mark.parametrize("value", [b"foreign", "foreign"])
def test_what_somebody_else_put_there_for_ever_is_left_alone(value):
    cache = SimpleCache()
    store = CacheStore(cache)
    key = new_key()
    cache._cache[f"session:{key}"] = (0, value)
    record, version = store.load(key)
    assert record in (b"", b"foreign")
    assert not store.create(key, new_record(), 60)
    assert not store.replace(key, version, new_record(), 60)
    assert cache._cache[f"session:{key}"] == (0, value)


def test_the_users_own_values_keep_their_serializer():
    cache = SimpleCache()
    store = CacheStore(cache)
    key = new_key()
    store.create(key, new_record(), 60)
    cache.set("mine", {"a": (1, 2)})
    assert cache.get("mine") == {"a": (1, 2)}
    assert cache.get(key) is None
    assert type(cache.serializer) is type(SimpleCache.serializer)
    assert cache._threshold == 500


def test_two_stores_on_one_cache_are_one_store():
    cache = SimpleCache()
    one, other, key = CacheStore(cache), CacheStore(cache), new_key()
    one.create(key, new_record(), 60)
    assert other.replace(key, other.load(key)[1], new_record(b"2"), 60)
    cache.clear()
    assert one.load(key) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_use_in_a_forked_process_is_logged_once():
    store = Backing().store
    held, done = threading.Event(), threading.Event()

    def hold():
        with store._cache._lock:  # as another thread may do at the moment of the fork
            held.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    child = os.fork()
    if not child:
        signal.alarm(20)
        lines = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logging.getLogger("session_backends.simple").addHandler(handler)
        try:
            store.load(new_key())
            store.load(new_key())
            made = store.create(new_key(), new_record(), 60)
            os._exit(0 if made and len(lines) == 1 and "second process" in lines[0] else 1)
        finally:
            os._exit(2)
    done.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
