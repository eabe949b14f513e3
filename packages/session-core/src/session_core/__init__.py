"""Sessions for any Python program: a dict that survives between requests.

Start at `SessionManager`; a web application at `session_core.wsgi`.

Each name is imported from its module when it is first used (PEP 562), so that a program pays for
what it uses: a store that needs the errors does not load the codec.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for True; the one in typing takes long to import
if TYPE_CHECKING:
    from .answer import Answer
    from .cookie import IdCookie
    from .errors import (
        ConfigurationError,
        ConflictTimeout,
        NewerRecord,
        RecordTooLarge,
        SessionClosed,
        SessionDeleted,
        SessionError,
        StoreError,
        StoreUnavailable,
        UnstorableValue,
    )
    from .events import Event
    from .manager import SessionManager
    from .memory import MemoryStore
    from .session import Session
    from .store import HEAD, Store, SupportsScan, SupportsStore, SupportsSweep, find_store

__all__ = [
    "HEAD",
    "Answer",
    "ConfigurationError",
    "ConflictTimeout",
    "Event",
    "IdCookie",
    "MemoryStore",
    "NewerRecord",
    "RecordTooLarge",
    "Session",
    "SessionClosed",
    "SessionDeleted",
    "SessionError",
    "SessionManager",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "SupportsScan",
    "SupportsStore",
    "SupportsSweep",
    "UnstorableValue",
    "find_store",
]

_MODULES = {
    "Answer": "answer",
    "Event": "events",
    "IdCookie": "cookie",
    "MemoryStore": "memory",
    "Session": "session",
    "SessionManager": "manager",
    **dict.fromkeys(
        ("HEAD", "Store", "SupportsScan", "SupportsStore", "SupportsSweep", "find_store"), "store"
    ),
}


if not TYPE_CHECKING:  # or a type checker would believe that every name is there

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
        globals()[name] = value = getattr(module, name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
