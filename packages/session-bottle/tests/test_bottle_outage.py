"""A store that cannot be asked is a 503, wherever in the request it strikes."""

from __future__ import annotations

import logging

import pytest
from bottle import HTTPError, request, response

from session_bottle import BottleSessions, SessionUnavailable
from session_core import MemoryStore, StoreUnavailable


class Breakable(MemoryStore):
    """Fails at the verbs named in ``broken``."""

    def __init__(self):
        super().__init__()
        self.broken = set()
        self.asked = 0

    def _check(self, verb):
        self.asked += 1
        if verb in self.broken:
            raise OSError("connection refused")

    def load(self, key):
        self._check("load")
        return super().load(key)

    def create(self, key, record, ttl):
        self._check("create")
        return super().create(key, record, ttl)

    def replace(self, key, version, record, ttl):
        self._check("replace")
        return super().replace(key, version, record, ttl)


@pytest.fixture
def store():
    return Breakable()


@pytest.fixture
def visit(app, browse, store):
    BottleSessions(app, store)
    app.route("/set", callback=lambda: request.session.update(a={}))
    app.route("/read", callback=lambda: str(request.session.get("a")))
    visit = browse(app)
    visit("/set")
    return visit


def assert_unavailable(reply, page=None):
    assert reply.code == 503
    assert reply.get("Retry-After") == "5"
    assert reply.get("Set-Cookie") is None
    if page is not None:
        assert reply.text == page


def everywhere(app):
    def touch():
        return str(request.session["a"])

    def save():
        request.session["a"]["b"] = 1
        request.session.session_save(force=True)

    def save_at_the_end():
        request.session["a"]["b"] = 1

    def save_in_a_generator():
        save()
        yield "chunk"

    def touch_in_a_generator():
        yield touch()

    return {
        "first use": ("load", "/x", touch),
        "commit": ("replace", "/x", save_at_the_end),
        "save": ("replace", "/x", save),
        "delete": ("replace", "/x", lambda: request.session.session_delete()),
        "atomic": ("replace", "/x", lambda: request.session.session_atomic(lambda d: d.clear())),
        "use in a generator": ("load", "/x", touch_in_a_generator),
        "save in a generator": ("replace", "/x", save_in_a_generator),
        "before_request": ("load", "/read", lambda: app.add_hook("before_request", touch)),
        "after_request": ("load", "/y", lambda: app.add_hook("after_request", touch)),
        "save in a hook": ("replace", "/y", lambda: app.add_hook("after_request", save)),
        "error page": ("load", "/nowhere", lambda: app.error(404)(lambda error: touch())),
        "save in an error page": ("replace", "/nowhere", lambda: app.error(404)(lambda e: save())),
    }


PLACES = list(everywhere(None))


@pytest.mark.parametrize("own_page", [False, True], ids=["default page", "own page"])
@pytest.mark.parametrize("place", PLACES)
def test_503_wherever_it_strikes(app, visit, store, place, own_page):
    verb, path, what = everywhere(app)[place]
    app.route("/y", callback=lambda: "fine")
    if path == "/x":
        app.route("/x", callback=what)
    else:
        what()
    if own_page:
        app.error(503)(lambda error: f"our page for {error.status_code}")
    store.broken = {verb}
    reply = visit(path)
    assert_unavailable(reply, "our page for 503" if own_page else None)
    assert "bottlecookie" in visit.cookies
    store.broken = set()
    assert visit("/read").code == 200


def test_the_apps_503_page_may_itself_want_the_session(app, visit, store):
    app.error(503)(lambda error: f"sorry {request.session['user']}")
    store.broken = {"load"}
    reply = visit("/read")
    assert_unavailable(reply)
    assert reply.text == "The session store cannot be reached at the moment. Please try again."


def test_a_503_page_with_a_mistake_is_logged(app, visit, store, caplog):
    app.error(503)(lambda error: {}["mistake"])
    store.broken = {"replace"}
    assert_unavailable(visit("/set"))
    assert "the app's own page for 503 failed" in caplog.text
    assert "KeyError: 'mistake'" in caplog.text


def test_a_commit_that_fails_replaces_the_answer(app, visit, store):
    @app.route("/file")
    def download():
        request.session["b"] = 1
        response.set_cookie("own", "cookie")
        response.set_header("Content-Disposition", "attachment")
        return "secret file"

    store.broken = {"replace"}
    reply = visit("/file")
    assert_unavailable(reply)
    assert "secret file" not in reply.text
    assert reply.get("Content-Disposition") is None


@pytest.mark.parametrize(("verb", "path"), [("load", "/read"), ("replace", "/set")])
def test_head_during_an_outage(visit, store, verb, path):
    store.broken = {verb}
    reply = visit(path, "HEAD")
    assert_unavailable(reply)
    assert reply.body == b""


def test_one_request_asks_once(app, visit, store):
    @app.route("/insist")
    def insist():
        for _ in range(5):
            with pytest.raises(StoreUnavailable) as caught:
                request.session["a"]
        assert isinstance(caught.value, SessionUnavailable)
        assert isinstance(caught.value, HTTPError)
        assert isinstance(caught.value.__cause__.__cause__, OSError)
        return "went on without"

    store.broken = {"load"}
    store.asked = 0
    assert visit("/insist").text == "went on without"
    assert store.asked == 1


def test_routes_without_session_do_not_notice(app, visit, store):
    app.route("/plain", callback=lambda: "plain")
    store.broken = {"load"}
    assert visit("/plain").text == "plain"


def test_what_was_deleted_before_the_fault_stays_deleted(app, browse, store):
    BottleSessions(app, store)
    BottleSessions(app, Breakable(), session_cookie="b", session_reference="b")
    app.route("/set", callback=lambda: request.session.update(a=1))

    @app.route("/logout")
    def logout():
        request.session.session_delete()
        store.broken = {"load"}
        raise RuntimeError("and then it fails")

    visit = browse(app)
    visit("/set")
    reply = visit("/logout")
    assert reply.code == 500
    assert "Max-Age=0" in reply.get("Set-Cookie")


def test_anonymous_gives_an_empty_unsaved_session(app, browse, store, caplog):
    BottleSessions(app, store, session_on_outage="anonymous")
    app.route("/set", callback=lambda: request.session.update(a=1))
    app.route("/read", callback=lambda: str(request.session.get("a")))
    app.route("/delete", callback=lambda: request.session.session_delete())
    app.route("/login", callback=lambda: request.session.session_login("alice"))
    app.route("/renew", callback=lambda: request.session.session_regenerate())
    visit = browse(app)
    visit("/set")
    before = dict(visit.cookies)
    store.broken = {"load", "create", "replace"}
    with caplog.at_level(logging.WARNING):
        assert visit("/read").text == "None"
        assert visit("/set").get("Set-Cookie") is None
    assert "write dropped" in caplog.text
    for path in ("/delete", "/login", "/renew"):
        assert_unavailable(visit(path))
    assert visit.cookies == before
    store.broken = set()
    assert visit("/read").text == "1"


def test_the_error_says_what_failed_without_data(app, visit, store, caplog):
    store.broken = {"load"}
    with caplog.at_level(logging.ERROR):
        visit("/read")
    assert "unavailable (Breakable.load failed: OSError)" in caplog.text
