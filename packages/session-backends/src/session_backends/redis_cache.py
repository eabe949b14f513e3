"""A cachelib RedisCache whose ``clear`` removes its own keys and nothing else."""

from __future__ import annotations

import re
from itertools import islice

from cachelib.redis import RedisCache

__all__ = ["RedisAppCache"]


class RedisAppCache(RedisCache):
    """cachelib's RedisCache, except for `clear`.

    cachelib asks Redis for the keys that match the prefix as a pattern. A prefix with ``*``, ``?``
    or brackets in it would match, and delete, what belongs to others; and the KEYS command
    stops the server while it looks at every key. It needs a prefix that is not empty.
    """

    def clear(self) -> bool:
        pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", str(self.key_prefix)) + "*"
        names = self._read_client.scan_iter(match=pattern, count=1000)
        while batch := list(islice(names, 1000)):
            self._write_client.delete(*batch)
        return True
