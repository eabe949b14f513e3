"""The policy: what it writes, and what it refuses to be."""

import logging
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_cookies import CookieError, CookiePolicy, CookiePolicyError, Lifetime

CLASSIC = "bottlecookie=v; HttpOnly; Max-Age=300; Path=/; SameSite=Lax; Secure"
DAY = 24 * 3600

INJECTIONS = [
    "; Secure",
    ";",
    "\r\nX-Evil: 1",
    "\n",
    "\x00",
    "\x7f",
    "\x1f",
    "é",
    "\u2028",
    "\ud800",
]


def parse(set_cookie):
    """Read a Set-Cookie value as a browser does (RFC 6265 section 5.2)."""
    pair, *parts = set_cookie.split(";")
    name, _, value = pair.partition("=")
    attributes = {}
    for part in parts:
        key, _, text = part.partition("=")
        key = key.strip(" \t").lower()
        assert key not in attributes, "an attribute twice"
        attributes[key] = text.strip(" \t")
    return name.strip(" \t"), value.strip(" \t"), attributes


def test_the_classic_cookie():
    assert CookiePolicy("bottlecookie", max_age=300).issue("v") == CLASSIC


def test_every_attribute_in_alphabetical_order():
    policy = CookiePolicy("c", domain=".Example.com", partitioned=True, max_age=1)
    assert policy.issue("v") == (
        "c=v; Domain=Example.com; HttpOnly; Max-Age=1; Partitioned; Path=/; SameSite=Lax; Secure"
    )
    names = list(parse(policy.issue("v"))[2])
    assert names == sorted(names)


def test_no_attribute_that_was_switched_off():
    policy = CookiePolicy("c", secure=False, http_only=False, same_site=None)
    assert policy.issue("v") == "c=v; Path=/"


options = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/", "/a", "/a,b/=c"]),
        "domain": st.sampled_from([None, "example.com", ".sub.example.com", "localhost"]),
        "http_only": st.booleans(),
        "same_site": st.sampled_from([None, "lax", "STRICT", "None"]),
        "partitioned": st.booleans(),
        "max_age": st.none() | st.integers(1, 400 * DAY) | st.floats(0.01, 1e6),
    },
)
octets = st.text([chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\'], max_size=80)


@given(options, octets)
def test_a_browser_reads_what_was_meant(chosen, value):
    policy = CookiePolicy("sid", **chosen)
    name, got, attributes = parse(policy.issue(value))
    assert (name, got) == ("sid", value)
    assert attributes.get("domain") == policy.domain
    assert attributes["path"] == policy.path
    assert attributes.get("samesite") == policy.same_site
    assert ("httponly" in attributes) == policy.http_only
    assert ("partitioned" in attributes) == policy.partitioned
    assert "secure" in attributes
    assert ("max-age" in attributes) == (policy.max_age is not None)
    if policy.max_age is not None:
        assert 0 <= int(attributes["max-age"]) - policy.max_age < 1
    assert policy.read(f"{name}={got}") == [value]


@given(options)
def test_forgetting_repeats_every_attribute(chosen):
    policy = CookiePolicy("sid", **chosen)
    name, value, removal = parse(policy.forget())
    assert (name, value) == ("sid", "")
    assert removal.pop("max-age") == "0"
    assert removal.pop("expires") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert removal == parse(policy.issue("x", max_age=None))[2]


def test_the_standard_library_agrees():
    morsel = SimpleCookie(CookiePolicy("sid", domain="example.com", max_age=9).issue("v"))["sid"]
    assert (morsel.value, morsel["domain"], morsel["max-age"]) == ("v", "example.com", "9")
    assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Lax")


@pytest.mark.parametrize(
    ("max_age", "written"),
    [(60, "60"), (0.2, "1"), (59.01, "60"), (timedelta(minutes=2), "120"), (None, None)],
)
def test_the_caller_decides_on_the_life_time(max_age, written):
    for policy in CookiePolicy("sid"), CookiePolicy("sid", max_age=300):
        assert parse(policy.issue("v", max_age=max_age))[2].get("max-age") == written
        assert policy.issue("v", max_age=Lifetime.OF_POLICY) == policy.issue("v")


BAD_MAX_AGES = [0, -1, 0.0, float("nan"), float("inf"), True, "300", 10**400, timedelta(0), [1]]


@pytest.mark.parametrize("max_age", BAD_MAX_AGES)
def test_no_duration(max_age):
    with pytest.raises(CookiePolicyError, match="max_age"):
        CookiePolicy("sid", max_age=max_age)
    with pytest.raises(CookieError, match="forget"):
        CookiePolicy("sid").issue("v", max_age=max_age)


def test_more_than_400_days_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        CookiePolicy("sid", max_age=timedelta(days=400))
        assert not caplog.records
        policy = CookiePolicy("sid", max_age=400 * DAY + 1)
        policy.issue("v")
        policy.issue("v")
    assert [record.name for record in caplog.records] == ["session_cookies.policy"]
    assert "400 days" in caplog.text


@pytest.mark.parametrize("part", ["name", "path", "domain", "same_site"])
@pytest.mark.parametrize("evil", INJECTIONS)
@pytest.mark.parametrize("where", ["{good}{evil}", "{evil}{good}", "{evil}"])
def test_no_part_breaks_out_of_the_header(part, evil, where):
    good = {"name": "sid", "path": "/a", "domain": "example.com", "same_site": "Lax"}
    good[part] = where.format(good=good[part], evil=evil)
    with pytest.raises(CookiePolicyError):
        CookiePolicy(**good)


@pytest.mark.parametrize("evil", [*INJECTIONS, " ", ",", '"', "\\", "\t"])
def test_no_value_breaks_out_of_the_header(evil):
    policy = CookiePolicy("sid")
    for value in f"private{evil}", f"{evil}private", evil:
        with pytest.raises(CookieError) as caught:
            policy.issue(value)
        assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    "broken",
    [
        {"name": ""},
        {"name": None},
        {"name": "a b"},
        {"name": "a=b"},
        {"name": "a,b"},
        {"name": "a" * 257},
        {"path": ""},
        {"path": "a"},
        {"path": None},
        {"path": "/a b"},
        {"path": "/" * 1025},
        {"domain": ""},
        {"domain": "."},
        {"domain": "..a"},
        {"domain": "a."},
        {"domain": "a,b"},
        {"domain": "a b"},
        {"domain": "example.com:80"},
        {"domain": "https://example.com"},
        {"domain": "[::1]"},
        {"domain": "-a.com"},
        {"domain": "a" * 64 + ".com"},
        {"domain": "a." * 130 + "com"},
        {"domain": b"example.com"},
        {"same_site": ""},
        {"same_site": False},
        {"same_site": "Laxer"},
        {"same_site": "None", "secure": False},
        {"partitioned": True, "secure": False},
        {"secure": "false"},
        {"secure": 1},
        {"http_only": None},
        {"partitioned": 0},
    ],
)
def test_unusable_options(broken):
    with pytest.raises(CookiePolicyError) as caught:
        CookiePolicy(**{"name": "sid", **broken})
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "option", "fix"),
    [
        ("__Host-a", {"secure": False}, "secure=True"),
        ("__Host-a", {"path": "/a"}, "path='/'"),
        ("__Host-a", {"domain": "example.com"}, "domain=None"),
        ("__Secure-a", {"secure": False}, "secure=True"),
        ("__Http-a", {"secure": False}, "secure=True"),
        ("__Http-a", {"http_only": False}, "http_only=True"),
        ("__Host-Http-a", {"secure": False}, "secure=True"),
        ("__Host-Http-a", {"http_only": False}, "http_only=True"),
        ("__Host-Http-a", {"path": "/a"}, "path='/'"),
        ("__Host-Http-a", {"domain": "example.com"}, "domain=None"),
    ],
)
def test_prefixes_hold_to_their_rules(name, option, fix):
    CookiePolicy(name)
    with pytest.raises(CookiePolicyError, match="Browsers drop") as caught:
        CookiePolicy(name, **option)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("__Host-a", {"http_only": False}),
        ("__Secure-a", {"http_only": False, "path": "/a", "domain": "example.com"}),
        ("__Http-a", {"path": "/a", "domain": "example.com"}),
        ("_Host-a", {"secure": False}),
        ("x__Host-a", {"secure": False}),
    ],
)
def test_prefixes_demand_no_more_than_that(name, option):
    assert CookiePolicy(name, **option).issue("v").startswith(f"{name}=v; ")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("__host-Sid", "__Host-Sid"),
        ("__SECURE-sid", "__Secure-sid"),
        ("__http-sid", "__Http-sid"),
        ("__Host-http-sid", "__Host-Http-sid"),
        ("__HOST-HTTP-sid", "__Host-Http-sid"),
    ],
)
def test_a_miscased_prefix_is_refused_with_the_right_spelling(wrong, right):
    with pytest.raises(CookiePolicyError) as caught:
        CookiePolicy(wrong)
    assert f"write '{right}'" in str(caught.value)


def test_name_and_value_fit_into_4096_bytes():
    policy = CookiePolicy("sid")
    assert policy.read(policy.issue("v" * 4093).partition(";")[0]) == ["v" * 4093]
    with pytest.raises(CookieError, match="4093"):
        policy.issue("v" * 4094)


def test_a_policy_is_a_value():
    policy = CookiePolicy("sid", domain=".example.com", same_site="lax", max_age=timedelta(hours=1))
    assert policy == CookiePolicy("sid", domain="example.com", max_age=3600)
    assert (policy.domain, policy.same_site, policy.max_age) == ("example.com", "Lax", 3600)
    assert replace(policy, name="other").issue("v") == policy.issue("v").replace("sid=", "other=")
    assert len({policy, replace(policy)}) == 1
    with pytest.raises(FrozenInstanceError):
        policy.secure = False
    assert "_before" not in repr(policy)
