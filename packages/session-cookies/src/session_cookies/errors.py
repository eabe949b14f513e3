"""What can go wrong. No message ever holds a secret key or a cookie's value."""


class CookieError(Exception):
    """Base of this package's errors; raised itself when a value cannot travel in a cookie."""


class CookiePolicyError(CookieError, ValueError):
    """An option cannot work. The message says what is wrong and what to write instead."""


class BadSignature(CookieError):
    """A signed value was altered, cut, made for another cookie, or signed with an unknown key."""
