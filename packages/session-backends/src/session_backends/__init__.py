"""Session stores with atomic writes: cachelib caches, files, Redis, memcached.

`Backing` makes one from options; the three stores are for programs that build their own client.
Importing this package imports neither redis nor pymemcache.
"""

from .backing import Backing
from .cache import CacheStore
from .memcached import MemcachedStore
from .redis import RedisStore

__all__ = ["Backing", "CacheStore", "MemcachedStore", "RedisStore"]
