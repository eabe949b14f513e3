"""Datetimes and times as JSON, with the name of their zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo
from typing import Any

__all__ = ["UnknownZone", "read_moment", "write_moment"]


def write_moment(moment: datetime | time) -> object:
    """Return the ISO text, or a list of it, the name of the zone or None, and the fold."""
    text = moment.isoformat()
    zone = getattr(moment.tzinfo, "key", None)
    return [text, zone, moment.fold] if zone or moment.fold else text


class UnknownZone(tzinfo):
    """A named zone of which this host has no data: the offset of one moment, and the name.

    So a value that was only read is written again as it was.
    """

    def __init__(self, key: str, offset: timedelta | None) -> None:
        self.key = key
        self._offset = offset

    def __getinitargs__(self) -> tuple[str, timedelta | None]:
        return self.key, self._offset

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return the offset of the moment that came with the name."""
        return self._offset

    def dst(self, moment: datetime | None) -> None:
        """Nothing is known."""

    def tzname(self, moment: datetime | None) -> str:
        """Return the name of the zone."""
        return self.key


def _zone(name: str, offset: timedelta | None) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder
        return UnknownZone(name, offset)


def read_moment(kind: type[datetime] | type[time], written: str | list[Any]) -> datetime | time:
    """Return the ``kind`` that `write_moment` has written. Raises ValueError or TypeError."""
    if isinstance(written, str):
        return kind.fromisoformat(written)
    text, name, fold = written
    moment = kind.fromisoformat(text).replace(fold=fold)
    return moment.replace(tzinfo=_zone(name, moment.utcoffset())) if name else moment
