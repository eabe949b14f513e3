"""State that a fork must not share: locks, open files, sockets."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerProcess"]

T = TypeVar("T")

_generation = 0  # how many forks lie between this process and the first one


def _note_fork() -> None:
    global _generation  # noqa: PLW0603 -- it belongs to the process
    _generation += 1


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_note_fork)


class PerProcess(Generic[T]):
    """One object per process, made at the first use in it.

    A forked child that kept its parent's object would read answers meant for the parent from a
    shared socket, wait for a lock whose holder does not exist here, or hold a file lock together
    with the parent. ``discard`` (default: nothing) is called in the child with the parent's
    object; it may close what the child has inherited, and must not wait.
    """

    __slots__ = ("_discard", "_made", "_make")

    def __init__(self, make: Callable[[], T], discard: Callable[[T], None] | None = None) -> None:
        self._make = make
        self._discard = discard
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Return this process's object."""
        try:
            return self._made[_generation]
        except KeyError:
            return self._renew()

    def _renew(self) -> T:
        mine = _generation
        # setdefault is atomic, so threads that come here together get one object; a lock could
        # have been taken by another thread at the moment of the fork.
        made = self._made.setdefault(mine, self._make())
        for other in [each for each in self._made if each != mine]:
            inherited = self._made.pop(other, None)
            if inherited is not None and self._discard is not None:
                self._discard(inherited)
        return made
