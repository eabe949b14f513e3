"""Sessions in a cachelib cache that this package does not know."""

import pickle

import pytest
from cachelib import MemcachedCache, NullCache, RedisCache
from cachelib.base import BaseCache
from cachelib.serializers import BaseSerializer

from session_backends import CacheStore
from session_core.errors import ConfigurationError, StoreUnavailable
from session_core.testing import new_key, new_record


class DictCache(BaseCache):
    serializer = BaseSerializer()

    def __init__(self):
        super().__init__()
        self.entries = {}

    def get(self, key):
        value = self.entries.get(key)
        return None if value is None else self.serializer.loads(value)

    def set(self, key, value, timeout=None):
        self.entries[key] = self.serializer.dumps(value)
        return True

    def add(self, key, value, timeout=None):
        return False if key in self.entries else self.set(key, value, timeout)

    def delete(self, key):
        return self.entries.pop(key, None) is not None


class Bare(BaseCache):
    """Without a serializer, and broken as the tests like it."""

    def __init__(self, **answers):
        super().__init__()
        self.answers = answers

    def get(self, key):
        return self.answers.get("get")

    def set(self, key, value, timeout=None):
        return self.answers.get("set", True)

    def add(self, key, value, timeout=None):
        return self.answers.get("add", True)

    def delete(self, key):
        return True


def test_one_warning_says_what_is_not_promised(caplog):
    CacheStore(DictCache())
    (line,) = [record.getMessage() for record in caplog.records]
    assert "DictCache" in line
    assert "several processes" in line
    assert "cache_type='FileSystem'" in line
    assert "pickle" not in line


def test_a_cache_without_serializer_is_accepted_with_a_further_word(caplog):
    store, key = CacheStore(Bare(get=b"x" * 20)), new_key()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "serializer" in line
    assert "pickle" in line
    assert store.load(key) == (b"x" * 20, b"x" * 16)


def test_records_are_kept_as_they_are_and_the_users_values_are_pickled_as_before():
    cache = DictCache()
    store, key, record = CacheStore(cache), new_key(), new_record(b"raw")
    store.create(key, record, 60)
    cache.set("mine", {1: 2})
    assert list(cache.entries.values()) == [record, pickle.dumps({1: 2}, pickle.HIGHEST_PROTOCOL)]
    assert cache.get("mine") == {1: 2}


def test_a_planted_pickle_is_not_executed(bomb):
    cache = DictCache()
    store, key = CacheStore(cache), new_key()
    store.create(key, new_record(), 60)
    (name,) = cache.entries
    cache.entries[name] = pickle.dumps(bomb)
    assert store.load(key)[0] == pickle.dumps(bomb)


@pytest.mark.servers
def test_a_pickle_planted_in_redis_is_not_executed(redis, redis_server, bomb):
    client = redis.Redis(port=redis_server.port)
    store, key = CacheStore(RedisCache(client, key_prefix="planted:")), new_key()
    store.create(key, new_record(), 60)
    (name,) = client.keys("planted:*")
    client.set(name, b"!" + pickle.dumps(bomb))
    assert store.load(key)[0] == b"!" + pickle.dumps(bomb)


def test_a_cache_that_takes_nothing_is_a_fault():
    with pytest.raises(StoreUnavailable, match="add"):
        CacheStore(Bare(add=False)).create(new_key(), new_record(), 60)
    held = new_record()
    with pytest.raises(StoreUnavailable, match="set"):
        CacheStore(Bare(get=held, set=False)).replace(new_key(), held[:16], new_record(), 60)


def test_a_cache_that_raises_is_a_fault_with_its_cause():
    class Broken(Bare):
        def get(self, key):
            raise ConnectionResetError("secret")

    with pytest.raises(StoreUnavailable) as caught:
        CacheStore(Broken()).load(new_key())
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert "secret" not in str(caught.value)


def test_what_is_no_record_is_damaged_and_no_fault():
    assert CacheStore(Bare(get={"a": 1})).load(new_key()) == (b"", b"")
    assert not CacheStore(Bare(get={"a": 1})).replace(new_key(), b"", new_record(), 60)


@pytest.mark.parametrize(
    "cache, words",
    [
        (MemcachedCache(object()), "cache_type='Memcached'"),
        (NullCache(), "keeps nothing"),
        (object(), "needs a cachelib cache, not object"),
    ],
)
def test_what_cannot_hold_sessions_is_refused(cache, words):
    with pytest.raises(ConfigurationError, match=words):
        CacheStore(cache)
