"""The rules for each part of a cookie. Every check returns the part as it will be written."""

import math
import re
from datetime import timedelta
from reprlib import repr as shown  # shortens what it shows

from .errors import CookiePolicyError

NAME_LIMIT = 256
ATTRIBUTE_LIMIT = 1024  # bytes of one attribute's value, RFC 6265bis section 5.6
COOKIE_LIMIT = 4096  # bytes of name and value together, RFC 6265bis section 5.6

# RFC 6265 section 4.1.1; `fullmatch` only, since `$` would let a final line feed pass.
is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
is_cookie_octets = re.compile(r"[!#-+\--:<-\[\]-~]*").fullmatch

_is_path = re.compile(r"/[!-:<-~]*").fullmatch
_is_label = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?").fullmatch

# Name prefixes and what a browser demands of such a cookie: RFC 6265bis section 4.1.3, and the
# draft "layered cookies" for those with Http. Longer prefixes stand first.
_PREFIXES = {
    "__Host-Http-": ("secure", "host", "http_only"),
    "__Host-": ("secure", "host"),
    "__Http-": ("secure", "http_only"),
    "__Secure-": ("secure",),
}
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


def check_name(name: object) -> str:
    """A token of at most 256 characters; a prefix must be spelled as the standard spells it."""
    if not isinstance(name, str) or not is_token(name):
        raise CookiePolicyError(
            f"Cookie name {shown(name)} cannot be sent: use ASCII letters, digits, '-' and '_', "
            "as in 'session_id'."
        )
    if len(name) > NAME_LIMIT:
        raise CookiePolicyError(f"Cookie name is too long: use at most {NAME_LIMIT} characters.")
    prefix = prefix_of(name)
    if not name.startswith(prefix):
        raise CookiePolicyError(
            f"Cookie name {shown(name)} has a prefix in the wrong case, which browsers treat as "
            f"{prefix!r}: write {shown(prefix + name[len(prefix) :])}."
        )
    return name


def prefix_of(name: str) -> str:
    """The protecting prefix of a name in its right spelling, matched in any case, or ``''``."""
    lowered = name.lower()
    return next((prefix for prefix in _PREFIXES if lowered.startswith(prefix.lower())), "")


def check_prefix(
    name: str, *, secure: bool, http_only: bool, path: str, domain: str | None
) -> None:
    """Refuse what a browser would silently drop because of the name's prefix."""
    prefix = prefix_of(name)
    demands = _PREFIXES.get(prefix, ())
    fixes = []
    if "secure" in demands and not secure:
        fixes.append("secure=True")
    if "http_only" in demands and not http_only:
        fixes.append("http_only=True")
    if "host" in demands and path != "/":
        fixes.append("path='/'")
    if "host" in demands and domain is not None:
        fixes.append("domain=None")
    if fixes:
        raise CookiePolicyError(
            f"Browsers drop a cookie named {prefix}… with these options: write "
            f"{', '.join(fixes)}, or choose a name without this prefix."
        )


def check_path(path: object) -> str:
    """An absolute path of visible ASCII characters without ``;``."""
    if not isinstance(path, str) or not _is_path(path):
        raise CookiePolicyError(
            f"Cookie path {shown(path)} cannot be sent: write a path that starts with '/', "
            "percent-encoded, without ';' and blanks; '/' is the whole site."
        )
    if len(path) > ATTRIBUTE_LIMIT:
        raise CookiePolicyError(f"Cookie path is too long: {ATTRIBUTE_LIMIT} bytes at most.")
    return path


def check_domain(domain: object) -> str | None:
    """A plain host name; one leading dot is taken off (RFC 6265 section 5.2.3)."""
    if domain is None:
        return None
    if isinstance(domain, str):
        host = domain.removeprefix(".")
        if len(host) <= 253 and all(map(_is_label, host.split("."))):
            return host
    raise CookiePolicyError(
        f"Cookie domain {shown(domain)} is no host name: write it without scheme, port and path, "
        "non-ASCII names in their 'xn--' form, as in 'example.com'; "
        "None keeps the cookie to the host that set it."
    )


def check_same_site(value: object) -> str | None:
    """``Lax``, ``Strict`` or ``None`` in any case; the object None means no attribute."""
    if value is None:
        return None
    known = _SAME_SITE.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise CookiePolicyError(
            f"Unknown same_site {shown(value)}: write 'Lax', 'Strict' or 'None', "
            "or None (without quotes) for no such attribute."
        )
    return known


def check_flag(option: str, value: object) -> bool:
    """A real bool: a text such as ``'false'`` would count as true."""
    if not isinstance(value, bool):
        raise CookiePolicyError(f"{option} is {shown(value)}: write True or False.")
    return value


def check_seconds(value: object) -> float:
    """A duration above zero, in seconds or as a timedelta, as a number of seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    # The upper bound keeps out infinity; NaN fails every comparison.
    if isinstance(seconds, bool) or not (isinstance(seconds, (int, float)) and 0 < seconds < 2**63):
        raise CookiePolicyError(
            f"max_age {shown(value)} is no duration: write a number of seconds above 0 or a "
            "timedelta, None for a cookie that ends with the browser session; "
            "forget() removes a cookie."
        )
    return seconds


def whole_seconds(value: object) -> int:
    """A duration rounded up, since ``Max-Age`` knows whole seconds only and 0 removes."""
    return math.ceil(check_seconds(value))
