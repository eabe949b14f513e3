"""Options: what they do, what the environment overrides, and what cannot work."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from bottle import request

from session_bottle import BottleSessions
from session_cookies import CookiePolicyError
from session_core import ConfigurationError, MemoryStore, SessionError


def set_cookie(app, browse, **environ):
    app.route("/", callback=lambda: request.session.update(a=1))
    return browse(app)("/", **environ).get("Set-Cookie")


def attributes(cookie):
    return cookie.split("; ")[1:]


def test_attributes_of_the_plugin(app):
    store = MemoryStore()
    btl = BottleSessions(app, store, "name", 60, False, "/app", "data")
    assert (btl.cookie_name, btl.cookie_expire, btl.cookie_secure) == ("name", 60, False)
    assert BottleSessions(session_expire="60").cookie_expire == 60
    assert (btl.session_path, btl.name, btl.backing) == ("/app", "data", store)


def test_defaults():
    btl = BottleSessions()
    assert (btl.cookie_name, btl.cookie_expire, btl.cookie_secure, btl.session_path, btl.name) == (
        "bottlecookie",
        300,
        True,
        "/",
        "session",
    )
    assert btl.backing.cache_type == "SimpleCache"


LAX = "SameSite=Lax; Secure"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"session_secure": False}, "HttpOnly; Max-Age=300; Path=/; SameSite=Lax"),
        ({"session_expire": 60}, f"HttpOnly; Max-Age=60; Path=/; {LAX}"),
        ({"session_expire": timedelta(minutes=2)}, f"HttpOnly; Max-Age=120; Path=/; {LAX}"),
        (
            {"session_expire": 600, "session_absolute": 90.5},
            f"HttpOnly; Max-Age=91; Path=/; {LAX}",
        ),
        ({"session_samesite": "None"}, "HttpOnly; Max-Age=300; Path=/; SameSite=None; Secure"),
        ({"session_samesite": "strict"}, "HttpOnly; Max-Age=300; Path=/; SameSite=Strict; Secure"),
        ({"session_samesite": None}, "HttpOnly; Max-Age=300; Path=/; Secure"),
        ({"session_path": "/app"}, f"HttpOnly; Max-Age=300; Path=/app; {LAX}"),
        (
            {"session_domain": "example.com"},
            f"Domain=example.com; HttpOnly; Max-Age=300; Path=/; {LAX}",
        ),
        ({"session_partitioned": True}, f"HttpOnly; Max-Age=300; Partitioned; Path=/; {LAX}"),
    ],
)
def test_cookie_options(app, browse, options, expected):
    BottleSessions(app, **options)
    assert attributes(set_cookie(app, browse)) == expected.split("; ")


def test_a_cookie_that_ends_with_the_browser_is_sent_once(app, browse):
    BottleSessions(app, session_persistent=False)
    app.route("/", callback=lambda: request.session.update(a=1))
    app.route("/renew", callback=lambda: request.session.session_regenerate())
    visit = browse(app)
    assert attributes(visit("/").get("Set-Cookie")) == f"HttpOnly; Path=/; {LAX}".split("; ")
    assert visit("/").get("Set-Cookie") is None
    assert "Max-Age" not in visit("/renew").get("Set-Cookie")


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "False", " OFF "])
def test_session_secure_in_the_environment_can_be_false(monkeypatch, text):
    monkeypatch.setenv("SESSION_SECURE", text)
    assert BottleSessions().cookie_secure is False


@pytest.mark.parametrize("text", ["true", "1", "yes", "on"])
def test_session_secure_in_the_environment_overrides(monkeypatch, text):
    monkeypatch.setenv("SESSION_SECURE", text)
    assert BottleSessions(session_secure=False).cookie_secure is True


def test_the_environment_overrides(monkeypatch):
    monkeypatch.setenv("SESSION_COOKIE", "fromenv")
    monkeypatch.setenv("SESSION_LIFE", "77")
    monkeypatch.setenv("SESSION_PATH", "/env")
    btl = BottleSessions(session_cookie="given", session_expire=5, session_path="/given")
    assert (btl.cookie_name, btl.cookie_expire, btl.session_path) == ("fromenv", 77, "/env")


def test_the_old_names_in_the_environment_still_count(monkeypatch):
    monkeypatch.setenv("SECURE_COOKIE", "0")
    monkeypatch.setenv("SECURE_PATH", "/old")
    with pytest.warns(DeprecationWarning, match="is now called SESSION_") as warned:
        btl = BottleSessions()
    assert (btl.cookie_secure, btl.session_path) == (False, "/old")
    assert {str(each.message).split()[3] for each in warned} == {"SECURE_PATH", "SECURE_COOKIE"}


def test_empty_variables_do_not_count(monkeypatch):
    for name in ("SESSION_COOKIE", "SESSION_LIFE", "SESSION_SECURE", "SESSION_PATH"):
        monkeypatch.setenv(name, "")
    btl = BottleSessions()
    assert (btl.cookie_name, btl.cookie_expire, btl.cookie_secure) == ("bottlecookie", 300, True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"session_expire": 0}, ConfigurationError, "session_expire must be a number of seconds"),
        ({"session_expire": "soon"}, ConfigurationError, "must be whole seconds, not 'soon'"),
        ({"session_expire": "0"}, ConfigurationError, "session_expire must be a number"),
        ({"session_absolute": -1}, ConfigurationError, "absolute_timeout must be a number"),
        ({"session_cookie": "a b"}, CookiePolicyError, "name"),
        ({"session_cookie": "__Host-a", "session_secure": False}, CookiePolicyError, "secure=True"),
        ({"session_path": "app"}, CookiePolicyError, "path"),
        ({"session_samesite": "sometimes"}, CookiePolicyError, "same_site"),
        ({"session_samesite": "None", "session_secure": False}, CookiePolicyError, "secure=True"),
        ({"session_partitioned": True, "session_secure": False}, CookiePolicyError, "secure=True"),
        ({"session_secret": "short"}, CookiePolicyError, "python -m session_cookies secret"),
        ({"session_reference": "not a name"}, ConfigurationError, "session_reference"),
        ({"session_on_outage": "panic"}, ConfigurationError, "'error' or 'anonymous'"),
        ({"session_backing": 7}, ConfigurationError, "session_backing cannot be a int"),
        ({"session_backing": object}, ConfigurationError, "session_backing cannot be"),
        ({"session_same_site": "Lax"}, ConfigurationError, "no option session_same_site"),
        (
            {"session_backing": MemoryStore(), "cache_type": "Redis"},
            ConfigurationError,
            "cache_type: options of a backing",
        ),
    ],
)
def test_what_cannot_work_says_what_to_do(options, error, message):
    with pytest.raises(error, match=message):
        BottleSessions(**options)


def test_a_wrong_life_in_the_environment(monkeypatch):
    monkeypatch.setenv("SESSION_LIFE", "soon")
    with pytest.raises(ConfigurationError, match="SESSION_LIFE"):
        BottleSessions()


def test_an_object_that_carries_a_store_is_a_backing(app, browse):
    class Carrier:
        store = MemoryStore()

    btl = BottleSessions(app, Carrier())
    assert set_cookie(app, browse)
    assert len(btl.backing.store) == 1


# -- signing ---------------------------------------------------------------------------------

OLD, NEW = "an old secret of enough length", "a new secret of enough length"


def secret_app(app, browse, store, secret):
    BottleSessions(app, store, session_secret=secret)
    app.route("/count", callback=lambda: request.session.update(n=request.session.get("n", 0) + 1))
    app.route("/read", callback=lambda: str(request.session.get("n")))
    return browse(app)


def test_a_signed_cookie(app, browse):
    visit = secret_app(app, browse, MemoryStore(), NEW)
    visit("/count")
    value = visit.cookies["bottlecookie"][0]
    assert len(value) == 43 + 1 + 43
    assert visit("/read").text == "1"
    visit.cookies["bottlecookie"] = (value[:43], "/")
    assert visit("/read").text == "None"
    visit.cookies["bottlecookie"] = (value[:-1] + ("A" if value[-1] != "A" else "B"), "/")
    assert visit("/read").text == "None"


def test_keys_rotate_oldest_first(browse):
    from bottle import Bottle

    store = MemoryStore()
    first = secret_app(Bottle(), browse, store, OLD)
    first("/count")
    second = secret_app(Bottle(), browse, store, [OLD, NEW])
    second.cookies = first.cookies
    assert second("/read").text == "1"
    second("/count")
    third = secret_app(Bottle(), browse, store, [NEW])
    third.cookies = second.cookies
    assert third("/read").text == "2"
    fourth = secret_app(Bottle(), browse, store, [OLD])
    fourth.cookies = second.cookies
    assert fourth("/read").text == "None"


# -- nothing is printed and nothing leaks -------------------------------------------------------


def test_nothing_is_printed_and_no_id_or_data_is_logged(app, browse, capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        btl = BottleSessions(app, session_secret=NEW)

        @app.route("/")
        def view():
            request.session["canary"] = "data-canary"
            request.session.session_regenerate()

        visit = browse(app)
        visit("/")
        visit("/")
        visit.cookies["bottlecookie"] = (visit.cookies["bottlecookie"][0] + "x", "/")
        visit("/")
    assert capfd.readouterr() == ("", "")
    value = visit.cookies["bottlecookie"][0]
    text = caplog.text + repr(btl) + repr(btl.manager) + repr(btl.cookies[True]) + repr(btl.backing)
    for secret in (value[:20], value[-20:], "data-canary", NEW):
        assert secret not in text


def test_events_reach_the_hook(app, browse):
    events = []
    BottleSessions(app, session_on_event=events.append)
    app.route("/", callback=lambda: request.session.update(a=1))
    visit = browse(app)
    visit.cookies["bottlecookie"] = ("A" * 43, "/")
    visit("/")
    assert [event.name for event in events] == ["unknown", "created"]


def test_the_hook_can_be_set_later(app, browse):
    first, second = [], []
    btl = BottleSessions(app, session_on_event=first.append)
    app.route("/", callback=lambda: request.session.update(a=1))
    assert btl.on_event == first.append
    browse(app)("/")
    btl.on_event = second.append
    browse(app)("/")
    btl.on_event = None
    browse(app)("/")
    assert ([e.name for e in first], [e.name for e in second]) == (["created"], ["created"])


def test_an_error_while_opening_is_not_a_missing_attribute(app, browse):
    def clock():
        raise KeyError("oops")

    store = MemoryStore()
    session = BottleSessions(session_backing=store).manager.open()
    session["a"] = 1
    session.session_save()
    BottleSessions(app, store, session_clock=clock)
    caught = []

    @app.route("/")
    def view():
        try:
            request.session
        except SessionError as error:
            caught.append((str(error), type(error.__cause__)))
        return "fine"

    visit = browse(app)
    visit.cookies["bottlecookie"] = (session.session_id, "/")
    assert visit("/").text == "fine"
    assert caught == [("the session could not be opened: KeyError", KeyError)]
