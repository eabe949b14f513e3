"""Cookies for sessions: settings that browsers accept, signed values, robust reading."""

from .errors import BadSignature, CookieError, CookiePolicyError
from .policy import CookiePolicy, Lifetime
from .signer import CookieSigner

__all__ = [
    "BadSignature",
    "CookieError",
    "CookiePolicy",
    "CookiePolicyError",
    "CookieSigner",
    "Lifetime",
]
