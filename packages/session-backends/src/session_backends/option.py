"""The options of a `Backing`: their spellings, and what is wrong with them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from session_core.errors import ConfigurationError

__all__ = ["canonical_type", "options_of", "refuse_unknown", "tidy_options"]

_TYPES: Final = {
    "SimpleCache": "SimpleCache",
    "FileSystem": "FileSystem",
    "FileSystemCache": "FileSystem",
    "Redis": "Redis",
    "RedisCache": "Redis",
    "Memcached": "Memcached",
    "MemcachedCache": "Memcached",
}

_WHOLE: Final = ("db", "mode", "port", "threshold")
"""Options that are whole numbers, and may come as text out of the environment."""


def canonical_type(cache_type: object) -> str:
    """Return SimpleCache, FileSystem, Redis or Memcached.

    Raises `ConfigurationError` with the valid names.
    """
    found = _TYPES.get(cache_type) if isinstance(cache_type, str) else None
    if found is None:
        raise ConfigurationError(
            f"cache_type={cache_type!r} is unknown; valid are SimpleCache, FileSystem (or "
            "FileSystemCache), Redis (or RedisCache) and Memcached (or MemcachedCache)"
        )
    return found


def tidy_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with one name each and numbers as numbers.

    Raises `ConfigurationError`.
    """
    tidy = dict(options)
    if "prefix_key" in tidy:
        if "key_prefix" in tidy:
            raise ConfigurationError("prefix_key and key_prefix are the same: give one of them")
        tidy["key_prefix"] = tidy.pop("prefix_key")
    prefix = tidy.get("key_prefix")
    if prefix is None:
        tidy.pop("key_prefix", None)
    elif not isinstance(prefix, str):
        raise ConfigurationError(f"key_prefix must be text, not {type(prefix).__name__}")
    for name in _WHOLE:
        if isinstance(tidy.get(name), str):
            tidy[name] = _whole(name, tidy[name])
    if "threshold" in tidy and not _is_count(tidy["threshold"]):
        raise ConfigurationError(
            f"threshold={tidy['threshold']!r}: must be a number of entries, or 0 for no bound"
        )
    if "default_timeout" in tidy:
        tidy["default_timeout"] = _timeout(tidy["default_timeout"])
    return tidy


def options_of(function: Any) -> list[str]:
    """Return the names of the options that a cachelib class of the installed version takes."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name != "self"
    ]


def refuse_unknown(cache_type: str, options: dict[str, Any], valid: Iterable[str]) -> None:
    """Raise `ConfigurationError` if there is an option that is not among ``valid``."""
    unknown = sorted(set(options) - set(valid))
    if unknown:
        raise ConfigurationError(
            f"cache_type={cache_type!r} has no option {', '.join(unknown)}; valid are "
            f"{', '.join(sorted(valid))}"
        )


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{name}={text!r}: must be a whole number") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _timeout(timeout: Any) -> int:
    """Return whole seconds, which is what every version of cachelib takes."""
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, str):
        return _whole("default_timeout", timeout)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(
            f"default_timeout={timeout!r}: must be seconds, for the app's own values (0: for "
            "ever); the life time of sessions is session_expire"
        )
    return math.ceil(timeout)
