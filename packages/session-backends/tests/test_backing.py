"""`Backing`: what it makes, what it refuses, and how it says so."""

import copy
import errno
import os
import subprocess
import sys

import pytest
from cachelib import FileSystemCache, RedisCache, SimpleCache

from session_backends import Backing, CacheStore, MemcachedStore, RedisStore
from session_core.errors import ConfigurationError
from session_core.store import SupportsStore, find_store
from session_core.testing import new_key, new_record


def test_the_default_is_memory():
    backing = Backing()
    assert backing.cache_type == "SimpleCache"
    assert type(backing.cache) is SimpleCache
    assert isinstance(backing.store, CacheStore)
    assert isinstance(backing, SupportsStore)
    assert find_store(backing) is backing.store


@pytest.mark.parametrize("name", ["FileSystem", "FileSystemCache"])
def test_files(name, tmp_path):
    backing = Backing(name, cache_dir=tmp_path / "made" / "here", threshold="2000", mode=0o640)
    assert backing.cache_type == "FileSystem"
    assert isinstance(backing.cache, FileSystemCache)
    backing.store.create(new_key(), new_record(), 60)
    backing.set("mine", 1)
    folder = tmp_path / "made" / "here"
    assert sorted(os.listdir(folder)) == ["cache", "locks", "sessions"]
    assert len(list((folder / "sessions").iterdir())) == 1


def test_a_relative_cache_dir_is_that_of_the_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backing = Backing("FileSystem", cache_dir="./sessions")
    monkeypatch.chdir("/")
    key = new_key()
    backing.store.create(key, new_record(), 60)
    backing.set("mine", 1)
    monkeypatch.chdir(tmp_path)
    again = Backing("FileSystem", cache_dir="sessions")
    assert again.store.load(key)
    assert again.get("mine") == 1


@pytest.mark.parametrize("name", ["Redis", "RedisCache"])
def test_redis(redis, name):
    backing = Backing(
        name,
        host="example.invalid",
        port="6380",
        password="geheim",
        db="2",
        prefix_key="XYZ",
        ssl=True,
        username="me",
        default_timeout=10,
    )
    assert backing.cache_type == "Redis"
    assert isinstance(backing.cache, RedisCache)
    assert isinstance(backing.store, RedisStore)
    settings = backing.store._client.connection_pool.connection_kwargs
    assert (settings["host"], settings["port"], settings["db"]) == ("example.invalid", 6380, 2)
    assert settings["username"] == "me"
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (2, 2)
    assert backing.cache.default_timeout == 10
    assert backing.cache.key_prefix == "XYZcache:"
    assert backing.store._prefix == "XYZsession:"
    for text in (repr(backing), str(backing), repr(backing.store)):
        assert "geheim" not in text


@pytest.mark.parametrize("name", ["Memcached", "MemcachedCache"])
def test_memcached(pymemcache, name):
    backing = Backing(name, servers=["a", "b:1"], key_prefix="XYZ", wait=0.5)
    assert backing.cache_type == "Memcached"
    assert isinstance(backing.store, MemcachedStore)
    assert [node.name for node in backing.store._nodes] == ["a:11211", "b:1"]
    assert backing.store._prefix == "XYZsession:"
    assert backing.store._nodes[0].settings["timeout"] == 0.5


@pytest.mark.servers
def test_ready_made_clients(redis, redis_server, pymemcache, memcached_servers):
    client = redis.Redis(port=redis_server.port, db=3)
    backings = [
        Backing("Redis", host=client, key_prefix="ready"),
        Backing("Redis", host=f"redis://127.0.0.1:{redis_server.port}/3", key_prefix="ready"),
        Backing("Memcached", servers=pymemcache.PooledClient(memcached_servers[0].address)),
        Backing("Memcached", servers=memcached_servers[0].address),
    ]
    key = new_key()
    for one, other in (backings[:2], backings[2:]):
        one.set("mine", [1])
        assert other.get("mine") == [1]
        one.store.create(key, new_record(), 60)
        assert other.store.load(key)
    assert client.exists(f"readysession:{key}")


@pytest.mark.servers
def test_what_is_stored_in_redis_survives_a_restart_of_the_program(redis_server, redis):
    options = {"cache_type": "Redis", "port": redis_server.port, "key_prefix": "restart"}
    key = new_key()
    Backing(**options).store.create(key, new_record(), 60)
    Backing(**options).set("mine", 1)
    assert Backing(**options).store.load(key)
    assert Backing(**options).get("mine") == 1


def test_threshold_counts_sessions_and_cache_apart():
    backing = Backing(threshold=20)
    keys = [new_key() for _ in range(20)]
    for number, key in enumerate(keys):
        backing.store.create(key, new_record(), 60)
        backing.set(str(number), number)
    assert all(backing.store.load(key) for key in keys)
    assert [backing.get(str(number)) for number in range(20)] == list(range(20))


@pytest.mark.parametrize("kind", ["SimpleCache", "FileSystem"])
@pytest.mark.parametrize("threshold", [0, "0"])
def test_threshold_0_is_no_bound_for_either(kind, threshold, tmp_path):
    options = {"cache_dir": tmp_path} if kind == "FileSystem" else {}
    backing = Backing(kind, threshold=threshold, **options)
    keys = [new_key() for _ in range(520)]
    for number, key in enumerate(keys):
        backing.store.create(key, new_record(), 60)
        backing.set(str(number), number)
    assert all(backing.store.load(key) for key in keys)
    assert [backing.get(str(number)) for number in range(520)] == list(range(520))


def test_without_a_threshold_the_cache_has_that_of_cachelib():
    backing = Backing()
    for number in range(520):
        backing.set(str(number), number)
    assert not backing.has("0")
    assert backing.has("519")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"cache_type": "Simple"}, "SimpleCache, FileSystem .*Redis .*Memcached"),
        ({"cache_type": "simplecache"}, "SimpleCache, FileSystem"),
        ({"cache_type": None}, "cache_type=None is unknown"),
        ({"cache_type": "FileSystem"}, "cache_dir='./sessions'"),
        ({"cache_type": "FileSystem", "cache_dir": ""}, "needs cache_dir"),
        ({"cache_type": "FileSystem", "cache_dir": 5}, "needs cache_dir"),
        ({"cache_type": "FileSystem", "cache_dir": "x", "dir": 1}, "no option dir; valid.*mode"),
        ({"thresholds": 1}, "no option thresholds; valid are default_timeout.*threshold"),
        ({"cache_dir": "x"}, "'SimpleCache' has no option cache_dir"),
        ({"threshold": -1}, "threshold=-1"),
        ({"threshold": "many"}, "threshold='many'"),
        ({"threshold": None}, "threshold=None"),
        ({"default_timeout": None}, "default_timeout=None"),
        ({"wait": 0}, "wait=0"),
        ({"prefix_key": "a", "key_prefix": "b"}, "the same"),
        ({"key_prefix": "b"}, "no option key_prefix"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, words):
    with pytest.raises(ConfigurationError, match=words):
        Backing(**options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"port": "x"}, "port='x'"),
        ({"host": ""}, "host is empty"),
        ({"host": None}, "host is empty"),
        ({"host": 5}, "no Redis client"),
        ({"host": "redis://:pw@x:y"}, "address cannot be read"),
        ({"hots": "x"}, "redis.Redis does not take.*hots"),
        ({"retry_on_timeout": True}, "retry_on_timeout: leave it out"),
        ({"decode_responses": True}, "decode_responses"),
        ({"key_prefix": print}, "key_prefix must be text"),
    ],
)
def test_what_cannot_work_on_redis_is_refused_with_the_fix(redis, options, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Backing("Redis", **options)
    assert "pw" not in str(caught.value)


def test_options_beside_a_client_are_refused(redis):
    with pytest.raises(ConfigurationError, match="db: the client in host has its own"):
        Backing("Redis", host=redis.Redis(), db=1)


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "needs servers"),
        ({"servers": []}, "needs servers"),
        ({"servers": "host:x"}, "no usable port"),
        ({"servers": "a", "threshold": 1}, "no option threshold; valid.*servers"),
        ({"servers": "a", "key_prefix": "b c"}, "without blanks"),
        ({"servers": object()}, "servers cannot be a object"),
    ],
)
def test_what_cannot_work_on_memcached_is_refused_with_the_fix(pymemcache, options, words):
    with pytest.raises(ConfigurationError, match=words):
        Backing("Memcached", **options)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(ConfigurationError, match=r"Permission denied.*may write to"):
        Backing("FileSystem", cache_dir=tmp_path / "x")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Backing("FileSystem", cache_dir=tmp_path / "file")


LAZY = """
import sys
from session_backends import Backing
Backing()
loaded = {"redis", "pymemcache", "portalocker"} & set(sys.modules)
assert not loaded, loaded
"""

MISSING = """
import sys
sys.modules["redis"] = sys.modules["pymemcache"] = None  # importing them is an ImportError
from session_backends import Backing
Backing()
assert Backing("FileSystem", cache_dir=sys.argv[1]).store.load("x") is None
for cache_type, extra, options in (
    ("Redis", "redis", {}), ("Memcached", "memcached", {"servers": "a"})
):
    try:
        Backing(cache_type, **options)
    except ValueError as error:
        assert f"pip install 'session-backends[{extra}]'" in str(error), error
    else:
        raise AssertionError(cache_type)
"""


@pytest.mark.parametrize("program", [LAZY, MISSING], ids=["lazy", "missing"])
def test_clients_are_imported_when_asked_for_and_missing_ones_named(tmp_path, program):
    subprocess.run([sys.executable, "-W", "error", "-c", program, tmp_path], check=True)


def test_a_copy_is_the_same_backing():
    backing = Backing()
    copied = copy.copy(backing)
    assert copied.store is backing.store
    assert copied.cache is backing.cache
    with pytest.raises(AttributeError):
        backing._no_such_name


def test_nothing_is_printed(tmp_path, capfd):
    backing = Backing("FileSystem", cache_dir=tmp_path)
    backing.store.create(new_key(), new_record(), 60)
    assert capfd.readouterr() == ("", "")
