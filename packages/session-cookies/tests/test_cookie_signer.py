"""Signing: forged, cut, swapped and outdated values are refused, and nothing leaks."""

import hashlib
import hmac
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from session_cookies import (
    BadSignature,
    CookieError,
    CookiePolicy,
    CookiePolicyError,
    CookieSigner,
)

OLD = "old-key-of-at-least-sixteen-characters"
NEW = "new-key-of-at-least-sixteen-characters"

octets = st.text([chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\'], max_size=80)


def make(secrets=NEW, name="sid"):
    return CookieSigner(secrets, cookie_name=name)


@given(octets)
def test_a_signed_value_survives_the_cookie(value):
    signed = make().sign(value)
    policy = CookiePolicy("sid")
    (received,) = policy.read(policy.issue(signed).partition(";")[0])
    assert make().unsign(received) == value
    assert make().is_current(received)


def test_the_signature_is_hmac_sha256_under_a_key_of_this_cookie():
    key = hmac.digest(NEW.encode(), b"session_cookies.CookieSigner:sid", "sha256")
    tag = urlsafe_b64encode(hmac.digest(key, b"value", "sha256")).rstrip(b"=").decode()
    assert make().sign("value") == f"value.{tag}"


@given(octets)
def test_itsdangerous_itself_signs_the_same(value):
    salt = b"session_cookies.CookieSigner:sid"
    plain = Signer(NEW, salt=salt, key_derivation="hmac", digest_method=sha256)
    assert make().sign(value) == plain.sign(value).decode()
    assert plain.unsign(make().sign(value)) == value.encode()


@given(octets, st.data())
def test_every_altered_character_is_noticed(value, data):
    signed = make().sign(value)
    at = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.characters().filter(lambda c: c != signed[at]))
    for forged in (signed[:at] + other + signed[at + 1 :], signed[:at], signed[at + 1 :]):
        with pytest.raises(BadSignature):
            make().unsign(forged)
        assert not make().is_current(forged)


def test_there_is_one_signed_form_of_a_value():
    # The last character of 43 carries four bits; a base64 decoder ignores the other two.
    signed = make().sign("value")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for last in alphabet:
        try:
            make().unsign(signed[:-1] + last)
        except BadSignature:
            continue
        accepted.append(last)
    assert accepted == [signed[-1]]
    for appended in "=", ".", " ", "\n", "!":
        with pytest.raises(BadSignature):
            make().unsign(signed + appended)


@pytest.mark.parametrize(
    "junk",
    ["", ".", "..", "value", "value.", ".x", "é.é", "\ud800.x", "\x00", "v" * 10**6, "." * 5000],
)
def test_junk_is_a_bad_signature_and_nothing_else(junk):
    with pytest.raises(BadSignature):
        make().unsign(junk)
    assert make().is_current(junk) is False


@given(st.text())
def test_no_text_raises_anything_else(text):
    with pytest.raises(BadSignature):
        make().unsign(text)


def test_no_error_shows_the_value():
    forged = make().sign("private")[:-1]
    with pytest.raises(BadSignature) as caught:
        make().unsign(forged)
    assert "private" not in repr(caught.value)
    with pytest.raises(CookieError) as refused:
        make().sign("private é")
    assert "private" not in repr(refused.value)
    assert issubclass(BadSignature, CookieError)


def test_a_value_of_one_cookie_is_none_of_another():
    for other in "sid2", "si", "SID", "__Host-sid":
        with pytest.raises(BadSignature):
            make(name=other).unsign(make().sign("value"))


def test_keys_rotate_oldest_first():
    by_old, by_new = make(OLD).sign("value"), make(NEW).sign("value")
    both = make([OLD, NEW])
    assert both.sign("value") == by_new
    assert both.unsign(by_old) == both.unsign(by_new) == "value"
    assert both.is_current(by_new)
    assert not both.is_current(by_old)
    with pytest.raises(BadSignature):
        make([NEW]).unsign(by_old)


def test_a_bare_key_is_one_key():
    assert make(NEW).sign("v") == make(NEW.encode()).sign("v") == make(iter([NEW])).sign("v")
    assert "keys=1" in repr(make(NEW))


@pytest.mark.parametrize(
    "secrets", ["", b"", "x" * 15, [], [NEW, ""], [NEW, "short"], None, 7, [None], [bytearray(20)],
                {NEW, OLD}, frozenset([NEW]), bytearray(20), "\ud800" * 20]
)  # fmt: skip
def test_unusable_keys(secrets):
    with pytest.raises(CookiePolicyError, match="python -m session_cookies secret") as caught:
        make(secrets)
    assert "short" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_unusable_cookie_name():
    with pytest.raises(CookiePolicyError):
        make(name="a b")


def test_no_secret_in_the_repr():
    shown = repr(make([OLD, NEW]))
    assert shown == "CookieSigner(cookie_name='sid', keys=2)"


@pytest.mark.parametrize("value", ["a b", "é", "a;b", "a\n", "\ud800", "v" * 4053])
def test_only_what_a_cookie_can_carry_is_signed(value):
    with pytest.raises(CookieError):
        make().sign(value)


def test_the_longest_value():
    signed = make().sign("v" * 4052)
    assert len(signed) == 4096
    assert make().unsign(signed) == "v" * 4052


def test_keys_are_derived_once(monkeypatch):
    derived = []
    original = itsdangerous.Signer.derive_key
    monkeypatch.setattr(
        itsdangerous.Signer,
        "derive_key",
        lambda self, *args: derived.append(1) or original(self, *args),
    )
    signer = make([OLD, NEW])
    for _ in range(3):
        signer.unsign(signer.sign("value"))
    assert len(derived) == 2


def test_sha1_is_nowhere(monkeypatch):
    monkeypatch.setattr(hashlib, "sha1", None)
    assert make().unsign(make().sign("value")) == "value"


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "1234" * 10,
        "change-me-before-you-go-live",
        "Change Me, please, some day 42",
        "this is my SUPER_SECRET value 1",
        b"your-secret-key-goes-here-1234",
        "password1password2password3",
    ],
)
def test_obvious_secrets_are_refused_with_the_command_that_makes_a_good_one(secret):
    with pytest.raises(CookiePolicyError, match="python -m session_cookies secret"):
        CookieSigner(secret, cookie_name="id")


def test_the_command_makes_secrets_that_are_accepted():
    command = [sys.executable, "-m", "session_cookies"]
    made = {subprocess.check_output([*command, "secret"], text=True).strip() for _ in range(2)}
    assert len(made) == 2
    CookieSigner(sorted(made), cookie_name="id")
    assert subprocess.run(command, capture_output=True).returncode == 2
