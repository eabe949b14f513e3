"""The settings of one cookie, and its two headers: ``Cookie`` and ``Set-Cookie``."""

import enum
import logging
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Literal

from . import rule
from .errors import CookieError, CookiePolicyError
from .header import read_values
from .rule import is_cookie_octets

logger = logging.getLogger(__name__)

LONGEST_LIFE = 400 * 24 * 3600.0  # seconds; browsers clamp what is above, RFC 6265bis section 5.5


class Lifetime(enum.Enum):
    """A life time that is not a number of seconds."""

    OF_POLICY = "of the policy"
    """What the policy's `max_age` says."""


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """How one cookie is named, guarded and limited; checked when it is made.

    Follows RFC 6265, the draft RFC 6265bis (name prefixes, limits, SameSite), the draft "layered
    cookies" (``__Http-`` prefixes) and CHIPS (Partitioned). Whatever a browser would drop without
    a word, and whatever could break out of the header, raises `CookiePolicyError` here.

    The policy is immutable and safe to share between threads.
    """

    name: str
    """An RFC 6265 token. The prefixes ``__Host-``, ``__Secure-``, ``__Http-`` and
    ``__Host-Http-`` are held to their rules and spelling."""

    _: KW_ONLY

    path: str = "/"
    """The browser sends the cookie to this path and below. It is no security boundary."""

    domain: str | None = None
    """None: to the host that set it only. A domain: to all of its subdomains as well."""

    secure: bool = True
    """Sent over https only."""

    http_only: bool = True
    """Hidden from JavaScript."""

    same_site: str | None = "Lax"
    """``'Lax'``, ``'Strict'`` or ``'None'`` (needs `secure`), in any case. None: no attribute."""

    partitioned: bool = False
    """A separate cookie under each embedding site (CHIPS). Needs `secure`."""

    max_age: float | timedelta | None = None
    """Seconds (or a timedelta, kept as seconds) that the browser keeps the cookie. None: until
    the browser session ends. Above 400 days is logged as a warning: browsers cut it."""

    _start: str = field(init=False, repr=False, compare=False)
    _before: str = field(init=False, repr=False, compare=False)
    _after: str = field(init=False, repr=False, compare=False)
    _age: str = field(init=False, repr=False, compare=False)
    _removal: str = field(init=False, repr=False, compare=False)
    _room: int = field(init=False, repr=False, compare=False)
    _split_commas: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = rule.check_name(self.name)
        path = rule.check_path(self.path)
        domain = rule.check_domain(self.domain)
        same_site = rule.check_same_site(self.same_site)
        for option in ("secure", "http_only", "partitioned"):
            rule.check_flag(option, getattr(self, option))
        rule.check_prefix(
            name, secure=self.secure, http_only=self.http_only, path=path, domain=domain
        )
        if same_site == "None" and not self.secure:
            raise CookiePolicyError(
                "same_site='None' needs secure=True, or browsers drop the cookie. "
                "Without https write same_site='Lax'."
            )
        if self.partitioned and not self.secure:
            raise CookiePolicyError(
                "partitioned=True needs secure=True, or browsers drop the cookie."
            )
        max_age = None if self.max_age is None else rule.check_seconds(self.max_age)
        if max_age is not None and max_age > LONGEST_LIFE:
            logger.warning(
                "Cookie %s: max_age is above 400 days; browsers will shorten it to 400 days.", name
            )

        domain_part = f"; Domain={domain}" if domain is not None else ""
        http_only_part = "; HttpOnly" if self.http_only else ""
        after = (
            ("; Partitioned" if self.partitioned else "")
            + f"; Path={path}"
            + (f"; SameSite={same_site}" if same_site else "")
            + ("; Secure" if self.secure else "")
        )
        self._fix(
            domain=domain,
            same_site=same_site,
            max_age=max_age,
            _start=f"{name}=",
            _before=domain_part + http_only_part,
            _after=after,
            _age=_age_part(max_age),
            _removal=f"{name}={domain_part}; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
            f"{http_only_part}; Max-Age=0{after}",
            _room=rule.COOKIE_LIMIT - len(name),
            # A prefix promises that nobody but this host set the cookie. Pairs after a comma may
            # come out of another cookie's value, so they cannot keep that promise.
            _split_commas=not rule.prefix_of(name),
        )

    def _fix(self, **values: object) -> None:
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def read(self, header: str) -> list[str]:
        """Return the values of all cookies of this name in a raw ``Cookie`` header, in order.

        Usually one or none. There may be more, set for other paths or domains, and their order
        means nothing (RFC 6265 section 4.2.2): try each. Values are whatever a client sent,
        without outer double quotes; names are compared exactly. Never raises, and other cookies,
        however broken, hide nothing. Takes time proportional to the header's length.

        Where a server joined several ``Cookie`` lines with a comma, pairs after the comma come
        last; for names with a protecting prefix they are left out.
        """
        at = header.find(self._start)
        if (at == 0 or (at > 1 and header[at - 2 : at] == "; ")) and header.count(self.name) == 1:
            # What a browser sends. All the rest is for those who send something else.
            value = header[at + len(self._start) :]
            if ";" in value:
                value = value[: value.index(";")]
            if not ("," in value or '"' in value or " " in value or "\t" in value):
                return [value]
        return read_values(header, self.name, split_commas=self._split_commas)

    def issue(
        self,
        value: str,
        max_age: float | timedelta | Literal[Lifetime.OF_POLICY] | None = Lifetime.OF_POLICY,
    ) -> str:
        """Return the ``Set-Cookie`` header value that sets the cookie to `value`.

        `max_age`, in seconds (rounded up to whole ones) or as a timedelta, overrides the policy's;
        None sends no ``Max-Age``, so that the cookie ends with the browser session.

        Raises `CookieError` if the value holds anything but cookie-octets (RFC 6265 section
        4.1.1: visible ASCII without ``"``, ``,``, ``;`` and ``\\``) or name and value exceed 4096
        bytes, and `CookiePolicyError` (also a `CookieError`) for a `max_age` that is not above 0.
        """
        if len(value) > self._room or not is_cookie_octets(value):
            raise _unsendable(value, self._room)
        age = self._age
        if max_age != self.max_age and max_age is not Lifetime.OF_POLICY:
            age = _age_part(max_age)
        return f"{self._start}{value}{self._before}{age}{self._after}"

    def forget(self) -> str:
        """Return the ``Set-Cookie`` header value that removes the cookie from the browser.

        It repeats every attribute of the cookie: a browser removes only what has the same name,
        domain, path and partition.
        """
        return self._removal


def _age_part(max_age: float | timedelta | None) -> str:
    return "" if max_age is None else f"; Max-Age={rule.whole_seconds(max_age)}"


def _unsendable(value: str, room: int) -> CookieError:
    if len(value) > room:
        return CookieError(f"Cookie value of {len(value)} characters: {room} is the most here.")
    return CookieError(
        "Cookie value holds a character that no cookie may carry: send ASCII letters, digits and "
        "punctuation without '\"', ',', ';' and '\\', for example as URL-safe base64."
    )
