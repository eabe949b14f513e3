"""A `Backing` as the app's own cache, on all four backends."""

import os
import time
from datetime import timedelta

import pytest

from session_backends import Backing
from session_core.testing import new_key, new_record

KEYS = ["plain", "", "with blank", "new\nline", "☃ unicode", "x" * 1000, "*", "session:x", "\0\x7f"]
VALUES = [1, "text", b"\0bytes", None, 1.5, [1, {"a": (1, 2)}], {1, 2}, "", 0, True, timedelta(1)]


@pytest.fixture(params=["SimpleCache", "FileSystem", "Redis", "Memcached", "Memcached 2"])
def options(request, tmp_path):
    kind = request.param.split()[0]
    if kind == "FileSystem":
        return {"cache_type": kind, "cache_dir": str(tmp_path)}
    if kind == "Redis":
        server = request.getfixturevalue("redis_server")
        return {"cache_type": kind, "port": server.port, "prefix_key": f"*{os.urandom(4).hex()}[a]"}
    if kind == "Memcached":
        servers = request.getfixturevalue("memcached_servers")
        chosen = [server.address for server in servers][: 2 if request.param.endswith("2") else 1]
        return {"cache_type": kind, "servers": chosen, "key_prefix": os.urandom(4).hex()}
    return {"cache_type": kind}


@pytest.fixture
def backing(options):
    return Backing(**options)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_any_text_is_a_key(backing, key):
    assert backing.get(key) is None
    assert not backing.has(key)
    assert backing.set(key, {"value": key})
    assert backing.get(key) == {"value": key}
    assert backing.has(key)
    assert not backing.add(key, 2)
    assert backing.delete(key)
    assert backing.get(key) is None
    assert backing.add(key, 3)
    assert backing.get(key) == 3


def test_any_value(backing):
    for number, value in enumerate(VALUES):
        backing.set(f"value{number}", value)
    for number, value in enumerate(VALUES):
        found = backing.get(f"value{number}")
        assert found == value
        assert type(found) is type(value) or cachelib_stores_as_int(backing, value)


def cachelib_stores_as_int(backing, value):
    return backing.cache_type == "Redis" and isinstance(value, int)


def test_counting(backing):
    assert backing.inc("n") == 1
    assert backing.inc("n", 5) == 6
    assert backing.dec("n", 2) == 4
    assert backing.get("n") == 4
    assert backing.dec("other") == -1


def test_many_at_once(backing):
    mapping = {key: number for number, key in enumerate(KEYS)}
    assert sorted(backing.set_many(mapping, 60)) == sorted(mapping)
    assert backing.get_many(*mapping) == list(mapping.values())
    assert backing.get_dict(*mapping, "missing") == {**mapping, "missing": None}
    assert len(backing.delete_many(*mapping)) == len(mapping)  # cachelib 0.10 adds its prefix
    assert backing.get_many(*mapping) == [None] * len(mapping)


def test_deleting_what_is_not_there_is_fine(backing):
    backing.delete("missing")


def test_timeouts(options):
    backing = Backing(**options, default_timeout=timedelta(seconds=1))
    backing.set("default", 1)
    backing.set("short", 1, 1)
    backing.set("long", 1, 100)
    backing.set("for ever", 1, 0)
    backing.add("added", 1, 1)
    assert backing.get_many("default", "short", "long", "for ever", "added") == [1] * 5
    deadline = time.monotonic() + 5
    while any(backing.has(key) for key in ("default", "short", "added")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert backing.get_many("long", "for ever") == [1, 1]


def test_clear_empties_the_cache_and_ends_no_session(backing):
    key, record = new_key(), new_record()
    backing.store.create(key, record, 60)
    for number in range(50):
        backing.set(f"mine{number}", number)
    assert backing.clear()
    assert backing.get_many(*(f"mine{number}" for number in range(50))) == [None] * 50
    assert not backing.has("mine1")
    assert backing.store.load(key)[0] == record
    backing.set("mine1", "new")
    assert backing.get("mine1") == "new"
    assert backing.clear()
    assert backing.clear()


def test_clear_counts_for_everybody(options):
    one = Backing(**options)
    other = one if options["cache_type"] == "SimpleCache" else Backing(**options)
    one.set("mine", 1)
    assert other.get("mine") == 1
    one.clear()
    assert other.get("mine") is None
    other.set("mine", 2)
    assert one.get("mine") == 2


def test_neither_can_reach_the_other(backing):
    key = new_key()
    names = [key, f"session:{key}", f"../sessions/{key}", f"sessions/{key}"]
    for name in names:
        backing.set(name, b"x" * 40)
    assert backing.store.load(key) is None
    backing.store.create(key, new_record(), 60)
    for name in names:
        assert backing.get(name) == b"x" * 40
        backing.delete(name)
    assert backing.store.load(key)
    backing.store.delete(key)


def test_every_method_of_the_cache_is_reachable(backing):
    for name in dir(backing.cache):
        if not name.startswith("_"):
            assert getattr(backing, name) == getattr(backing.cache, name)
            assert name in dir(backing)
    with pytest.raises(AttributeError):
        backing.no_such_method()


@pytest.mark.servers
def test_clear_on_redis_leaves_what_only_looks_like_ours(redis, redis_server):
    client = redis.Redis(port=redis_server.port, db=5)
    client.set("somebody:cache:x", 1)
    backing = Backing("Redis", port=redis_server.port, db=5, key_prefix="*")
    backing.set("mine", 1)
    backing.clear()
    assert client.keys("*") == [b"somebody:cache:x"]


@pytest.mark.servers
def test_reading_from_memcached_is_one_round_trip(memcached_servers, pymemcache):
    server = memcached_servers[0].address
    backing = Backing("Memcached", servers=server, key_prefix="trips")
    backing.set("mine", 1)
    backing.get("mine")
    watcher = pymemcache.Client(server)
    before = watcher.stats()[b"cmd_get"]
    assert backing.get("mine") == 1
    assert watcher.stats()[b"cmd_get"] == before + 2  # two keys in one command
    watcher.close()
