"""What can go wrong, as one small ladder.

    SessionError
    ├── ConfigurationError      wrong at start: the message says the fix
    ├── UnstorableValue         a value that no record can hold: names the key path
    ├── SessionDeleted          the session was deleted in this request
    ├── SessionClosed           the response has left: nothing can be saved any more
    └── StoreError              the store did not do what it was asked
        ├── RecordTooLarge      this record will never fit
        └── StoreUnavailable    could not ask: try again later (HTTP 503)
            ├── NewerRecord     written by a newer major version of this library
            └── ConflictTimeout other writers were faster until the time bound

No message holds a session id, a cookie value or a value out of a session.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "ConflictTimeout",
    "NewerRecord",
    "RecordTooLarge",
    "SessionClosed",
    "SessionDeleted",
    "SessionError",
    "StoreError",
    "StoreUnavailable",
    "UnstorableValue",
]


class SessionError(Exception):
    """Everything that this library raises by itself."""


class ConfigurationError(SessionError, ValueError):
    """An option, a store or an argument that cannot work; raised at construction."""


class SessionDeleted(SessionError):
    """The session was deleted earlier in this request and cannot be used again."""


class SessionClosed(SessionError):
    """The response headers have left, so a first use or a change could not be kept."""


class StoreError(SessionError):
    """A store did not do what it was asked; ``__cause__`` is the client's own error."""


class StoreUnavailable(StoreError):
    """The store could not be asked, or did not answer in time.

    Whether a write has happened is then unknown. It is never repeated by this library, and
    never looks like a missing session. For HTTP it is a 503 (RFC 9110, section 15.6.4).
    """


class NewerRecord(StoreUnavailable):
    """The record was written by a newer major version: a rolling deploy, not damage."""


class ConflictTimeout(StoreUnavailable):
    """Other requests kept changing the session until the time bound; nothing was stored."""


class RecordTooLarge(StoreError):
    """The record exceeds what the manager or the store accepts; the stored one is untouched."""


class UnstorableValue(SessionError, TypeError):
    """A value that could not be stored and read back as it was.

    The message names the way to it, as in ``session['cart'][3]``. Nothing was written.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: tuple[object, ...] = ()

    def within(self, key: object) -> UnstorableValue:
        """Put ``key`` in front of the path, while the error travels outwards."""
        self.path = (key, *self.path)
        return self

    def __str__(self) -> str:
        return f"session{''.join(f'[{_name(key)}]' for key in self.path)}: {self.reason}"


def _name(key: object) -> str:
    try:
        name = repr(key)
    except Exception:  # an int beyond the interpreter's digit limit has none
        return f"<{type(key).__name__}>"
    return name if len(name) <= 100 else f"{name[:99]}…"
