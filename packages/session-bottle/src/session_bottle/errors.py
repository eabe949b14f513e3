"""The outage of a store as Bottle understands it."""

from __future__ import annotations

from typing import NoReturn

from bottle import HTTPError

from session_core import SessionManager, StoreUnavailable
from session_core.wsgi import RETRY_AFTER

__all__ = ["BottleManager", "SessionUnavailable"]


class SessionUnavailable(StoreUnavailable, HTTPError):
    """The store could not be asked; for Bottle a 503 with Retry-After.

    So the page that the app has for 503 is the answer, wherever in a request it is raised.
    """

    def __init__(self, fault: StoreUnavailable) -> None:
        StoreUnavailable.__init__(self, str(fault))
        HTTPError.__init__(
            self,
            503,
            "The session store cannot be reached at the moment. Please try again.",
            exception=fault,
        )
        self.set_header("Retry-After", RETRY_AFTER)

    def __str__(self) -> str:
        return str(self.exception)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class BottleManager(SessionManager):
    """A manager whose outages are Bottle errors."""

    def fail(self, fault: StoreUnavailable) -> NoReturn:
        """Report ``fault`` and raise it as `SessionUnavailable`."""
        try:
            super().fail(fault)
        except StoreUnavailable:
            raise SessionUnavailable(fault) from fault
