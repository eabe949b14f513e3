"""Reading a session's state out of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .record import DamagedRecord, Dead
from .snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from .manager import SessionManager

__all__ = ["look"]


def look(manager: SessionManager, key: str) -> tuple[Snapshot | Dead | None, Any]:
    """Load what lives or lies dead under ``key``, and its version if there is any record."""
    found = manager.store.load(key)
    if found is None:
        return None, None
    data, version = found
    snapshot = manager.recent.get(key, data)
    if snapshot is None:
        try:
            read = read_snapshot(data, manager.recent.meet(key))
        except DamagedRecord as damage:
            manager.events.send("damaged", key, str(damage))
            return None, version
        if isinstance(read, Dead):
            return read, version
        snapshot = read
        if snapshot.shared:
            manager.recent.put(key, data, snapshot)
    now = manager.clock()
    if snapshot.record.expires(manager.absolute_timeout) <= now:
        clock = "idle" if snapshot.record.expires(None) <= now else "absolute"
        manager.events.send("expired", key, f"{clock} timeout")
        return None, version
    return snapshot, version
