"""Reading the Cookie header: ours is found whatever surrounds it."""

import string
from http.cookies import SimpleCookie
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_cookies import CookiePolicy
from session_cookies.header import read_values

POLICY = CookiePolicy("sid")
HOST_POLICY = CookiePolicy("__Host-sid")

octets = st.text([c for c in string.printable.strip() if c not in '",;\\'], min_size=1, max_size=60)
# Anything between two semicolons that is no cookie of our name.
foreign = st.text().map(lambda text: text.replace(";", "")).filter(lambda text: "sid" not in text)
broken = st.sampled_from(
    ['"', '"a', "=", "==", "a", "=sid", 'x="sid=no', "sid", "Sid=no", "xsid=no", "sid x=no", "\x00",
     "sidx=no", "\ud800", "a=\xff", "$Version=1", "expires=Mon, 01 Jan", "\xa0sid=no", "sid\x85=no"]
)  # fmt: skip
junk = st.lists(foreign | broken, max_size=8)


@pytest.mark.parametrize("policy", [POLICY, HOST_POLICY])
@given(before=junk, value=octets, after=junk, gap=st.sampled_from(["; ", ";", " ;\t"]))
def test_junk_hides_nothing(policy, before, value, after, gap):
    header = gap.join([*before, f"{policy.name}={value}", *after])
    assert policy.read(header) == [value]


pieces = st.sampled_from(
    [
        "sid",
        "=",
        "sid=",
        "; ",
        ";",
        " ",
        "\t",
        ",",
        '"',
        "a",
        "A1-_",
        "xsid=1",
        "sid=a",
        "\xa0",
        "b=2",
    ]
)


@pytest.mark.parametrize("policy", [POLICY, HOST_POLICY])
@given(st.lists(pieces, max_size=12).map("".join))
def test_the_short_way_for_what_browsers_send_reads_as_the_long_one(policy, header):
    header = header.replace("sid", policy.name)
    commas = policy.name == "sid"
    assert policy.read(header) == read_values(header, policy.name, split_commas=commas)


@given(before=junk, value=octets, after=junk, comma=st.sampled_from([",", ", "]))
def test_header_lines_joined_with_a_comma(before, value, after, comma):
    header = comma.join(["; ".join(before), f"sid={value}", "; ".join(after)])
    assert POLICY.read(header) == [value]


@given(st.text())
def test_no_text_raises(text):
    assert isinstance(POLICY.read(text), list)
    assert isinstance(POLICY.read(text.join(["sid=", "sid=", ";sid="])), list)


@given(st.lists(octets, min_size=1, max_size=9))
def test_duplicates_come_in_order(values):
    assert POLICY.read("; ".join(f"sid={value}" for value in values)) == values


@given(octets)
def test_what_the_standard_library_writes_is_read(value):
    jar = SimpleCookie({"a": "1", "sid": value, "z": "2"})
    assert POLICY.read(jar.output(header="", sep=";")) == [value]


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("other=1", []),
        ("sid", []),
        ("sid=", [""]),
        ("sid=a=b==", ["a=b=="]),
        ('sid="abc"', ["abc"]),
        ('sid="', ['"']),
        ('sid=""', [""]),
        ('sid="a', ['"a']),
        ("\tsid =\t a \t", ["a"]),
        ("SID=a; Sid=b; sid=c", ["c"]),
        ('x="a; sid=b"', ['b"']),
        ("sid=a,b=c", ["a"]),
        ("x=1,sid=later; sid=first", ["first", "later"]),
    ],
)
def test_edges(header, values):
    assert POLICY.read(header) == values


@pytest.mark.parametrize(
    "name", ["__Host-sid", "__Secure-sid", "__Http-sid", "__Host-Http-sid"]
)  # fmt: skip
@pytest.mark.parametrize(
    "smuggled",
    ["x=a,{}=evil", "x=a, {}=evil", "\xa0{}=evil", "\u2000{}=evil", "\x85{}=evil", "\x1f{}=evil",
     "\n{}=evil", "{}\xa0=evil", "={}=evil"],
)  # fmt: skip
def test_another_cookie_cannot_pose_as_a_protected_one(name, smuggled):
    policy = CookiePolicy(name)
    header = smuggled.format(name)
    assert policy.read(header) == []
    assert policy.read(f"{header}; {name}=ours") == ["ours"]
    assert policy.read(f"{name}=ours,x=1") == ["ours"]


@pytest.mark.parametrize(
    "unit",
    [";", ",", "=", '"', " ", "sid", "sid=", "sid;", "sid=,", "a=b; ", " \t;", ", sid", "\xff"],
)
def test_time_grows_with_the_length_and_no_faster(unit):
    def seconds(size):
        header = "sid=first; " + unit * (size // len(unit)) + "; sid=last"
        taken = []
        for _ in range(4):
            start = perf_counter()
            values = POLICY.read(header)
            taken.append(perf_counter() - start)
        assert values[0] == "first"
        assert "last" in values
        return min(taken)

    assert seconds(1_000_000) < 50 * max(seconds(100_000), 0.0002)  # quadratic would be 100
