"""Sessions for any Python program: a dict that survives between requests.

Start at `SessionManager`; a web application at `session_core.wsgi`.
"""

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
