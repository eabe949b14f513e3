"""The place of `Session` in the classic package."""

from session_core import Session

__all__ = ["Session"]
