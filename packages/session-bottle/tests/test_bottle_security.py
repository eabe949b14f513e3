"""What a browser is told and refuses, logins, and how to find out why."""

from __future__ import annotations

import logging

import pytest
from bottle import Bottle, request, response

from session_bottle import BottleSessions
from session_cookies import CookiePolicyError
from session_core import MemoryStore

KEY = "a key that nobody else has, 4711"


def set_and_read(app):
    app.route("/set", callback=lambda: request.session.update(a=1))
    app.route("/read", callback=lambda: str(request.session.get("a")))
    app.route("/nothing", callback=lambda: "nothing")


# -- secure ------------------------------------------------------------------------------------


def test_auto_follows_the_scheme(app, browse):
    BottleSessions(app, session_secure="auto")
    set_and_read(app)
    visit = browse(app)
    assert "Secure" not in visit("/set").get("Set-Cookie")
    assert "; Secure" in visit("/set", **{"wsgi.url_scheme": "https"}).get("Set-Cookie")


def test_auto_in_the_environment(monkeypatch):
    monkeypatch.setenv("SESSION_SECURE", "auto")
    assert BottleSessions().cookie_secure == "auto"


def test_auto_does_not_go_with_what_needs_secure():
    with pytest.raises(CookiePolicyError, match="secure=True"):
        BottleSessions(session_secure="auto", session_cookie="__Host-id")


@pytest.mark.parametrize(
    ("environ", "warned"),
    [
        ({"HTTP_HOST": "shop.example"}, True),
        ({"HTTP_HOST": "shop.example", "HTTP_X_FORWARDED_PROTO": "https"}, False),
        ({"HTTP_HOST": "shop.example", "wsgi.url_scheme": "https"}, False),
        ({"HTTP_HOST": "localhost:8080"}, False),
        ({"HTTP_HOST": "127.0.0.1:8080"}, False),
        ({"HTTP_HOST": "app.localhost"}, False),
    ],
)
def test_a_secure_cookie_over_plain_http_is_logged_once(app, browse, caplog, environ, warned):
    BottleSessions(app)
    set_and_read(app)
    visit = browse(app)
    visit("/nothing", **environ)
    visit("/read", **environ)
    assert not caplog.records
    for _ in range(3):
        visit("/set", **environ)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warned
    assert not warned or "session_secure=False" in caplog.text


# -- headers -----------------------------------------------------------------------------------


def test_a_session_cookie_is_not_to_be_cached(app, browse):
    BottleSessions(app)
    set_and_read(app)
    visit = browse(app)
    assert visit("/set").get("Cache-Control") == "no-store"
    assert visit("/read").get("Cache-Control") is None


def test_the_apps_own_cache_control_stays(app, browse):
    BottleSessions(app)

    @app.route("/")
    def view():
        request.session["a"] = 1
        response.set_header("cache-control", "private, max-age=5")

    assert browse(app)("/").get("Cache-Control") == "private, max-age=5"


def test_headers_can_be_left_alone(app, browse):
    BottleSessions(app, session_headers=False)
    set_and_read(app)
    visit = browse(app)
    reply = visit("/set")
    assert (reply.get("Cache-Control"), reply.get("Vary")) == (None, None)
    assert reply.get("Set-Cookie")
    assert visit("/read").get("Vary") is None


def test_a_life_above_400_days_is_warned_about_once(caplog):
    BottleSessions(session_expire=401 * 86400)
    (record,) = caplog.records
    assert "400 days" in record.getMessage()


# -- remember me -------------------------------------------------------------------------------


def test_remember_me(app, browse):
    BottleSessions(app, session_persistent=False)
    set_and_read(app)

    @app.route("/login/<how>")
    def login(how):
        request.session.session_login("alice")
        if how == "remember":
            request.session.session_persistent = True

    @app.route("/forget")
    def forget():
        request.session.session_persistent = False

    visit = browse(app)
    assert "Max-Age" not in visit("/login/briefly").get("Set-Cookie")
    assert visit("/set").get("Set-Cookie") is None
    assert "Max-Age=300" in visit("/login/remember").get("Set-Cookie")
    assert "Max-Age=300" in visit("/set").get("Set-Cookie")
    assert "Max-Age" not in visit("/forget").get("Set-Cookie")
    assert visit("/set").get("Set-Cookie") is None
    assert visit("/read").text == "1"


# -- login -------------------------------------------------------------------------------------


def test_login_in_one_call(app, browse, clock):
    events = []
    BottleSessions(app, session_clock=clock, session_absolute=1000, session_on_event=events.append)
    set_and_read(app)

    @app.route("/login")
    def login():
        session = request.session
        assert (session.session_owner, session.session_authenticated_at) == (None, None)
        assert not session.session_fresh(1e9)
        session["basket"] = session.pop("a")
        session.session_login("alice")
        return f"{session.session_owner} {session.session_fresh(0)}"

    @app.route("/who")
    def who():
        session = request.session
        age = clock() - (session.session_authenticated_at or 0)
        return f"{session.session_owner} {age:g} {session.session_fresh(60)} {dict(session)}"

    app.route("/left", callback=lambda: str(request.session.session_expires_in))
    app.route("/logout", callback=lambda: request.session.session_logout())
    visit = browse(app)
    visit("/set")
    before = visit.cookies["bottlecookie"]
    clock.advance(200)
    assert float(visit("/left").text) == pytest.approx(100)
    assert visit("/login").text == "alice True"
    after = visit.cookies["bottlecookie"]
    clock.advance(50)
    assert visit("/who").text == "alice 50 True {'basket': 1}"
    clock.advance(50)
    assert visit("/who").text == "alice 100 False {'basket': 1}"
    visit("/logout")
    for stale in (before, after):
        visit.cookies["bottlecookie"] = stale
        assert visit("/read").text == "None"
    assert [event.name for event in events] == ["created", "logged in", "logged out"]


# -- signing -----------------------------------------------------------------------------------


def test_the_secret_in_the_environment(monkeypatch, app, browse):
    monkeypatch.setenv("SESSION_SECRET", KEY)
    BottleSessions(app)
    set_and_read(app)
    visit = browse(app)
    visit("/set")
    assert len(visit.cookies["bottlecookie"][0]) == 87


@pytest.mark.parametrize("persistent", [True, False])
def test_a_value_signed_with_an_old_key_is_issued_anew_at_the_next_write(browse, persistent):
    store, newer = MemoryStore(), "another key that nobody has, 815"
    visits = []
    for keys in ([KEY], [KEY, newer], [newer]):
        app = Bottle()
        BottleSessions(app, store, session_secret=keys, session_persistent=persistent)
        set_and_read(app)
        visits.append(browse(app))
    old, both, new = visits
    old("/set")
    both.cookies = old.cookies
    assert both("/read").get("Set-Cookie") is None
    assert both("/set").get("Set-Cookie")
    assert (both("/set").get("Set-Cookie") is not None) == persistent
    new.cookies = both.cookies
    assert new("/read").text == "1"


def test_a_refused_signature_is_an_event_and_never_reaches_the_store(app, browse):
    class Untouchable(MemoryStore):
        def load(self, key):
            raise AssertionError("asked")

    events = []
    BottleSessions(app, Untouchable(), session_secret=KEY, session_on_event=events.append)
    set_and_read(app)
    visit = browse(app)
    for value in ("A" * 43, "A" * 43 + "." + "B" * 43, "", "junk"):
        visit.cookies["bottlecookie"] = (value, "/")
        assert visit("/read").text == "None"
    assert {event.name for event in events} == {"signature refused"}


# -- explain -----------------------------------------------------------------------------------


def test_explain(app, browse, clock):
    btl = BottleSessions(app, session_secret=KEY, session_clock=clock)
    set_and_read(app)

    @app.route("/explain/<what>")
    def explain(what):
        if what == "read":
            len(request.session)
        elif what == "write":
            request.session["a"] = 2
        elif what == "delete":
            request.session.session_delete()
        return btl.explain()

    visit = browse(app)
    unused = "request.session has not been used so far: nothing is saved and no cookie is sent."
    assert visit("/explain/nothing").text == f"The request carries no cookie.\n{unused}"
    assert visit("/explain/read").text.endswith("nothing was put into it: no cookie is sent.")
    assert visit("/explain/write", HTTP_COOKIE="a=b").text == (
        "The request carries cookies, but none is called bottlecookie.\n"
        "A new session: unless the request fails, it is stored and its cookie sent."
    )
    accepted = "A cookie bottlecookie came, and its session is stored: accepted."
    assert visit("/explain/read").text == (
        f"{accepted}\nNothing was assigned so far: unless a value changes inside, "
        "no cookie is sent."
    )
    text = visit("/explain/write", HTTP_HOST="shop.example").text
    assert text == (
        f"{accepted}\nThe session is saved, and its cookie is sent again with a new life time.\n"
        "Over plain http browsers drop the cookie, because it is Secure."
    )
    value = visit.cookies["bottlecookie"][0]
    assert value[:20] not in text
    clock.advance(301)
    assert "timed out" in visit("/explain/nothing").text
    visit.cookies["bottlecookie"] = (value[:-1], "/")
    assert "its signature is not by one of our keys" in visit("/explain/nothing").text
    visit.cookies.clear()
    visit("/set")
    kept = dict(visit.cookies)
    assert visit("/explain/delete").text.endswith("the response removes the cookie.")
    visit.cookies = kept
    assert visit("/explain/read").text == (
        "A cookie bottlecookie came, but its session has just ended (ended).\n"
        "The session ended elsewhere: what is written to it is dropped, no cookie is sent."
    )


def test_explain_why_the_browser_kept_it(browse):
    app = Bottle()
    btl = BottleSessions(
        app, session_path="/app", session_domain="example.com", session_samesite="Strict"
    )
    app.route("/other", callback=lambda: btl.explain())
    text = browse(app)("/other", HTTP_HOST="shop.example").text
    assert text.splitlines()[1:-1] == [
        "The cookie is Secure and the request came over plain http: it stays away.",
        "The cookie is for /app and below, and this path is not.",
        "The cookie is for example.com, and this host is not in it.",
        "It is SameSite=Strict: who followed a link from another site has none.",
    ]
