"""What a record says of its session besides its times and its data.

Most sessions have the same terms: those that nobody has asked to change. So they are read once, and
written as the text that they were made into.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["LAST", "Terms", "from_json", "read_terms", "to_json"]

LAST: Final = 4e12
"""The latest time and the longest duration, in seconds: 126,000 years."""

to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
from_json: Final = json.JSONDecoder().decode


class Terms:
    """The terms of one session or of many. They never change.

    - ``idle``: the idle timeout, in seconds.
    - ``epoch``: how often the session was cleared.
    - ``owner`` and ``persistent``: see `session_core.record`.
    - ``lined``: the sum of the body, if there is one.
    - ``more``: items of the envelope that a later version has added.
    - ``text``: all of that as it stands in the envelope.
    """

    __slots__ = ("epoch", "idle", "lined", "more", "owner", "persistent", "text")

    def __init__(
        self,
        idle: float,
        owner: str | None = None,
        epoch: int = 0,
        persistent: bool | None = None,
        lined: object = None,
        more: tuple[Any, ...] = (),
    ) -> None:
        self.idle = idle
        self.owner = owner
        self.epoch = epoch
        self.persistent = persistent
        self.lined = lined
        self.more = more
        tail = [owner, persistent, lined, *more]
        while len(tail) > 2 and tail[-1] is None:
            del tail[-1]
        self.text = f"{idle:.6f} {epoch} {to_json(tail)}"

    def but(self, **changes: Any) -> Terms:
        """Return these terms with some of them changed."""
        same = {name: getattr(self, name) for name in self.__slots__ if name != "text"}
        return Terms(**{**same, **changes})


def read_terms(text: str) -> Terms:
    """Return what the text says. Raises ValueError, TypeError, or another built-in error."""
    idle, epoch, tail = text.split(" ", 2)
    if not epoch.isdigit() or len(epoch) > 20:
        raise ValueError
    items = from_json(tail)
    if type(items) is not list:
        raise TypeError("a list is expected")
    items += [None] * (3 - len(items))
    owner, persistent, lined, *more = items
    if not isinstance(owner, str | None) or not isinstance(persistent, bool | None):
        raise TypeError("text, or true or false, or null is expected")
    return Terms(float(idle), owner, int(epoch), persistent, lined, tuple(more))
