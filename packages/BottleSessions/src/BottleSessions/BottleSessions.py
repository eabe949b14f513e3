"""The place of `BottleSessions` in the classic package."""

from session_bottle import BottleSessions

__all__ = ["BottleSessions"]
