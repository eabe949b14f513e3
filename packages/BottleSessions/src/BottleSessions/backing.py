"""The place of `Backing` in the classic package."""

from session_backends import Backing

__all__ = ["Backing"]
