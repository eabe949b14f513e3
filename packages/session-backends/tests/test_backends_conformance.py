"""The conformance kit on every store of this package."""

import functools
import shutil
import time

import pytest
from cachelib import FileSystemCache, RedisCache, SimpleCache
from cachelib.base import BaseCache

from session_backends import CacheStore, MemcachedStore, RedisStore
from session_core.testing import StoreConformance


class TestSimpleCache(StoreConformance):
    def new_store(self):
        return CacheStore(SimpleCache(), clock=self.clock)


class TestFileSystemCache(StoreConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "cache"

    def new_store(self):
        return CacheStore(FileSystemCache(str(self.path)), clock=self.clock)

    def process_store(self):
        return functools.partial(CacheStore, FileSystemCache(str(self.path)))

    def new_broken_store(self):
        store = self.new_store()
        shutil.rmtree(self.path)
        return store


class TestFileSystemCacheWithThreshold(StoreConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "cache"

    def new_store(self):
        return CacheStore(FileSystemCache(str(self.path), threshold=100), clock=self.clock)


class Engine(StoreConformance):
    """An engine with a clock of its own."""

    def pass_time(self, seconds):
        time.sleep(seconds)


@pytest.mark.servers
class TestRedis(Engine):
    @pytest.fixture(autouse=True)
    def server(self, redis_server, closed_port):
        self.url = redis_server.url
        self.closed = closed_port

    def new_store(self):
        return RedisStore.from_url(self.url)

    def process_store(self):
        return functools.partial(RedisStore.from_url, self.url)

    def new_broken_store(self):
        return RedisStore.from_url(f"redis://127.0.0.1:{self.closed}")


@pytest.mark.slow  # it waits for the same times to pass as the other
@pytest.mark.servers
class TestRedisThroughAClientAsItIs(TestRedis):
    """The plain way, for clients whose connections cannot be had."""

    def new_store(self):
        return RedisStore(plain_client(self.url))

    def process_store(self):
        return functools.partial(new_plain_store, self.url)

    def new_broken_store(self):
        return RedisStore(plain_client(f"redis://127.0.0.1:{self.closed}"))


def plain_client(url):
    redis = pytest.importorskip("redis")
    pool_class = type("Pool", (redis.ConnectionPool,), {})
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.Redis(connection_pool=pool_class.from_url(url, retry=once, socket_timeout=2))


def new_plain_store(url):
    return RedisStore(plain_client(url))


@pytest.mark.servers
class TestMemcached(Engine):
    @pytest.fixture(autouse=True)
    def servers(self, memcached_servers, closed_port):
        self.addresses = [server.address for server in memcached_servers]
        self.closed = closed_port

    def new_store(self):
        return MemcachedStore(self.addresses)

    def process_store(self):
        return functools.partial(MemcachedStore, self.addresses)

    def new_broken_store(self):
        return MemcachedStore(f"127.0.0.1:{self.closed}")


class ThirdParty(BaseCache):
    """A cache of somebody else's, with the usual habits."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.entries = {}

    def get(self, key):
        value, expires = self.entries.get(key, (None, 0))
        return value if expires > self.clock() else None

    def set(self, key, value, timeout=None):
        assert type(timeout) is int
        self.entries[key] = (value, int(self.clock()) + timeout)
        return True

    def add(self, key, value, timeout=None):
        return False if key in self.entries else self.set(key, value, timeout)

    def delete(self, key):
        return self.entries.pop(key, None) is not None


class TestThirdPartyCache(StoreConformance):
    def new_store(self):
        return CacheStore(ThirdParty(self.clock))


@pytest.mark.servers
class TestRedisCacheOfCachelib(Engine):
    @pytest.fixture(autouse=True)
    def server(self, redis_server):
        self.port = redis_server.port

    def new_store(self):
        return CacheStore(RedisCache("127.0.0.1", self.port))
