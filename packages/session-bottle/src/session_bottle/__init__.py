"""Sessions for Bottle: ``BottleSessions(app)``, and ``request.session`` is a dict that survives."""

from .errors import SessionUnavailable
from .plugin import BottleSessions, get_session

__all__ = ["BottleSessions", "SessionUnavailable", "get_session"]
