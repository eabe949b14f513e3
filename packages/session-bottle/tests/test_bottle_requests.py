"""Every way in which a Bottle app can answer saves the session and sends the cookie."""

from __future__ import annotations

import gc
import io
import json
import logging
import threading
import weakref

import bottle
import pytest
from bottle import HTTPError, HTTPResponse, abort, redirect, request, response, static_file

from session_bottle import BottleSessions, get_session
from session_core import MemoryStore, SessionClosed, SessionDeleted, UnstorableValue


class CountingStore(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self.calls = []

    def load(self, key):
        self.calls.append("load")
        return super().load(key)

    def create(self, key, record, ttl):
        self.calls.append("create")
        return super().create(key, record, ttl)

    def replace(self, key, version, record, ttl):
        self.calls.append("replace")
        return super().replace(key, version, record, ttl)


@pytest.fixture
def store(clock):
    return CountingStore(clock=clock)


@pytest.fixture
def btl(app, store, clock):
    return BottleSessions(app, store, session_clock=clock)


@pytest.fixture
def visit(app, btl, browse):
    @app.route("/get/<key>")
    def get_value(key):
        return {key: request.session.get(key, "does not exist")}

    return browse(app)


def test_the_cookie_is_the_classic_one(app, visit):
    @app.route("/")
    def set_value():
        request.session["a"] = 1
        return "done"

    cookie = visit("/").get("Set-Cookie")
    name, _, rest = cookie.partition("=")
    value, _, attributes = rest.partition("; ")
    assert name == "bottlecookie"
    assert len(value) == 43
    assert attributes == "HttpOnly; Max-Age=300; Path=/; SameSite=Lax; Secure"


def test_a_request_that_never_mentions_its_session_costs_nothing(app, visit, store):
    app.route("/", callback=lambda: "hello")
    visit("/set")
    visit.cookies["bottlecookie"] = ("x" * 43, "/")
    reply = visit("/")
    assert reply.get("Set-Cookie") is None
    assert reply.get("Vary") is None
    assert store.calls == []


def test_a_visitor_who_stores_nothing_gets_no_cookie(visit, store):
    reply = visit("/get/a")
    assert reply.text == '{"a": "does not exist"}'
    assert reply.get("Set-Cookie") is None
    assert reply.get("Vary") == "Cookie"
    assert store.calls == []


def test_round_trips(app, visit, store):
    @app.route("/set")
    def set_value():
        request.session["a"] = [1]

    visit("/set")
    assert store.calls == ["create"]
    visit("/get/a")
    assert store.calls == ["create", "load"]
    visit("/set")
    assert store.calls == ["create", "load", "load", "replace"]


def send_static(tmp_path):
    (tmp_path / "page.txt").write_text("a page")
    return static_file("page.txt", root=str(tmp_path))


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (lambda tmp: None, 200, ""),
        (lambda tmp: "", 200, ""),
        (lambda tmp: "text", 200, "text"),
        (lambda tmp: b"bytes", 200, "bytes"),
        (lambda tmp: ["a", "b"], 200, "ab"),
        (lambda tmp: {"k": 1}, 200, '{"k": 1}'),
        (lambda tmp: (chunk for chunk in ["a", "b"]), 200, "ab"),
        (lambda tmp: redirect("/next", 307), 307, ""),
        (lambda tmp: abort(403, "no"), 403, None),
        (lambda tmp: HTTPResponse("made", 201), 201, "made"),
        (lambda tmp: HTTPError(404, "gone"), 404, None),
        (lambda tmp: send_static(tmp), 200, "a page"),
        (lambda tmp: response.copy(HTTPResponse), 200, ""),
    ],
    ids=["none", "empty", "text", "bytes", "list", "dict", "generator", "redirect", "abort",
         "response", "error", "static", "copy"],
)  # fmt: skip
@pytest.mark.parametrize("raised", [False, True], ids=["returned", "raised"])
def test_every_kind_of_answer_saves(app, visit, tmp_path, answer, code, text, raised):
    @app.route("/set")
    def set_value():
        request.session["a"] = 1
        result = answer(tmp_path)
        if raised and isinstance(result, HTTPResponse):
            raise result
        return result

    reply = visit("/set")
    assert reply.code == code
    if text is not None:
        assert reply.text == text
    assert reply.get("Set-Cookie")
    assert visit("/get/a").text == '{"a": 1}'


def test_head(app, visit):
    @app.route("/set")
    def set_value():
        request.session["a"] = 1
        return "text"

    reply = visit("/set", "HEAD")
    assert reply.body == b""
    assert reply.get("Set-Cookie")
    assert visit("/get/a").text == '{"a": 1}'


@pytest.mark.parametrize("how", ["exception", "abort", "returned", "status", "generator"])
def test_a_handler_that_fails_saves_nothing(app, visit, store, how):
    @app.route("/fail")
    def fail():
        request.session["a"] = 1
        if how == "exception":
            raise KeyError("oops")
        if how == "abort":
            abort(500, "oops")
        if how == "returned":
            return HTTPResponse("oops", 502)
        if how == "generator":
            return (1 / 0 for _ in "a")
        response.status = 503
        return "oops"

    reply = visit("/fail")
    assert reply.code >= 500
    assert reply.get("Set-Cookie") is None
    assert store.calls == []


def test_the_first_chunk_of_a_generator_may_still_change_the_session(app, visit):
    @app.route("/stream")
    def stream():
        request.session["a"] = 1
        yield "one"
        yield "two"

    reply = visit("/stream")
    assert (reply.text, bool(reply.get("Set-Cookie"))) == ("onetwo", True)
    assert visit("/get/a").text == '{"a": 1}'


def test_after_the_headers_a_change_raises_and_a_nested_one_is_logged(app, visit, caplog):
    @app.route("/late")
    def late():
        request.session["cart"] = {}
        yield "one"
        with pytest.raises(SessionClosed, match="headers have left"):
            request.session["b"] = 1
        request.session["cart"]["apples"] = 3
        yield str(len(request.session))

    @app.route("/first")
    def first():
        yield "one"
        with pytest.raises(SessionClosed, match="too late"):
            request.session
        yield "two"

    with caplog.at_level(logging.WARNING):
        assert visit("/late").text == "one1"
    assert "after the response headers had left" in caplog.text
    assert visit("/first").text == "onetwo"
    assert visit("/get/cart").text == '{"cart": {}}'


def test_hooks_and_error_pages_read_and_write(app, visit):
    seen = []

    @app.hook("before_request")
    def before():
        request.session["before"] = request.session.get("before", 0) + 1

    @app.hook("after_request")
    def after():
        request.session["after"] = request.session.get("after", 0) + 1

    @app.error(404)
    def not_found(error):
        request.session["missed"] = request.path
        seen.append(dict(request.session))
        return "nothing here"

    reply = visit("/nowhere")
    assert (reply.code, reply.text) == (404, "nothing here")
    assert seen == [{"before": 1, "after": 1, "missed": "/nowhere"}]
    visit("/get/a")
    assert visit("/get/before").text == '{"before": 3}'
    assert visit("/get/after").text == '{"after": 3}'


def test_request_session_is_one_object_and_a_dict(app, visit):
    @app.route("/set")
    def set_value():
        assert request.session is request.session
        assert isinstance(request.session, dict)
        request.session.update(a=1, b=[2])
        return request.session

    @app.route("/dump")
    def dump():
        return json.dumps(request.session, indent=4)

    @app.route("/all")
    def everything():
        s = request.session
        return repr([len(s), bool(s), s == {"a": 1, "b": [2]}, "a" in s, list(s), s | {"c": 3}])

    assert json.loads(visit("/set").text) == {"a": 1, "b": [2]}
    assert visit("/dump").text == '{\n    "a": 1,\n    "b": [\n        2\n    ]\n}'
    assert visit("/all").text == repr([2, True, True, True, ["a", "b"], {"a": 1, "b": [2], "c": 3}])


def test_nested_changes_count(app, visit):
    @app.route("/set")
    def set_value():
        request.session["cart"] = {"apples": 1}

    @app.route("/add")
    def add():
        request.session["cart"]["apples"] += 1

    visit("/set")
    visit("/add")
    assert visit("/get/cart").text == '{"cart": {"apples": 2}}'


def test_writing_extends_and_reading_does_not(app, visit, clock):
    @app.route("/set")
    def set_value():
        request.session.update(a=1)

    visit("/set")
    clock.advance(200)
    assert visit("/get/a").get("Set-Cookie") is None
    assert visit("/set").get("Set-Cookie")
    clock.advance(299)
    assert visit("/get/a").text == '{"a": 1}'
    clock.advance(2)
    assert visit("/get/a").text == '{"a": "does not exist"}'


def test_rolling_extends_on_reading_once_per_tenth(app, browse, clock, store):
    BottleSessions(app, store, session_clock=clock, session_rolling=True)

    @app.route("/set")
    def set_value():
        request.session["a"] = 1

    app.route("/read", callback=lambda: str(request.session["a"]))
    visit = browse(app)
    visit("/set")
    for _ in range(20):
        clock.advance(29)
        assert visit("/read").text == "1"
    assert store.calls.count("replace") == 10


def test_the_absolute_timeout_ends_a_session_that_is_used(app, browse, clock, store):
    BottleSessions(app, store, session_clock=clock, session_absolute=700)

    @app.route("/count")
    def count():
        request.session["n"] = request.session.get("n", 0) + 1
        return str(request.session["n"])

    visit = browse(app)
    seen = []
    for _ in range(5):
        seen.append(visit("/count").text)
        clock.advance(200)
    assert seen == ["1", "2", "3", "4", "1"]


def test_an_unknown_id_is_never_adopted(app, visit):
    @app.route("/set")
    def set_value():
        request.session["a"] = 1

    chosen = "A" * 43
    visit.cookies["bottlecookie"] = (chosen, "/")
    visit("/set")
    assert visit.cookies["bottlecookie"][0] != chosen


def test_regenerate_and_delete(app, visit):
    @app.route("/set")
    def set_value():
        request.session["a"] = 1

    @app.route("/regenerate")
    def regenerate():
        old = request.session.session_id
        request.session.session_regenerate()
        assert request.session.session_id != old
        return request.session.session_id

    @app.route("/delete")
    def delete():
        request.session.session_delete()
        assert request.session.session_deleted
        with pytest.raises(SessionDeleted):
            request.session["a"]
        abort(500, "even then")

    visit("/set")
    old = visit.cookies["bottlecookie"]
    assert visit("/regenerate").text == visit.cookies["bottlecookie"][0] != old[0]
    assert visit("/get/a").text == '{"a": 1}'
    new = visit.cookies["bottlecookie"]
    reply = visit("/delete")
    assert reply.code == 500
    assert reply.get("Set-Cookie").endswith("; Max-Age=0; Path=/; SameSite=Lax; Secure")
    for stale in (old, new):
        visit.cookies["bottlecookie"] = stale
        assert visit("/get/a").text == '{"a": "does not exist"}'


def test_delete_works_for_a_visitor_without_session(app, visit):
    @app.route("/delete")
    def delete():
        request.session.session_delete()

    assert "Max-Age=0" in visit("/delete").get("Set-Cookie")


def test_a_value_that_cannot_be_stored_is_the_apps_500(app, visit, store):
    @app.route("/set")
    def set_value():
        request.session["a"] = {"b": [object()]}
        return "fine"

    @app.error(500)
    def failed(error):
        assert isinstance(error.exception, UnstorableValue)
        return f"our page: {error.exception}"

    reply = visit("/set")
    assert reply.code == 500
    assert reply.text.startswith("our page: session['a']['b'][0]: an object of type")
    assert "UnstorableValue" in reply.errors
    assert reply.get("Set-Cookie") is None
    assert store.calls == []


def test_a_value_that_cannot_be_stored_raises_when_the_app_does_not_catch(app, browse, btl):
    app.catchall = False

    @app.route("/set")
    def set_value():
        request.session["a"] = object()

    with pytest.raises(UnstorableValue):
        browse(app, validated=False)("/set")


def test_get_session_is_request_session(app, visit):
    app.route("/same", callback=lambda: str(get_session(request) is request.session))
    assert visit("/same").text == "True"


def test_threads_keep_their_sessions_apart(app, btl, browse):
    @app.route("/count/<name>")
    def count(name):
        session = request.session
        session[name] = session.get(name, 0) + 1
        return json.dumps(session)

    results = {}

    def work(name):
        visit = browse(app)
        for _ in range(20):
            results[name] = visit(f"/count/{name}").text

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {name: json.dumps({name: 20}) for name in "abcdefgh"}


def test_assigning_request_session_is_noticed(app, visit, caplog, bottle_12):
    @app.route("/assign")
    def assign():
        request.session = {"a": 1}

    with caplog.at_level(logging.WARNING):
        reply = visit("/assign")
    if bottle_12:
        assert reply.code == 200
        assert "request.session.update(...)" in caplog.text
    else:
        assert reply.code == 500


def test_an_apps_own_vary_header_stays(app, visit):
    @app.route("/vary")
    def vary():
        response.set_header("Vary", "Accept")
        return str(len(request.session))

    assert visit("/vary").get("Vary") == "Accept, Cookie"


def test_the_default_app(browse):
    with PushedApp():
        BottleSessions(bottle.default_app())

        @bottle.route("/set")
        def set_value():
            request.session["a"] = 1

        assert browse(bottle.default_app())("/set").get("Set-Cookie")


class PushedApp:
    def __enter__(self):
        return bottle.app.push()

    def __exit__(self, *_):
        bottle.app.pop()


def test_a_request_is_freed_without_the_garbage_collector(app, btl, browse):
    app.route("/set", callback=lambda: request.session.update(a=1))

    class Input(io.BytesIO):
        pass

    source = Input()
    freed = weakref.ref(source)
    gc.disable()
    try:
        browse(app, validated=False)("/set", **{"wsgi.input": source})
        request.bind({})
        del source
        assert freed() is None
    finally:
        gc.enable()
