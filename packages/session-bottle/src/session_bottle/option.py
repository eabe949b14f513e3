"""The options of the classic API: what the environment overrides, and what a backing may be."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

from session_backends import Backing, CacheStore
from session_core import ConfigurationError, find_store

__all__ = ["find_backing", "from_environment", "read_secure"]

_CACHE = ("get", "set", "add", "delete", "has")  # what tells a cachelib cache
_FALSE = frozenset({"false", "0", "no", "off"})


def from_environment(default: Any, name: str, old_name: str | None = None) -> Any:
    """Return the environment variable if it is set and not empty, else ``default``.

    ``old_name`` still counts, with a DeprecationWarning.
    """
    value = os.environ.get(name)
    if value:
        return value
    if old_name is not None:
        value = os.environ.get(old_name)
        if value:
            warnings.warn(
                f"the environment variable {old_name} is now called {name}",
                DeprecationWarning,
                stacklevel=4,
            )
            return value
    return default


def read_secure(given: bool | Literal["auto"]) -> bool | Literal["auto"]:
    """Return ``session_secure``: of the variable, all but auto, false, 0, no and off is True."""
    value: Any = from_environment(given, "SESSION_SECURE", "SECURE_COOKIE")
    if isinstance(value, str):
        word = value.strip().lower()
        return "auto" if word == "auto" else word not in _FALSE
    return given


def find_backing(given: Any, options: dict[str, Any], wait: float) -> Any:
    """Return the `Backing`, or what else keeps the sessions.

    ``given`` is what the user passed as ``session_backing``, ``options`` the keyword arguments
    that are none of the plugin's own. Raises `ConfigurationError`.
    """
    unknown = [name for name in options if name.startswith("session_")]
    if unknown:
        raise ConfigurationError(
            f"BottleSessions has no option {', '.join(unknown)}; docs/OPTIONS.md lists them all"
        )
    if given is None or isinstance(given, dict):
        return Backing(**{"wait": wait, **(given or {}), **options})
    if options:
        raise ConfigurationError(
            f"{', '.join(options)}: options of a backing go with session_backing=None or a dict; "
            "this session_backing is an object that has its own"
        )
    try:
        find_store(given)
    except ConfigurationError:
        if all(hasattr(given, method) for method in _CACHE) and not isinstance(given, type):
            return CacheStore(given)
        raise ConfigurationError(
            f"session_backing cannot be a {type(given).__name__}: give a Backing, a dict such as "
            "{'cache_type': 'FileSystem', 'cache_dir': './sessions'}, a cachelib cache, an object "
            "with the methods load, create, replace and delete (docs/STORES.md), or nothing"
        ) from None
    return given
