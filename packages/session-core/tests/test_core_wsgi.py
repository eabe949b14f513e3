"""The plain WSGI layer: when it commits, what it sends, and what it does when something fails."""

import http.client
import io
import logging
import re
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from session_core import (
    ConfigurationError,
    IdCookie,
    MemoryStore,
    SessionClosed,
    SessionManager,
    StoreUnavailable,
    UnstorableValue,
)
from session_core.wsgi import SessionMiddleware, get_session

TEXT = [("Content-Type", "text/plain")]


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def cookie(self):
        cookies = self.all("Set-Cookie")
        assert len(cookies) <= 1
        return cookies[0] if cookies else None

    @property
    def pair(self):
        return self.cookie.partition(";")[0]


@pytest.fixture
def call(world):
    """Return a function that sends one request to an app behind the middleware."""

    def call(app, sent="", *, method="GET", check=True, **options):
        middleware = SessionMiddleware(app, world.manager, **options)
        environ = {"HTTP_COOKIE": sent, "REQUEST_METHOD": method, "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        started = []

        def start_response(status, headers, exc_info=None):
            assert not started or exc_info
            started.append((status, headers))
            return lambda data: None

        body = (validator(middleware) if check else middleware)(environ, start_response)
        try:
            chunks = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        return Reply(*started[-1], chunks)

    return call


def app_of(work, status="200 OK", headers=()):
    """Return an app that does ``work`` with its session and then answers."""

    def app(environ, start_response):
        work(get_session(environ))
        start_response(status, [*TEXT, *headers])
        return [b"done"]

    return app


def put(session):
    session["a"] = 1


def untouched(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [b"done"]


# -- over real HTTP ----------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def test_two_clients_count_over_real_http():
    def app(environ, start_response):
        session = get_session(environ)
        if environ["PATH_INFO"] == "/logout":
            session.session_logout()
            count = 0
        else:
            count = session.session_atomic(
                lambda data: data.update(n=data.get("n", 0) + 1) or data["n"]
            )
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(count).encode()]

    manager = SessionManager(MemoryStore())
    cookie = IdCookie("visit", secure=False)
    with make_server(
        "127.0.0.1", 0, SessionMiddleware(app, manager, cookie), handler_class=Quiet
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            jars = {"one": {}, "two": {}}

            def get(client, path="/"):
                jar = jars[client]
                connection = http.client.HTTPConnection(*server.server_address, timeout=5)
                header = "; ".join(f"{name}={value}" for name, value in jar.items())
                connection.request("GET", path, headers={"Cookie": header} if header else {})
                response = connection.getresponse()
                for cookie in response.headers.get_all("Set-Cookie", []):
                    name, value = cookie.partition(";")[0].split("=")
                    jar[name] = value
                    if "Max-Age=0" in cookie:
                        del jar[name]
                answer = response.read()
                connection.close()
                assert response.status == 200
                return int(answer)

            assert [get("one"), get("one"), get("two"), get("one")] == [1, 2, 1, 3]
            before = dict(jars["one"])
            assert get("one", "/logout") == 0
            assert jars["one"] == {}
            jars["one"].update(before)
            assert get("one") == 1
            assert get("two") == 2
        finally:
            server.shutdown()
            thread.join()


# -- what a request costs and sends ------------------------------------------------------------


def test_a_request_that_never_asks_for_its_session_costs_nothing(world, call):
    class Unread(IdCookie):
        def read(self, header):
            raise AssertionError("parsed")

    reply = call(untouched, "session=" + "A" * 43, cookie=Unread())
    assert reply.headers == TEXT
    assert world.store.took() == []


def test_a_read_sends_vary_and_no_cookie(world, call):
    reply = call(app_of(len))
    assert reply.cookie is None
    assert reply.all("Vary") == ["Cookie"]
    assert world.store.took() == []


def test_a_first_write_sends_the_cookie_and_the_next_request_finds_it(call):
    reply = call(app_of(put))
    assert re.fullmatch(
        r"session=[A-Za-z0-9_-]{43}; HttpOnly; Path=/; SameSite=Lax; Secure", reply.cookie
    )
    seen = []
    again = call(app_of(lambda session: seen.append(dict(session))), reply.pair)
    assert seen == [{"a": 1}]
    assert again.cookie is None


def test_without_a_life_time_a_write_sends_no_cookie_again(call):
    pair = call(app_of(put)).pair
    assert call(app_of(lambda session: session.update(b=1)), pair).cookie is None


def test_with_a_life_time_every_write_sends_it_again(call):
    first = call(app_of(put), persistent=True)
    assert "; Max-Age=300;" in first.cookie
    again = call(app_of(put), first.pair, persistent=True)
    assert again.cookie == first.cookie
    assert call(app_of(len), first.pair, persistent=True).cookie is None
    longer = call(app_of(lambda s: s.session_save(expire=999.5)), first.pair, persistent=True)
    assert "; Max-Age=1000;" in longer.cookie


def test_saving_early_and_changing_more_still_sends_the_cookie(call):
    def work(session):
        session["a"] = 1
        session.session_save()
        session["b"] = 2

    reply = call(app_of(work))
    seen = []
    call(app_of(lambda session: seen.append(dict(session))), reply.pair)
    assert seen == [{"a": 1, "b": 2}]


def test_a_logout_removes_the_cookie_with_the_same_attributes(call):
    first = call(app_of(put))
    reply = call(app_of(lambda session: session.session_logout()), first.pair)
    assert reply.cookie == (
        "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0; Path=/; "
        "SameSite=Lax; Secure"
    )
    late = call(app_of(put), first.pair)
    assert late.cookie is None


def test_the_session_is_the_same_object_at_every_call(call):
    def app(environ, start_response):
        assert get_session(environ) is get_session(environ)
        start_response("200 OK", list(TEXT))
        return []

    call(app)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["Cookie"]),
        (["Accept"], ["Accept, Cookie"]),
        (["cookie"], ["cookie"]),
        (["Accept, COOKIE , X"], ["Accept, COOKIE , X"]),
        (["*"], ["*"]),
        (["Cookie-Thing"], ["Cookie-Thing, Cookie"]),
    ],
)
def test_vary_is_merged(call, before, after):
    reply = call(app_of(len, headers=[("vary", value) for value in before]))
    assert reply.all("Vary") == after


def test_the_apps_own_headers_stay_and_its_list_is_not_changed(call):
    headers = [*TEXT, ("Set-Cookie", "other=1"), ("X-A", "b")]
    kept = list(headers)

    def app(environ, start_response):
        put(get_session(environ))
        start_response("200 OK", headers)
        return []

    reply = call(app)
    assert headers == kept
    assert reply.headers[: len(kept)] == kept
    assert len(reply.all("Set-Cookie")) == 2


# -- status ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["302 Found", "303 See Other", "401 No", "404 Not Found"])
def test_redirects_and_client_errors_save(call, status):
    headers = [("Location", "/")] if status[0] == "3" else []
    pair = call(app_of(put, status, headers)).pair
    seen = []
    call(app_of(lambda session: seen.append(dict(session))), pair)
    assert seen == [{"a": 1}]


@pytest.mark.parametrize("status", ["500 Oops", "503 Later"])
def test_a_server_error_saves_nothing(world, call, status):
    assert call(app_of(put, status)).cookie is None
    assert world.store.took() == []


def test_what_was_saved_before_a_server_error_stands_and_its_cookie_leaves(call):
    def work(session):
        put(session)
        session.session_save()
        session["b"] = 2

    reply = call(app_of(work, "500 Oops"))
    seen = []
    call(app_of(lambda session: seen.append(dict(session))), reply.pair)
    assert seen == [{"a": 1}]


def test_a_logout_before_a_server_error_removes_the_cookie(call):
    pair = call(app_of(put)).pair
    reply = call(app_of(lambda session: session.session_logout(), "500 Oops"), pair)
    assert "Max-Age=0" in reply.cookie


def test_an_exception_of_the_app_passes_and_saves_nothing(world, call):
    def app(environ, start_response):
        put(get_session(environ))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        call(app)
    assert world.store.took() == []


def test_head_is_answered_as_get(call):
    def app(environ, start_response):
        put(get_session(environ))
        start_response("200 OK", [*TEXT, ("Content-Length", "4")])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [b"done"]

    assert call(app, method="HEAD").cookie


# -- start_response, in every way --------------------------------------------------------------


def test_a_generator_that_calls_start_response_late(call):
    def app(environ, start_response):
        put(get_session(environ))
        start_response("200 OK", list(TEXT))
        yield b"one "
        yield b"two"

    reply = call(app)
    assert reply.body == b"one two"
    assert reply.cookie


def test_an_error_page_after_start_response_commits_nothing_more_and_keeps_the_cookie(call):
    def app(environ, start_response):
        put(get_session(environ))
        start_response("200 OK", list(TEXT))
        try:
            raise LookupError
        except LookupError as error:
            start_response("500 Oops", list(TEXT), (type(error), error, None))
        return [b"sorry"]

    reply = call(app)
    assert reply.status == "500 Oops"
    assert reply.cookie


def test_a_success_after_an_error_page_that_was_not_sent_commits(call):
    def app(environ, start_response):
        put(get_session(environ))
        start_response("500 Oops", list(TEXT))
        start_response("200 OK", list(TEXT), (LookupError, LookupError(), None))
        return [b"well"]

    assert call(app).cookie


def test_write_of_start_response_works(world):
    written = []

    def app(environ, start_response):
        put(get_session(environ))
        start_response("200 OK", list(TEXT))(b"written")
        return []

    environ = {}
    setup_testing_defaults(environ)
    SessionMiddleware(app, world.manager)(environ, lambda *args: written.append)
    assert written == [b"written"]


class File:
    """A file-like body."""

    def __init__(self, during=None):
        self.file = io.BytesIO(b"content")
        self.during = during
        self.closed = 0

    def __iter__(self):
        if self.during:
            self.during()
        yield self.file.read()

    def close(self):
        self.closed += 1


def test_a_body_that_can_be_closed_is_closed_once(world, call, outage):
    for work in (len, put):
        for fault in ([], [outage]):
            body = File()
            world.store.before["create"] = list(fault)

            def app(environ, start_response, work=work, body=body):
                work(get_session(environ))
                start_response("200 OK", list(TEXT))
                return body

            call(app)
            assert body.closed == 1


# -- too late ----------------------------------------------------------------------------------

LATE = "after the response headers had left"


def test_a_first_use_after_the_headers_have_left_raises(call):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        with pytest.raises(SessionClosed):
            get_session(environ)
        return [b"done"]

    assert call(app).status == "200 OK"


CHANGES = {
    "set": put,
    "clear": lambda session: session.clear(),
    "update": lambda session: session.update(b=1),
    "setdefault": lambda session: session.setdefault("b"),
    "|=": lambda session: session.__ior__({"b": 1}),
    "pop": lambda session: session.pop("a", None),
    "popitem": lambda session: session.popitem(),
    "del": lambda session: session.__delitem__("a"),
    "regenerate": lambda session: session.session_regenerate(),
    "login": lambda session: session.session_login("alice"),
    "atomic": lambda session: session.session_atomic(lambda data: data.update(b=1)),
    "save": lambda session: session.session_save(force=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_after_the_headers_have_left_raises(world, call, change):
    def app(environ, start_response):
        session = get_session(environ)
        start_response("200 OK", list(TEXT))
        with pytest.raises(SessionClosed):
            change(session)
        assert session == {}
        return [b"done"]

    assert call(app).cookie is None
    assert world.store.took() == []


def test_a_stored_session_can_be_read_and_saved_while_it_streams(world, call):
    pair = call(app_of(lambda session: session.update(a=[]))).pair

    def app(environ, start_response):
        session = get_session(environ)
        start_response("200 OK", list(TEXT))
        yield b"one"
        session["a"].append(1)
        session.session_save()
        session.session_atomic(lambda data: data["a"].append(2))
        yield str(session).encode()

    reply = call(app, pair)
    assert reply.body == b"one{'a': [1, 2]}"
    assert world.data(pair.partition("=")[2]) == {"a": [1, 2]}


def streaming(session, environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"one"
    session["a"].append(1)
    yield b"two"


@pytest.mark.parametrize("form", ["generator app", "generator body", "file"])
def test_a_nested_change_while_the_body_streams_is_logged(call, caplog, form):
    pair = call(app_of(lambda session: session.update(a=[]))).pair

    def generator_app(environ, start_response):
        yield from streaming(get_session(environ), environ, start_response)

    def generator_body(environ, start_response):
        session = get_session(environ)
        start_response("200 OK", list(TEXT))
        return (chunk for chunk in (b"one", session["a"].append(1) or b"two"))

    def file_body(environ, start_response):
        session = get_session(environ)
        start_response("200 OK", list(TEXT))
        return File(lambda: session["a"].append(1))

    apps = {"generator app": generator_app, "generator body": generator_body, "file": file_body}
    call(apps[form], pair)
    assert sum(LATE in message for message in caplog.messages) == 1


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
def test_no_log_line_without_a_late_change(world, call, caplog, status):
    """Neither for a request that saved, nor for one that failed, nor for one that was dropped."""
    pair = call(app_of(lambda session: session.update(a=[]))).pair
    late = world.manager.open(pair.partition("=")[2])

    def app(environ, start_response):
        get_session(environ)["b"] = 1
        start_response(status, list(TEXT))
        yield b"one"

    for cookie in ("", pair):
        call(app, cookie)
    late.session_logout()
    call(app, pair)
    assert not any(LATE in message for message in caplog.messages)


# -- faults ------------------------------------------------------------------------------------


def is_503(reply):
    assert reply.status == "503 Service Unavailable"
    assert int(reply.all("Retry-After")[0]) > 0
    assert reply.cookie is None
    assert int(reply.all("Content-Length")[0]) < 200
    return True


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("verb", ["load", "replace"])
def test_an_outage_is_503_with_retry_after_and_no_cookie(world, call, outage, verb, generator):
    pair = call(app_of(put), persistent=True).pair
    world.store.before[verb] = [outage]
    work = lambda session: session.update(b=1)  # noqa: E731

    def stream(environ, start_response):
        yield from app_of(work)(environ, start_response)

    reply = call(stream if generator else app_of(work), pair, persistent=True)
    assert is_503(reply)
    assert reply.body
    assert world.names()[-1] == "unavailable"
    assert call(app_of(work), pair).status == "200 OK"


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.session_save(force=True),
        lambda session: session.session_atomic(len),
        lambda session: session.session_logout(),
    ],
)
def test_an_outage_in_the_handler_is_503_and_reported_once(world, call, outage, work):
    pair = call(app_of(put)).pair
    world.names()
    world.store.before["replace"] = [outage]
    assert is_503(call(app_of(work), pair))
    assert world.names() == ["unavailable"]


def test_a_503_to_head_has_no_body(world, call, outage):
    pair = call(app_of(put)).pair
    world.store.before["load"] = [outage]
    assert call(app_of(put), pair, method="HEAD").body == b""


def test_a_store_that_is_down_is_asked_once_per_request(world, call, outage):
    pair = call(app_of(put)).pair
    world.store.before["load"] = [outage] * 9
    world.store.took()

    def app(environ, start_response):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                get_session(environ)
        start_response("200 OK", list(TEXT))
        return [b"a page without a session"]

    assert call(app, pair).body == b"a page without a session"
    assert world.store.took() == ["load"]


def test_on_outage_anonymous_goes_on_with_an_empty_session(world, call, outage):
    pair = call(app_of(put)).pair
    world.store.before["load"] = [outage] * 9
    world.store.took()
    seen = []

    def work(session):
        seen.append(dict(session))
        session["b"] = 2

    reply = call(app_of(work), pair, on_outage="anonymous")
    assert (reply.status, reply.cookie, seen) == ("200 OK", None, [{}])
    assert world.store.took() == ["load"]
    for verb in ("session_logout", "session_regenerate"):
        assert is_503(
            call(app_of(lambda s, verb=verb: getattr(s, verb)()), pair, on_outage="anonymous")
        )


def test_what_was_ended_before_an_outage_reaches_the_client(world, call, outage):
    """A renewal that was saved must not look like a logout because a later write failed."""
    first = call(app_of(put)).pair

    def work(session):
        session.session_regenerate()
        session.session_save()
        session["b"] = 1
        world.store.before["replace"] = [outage]

    reply = call(app_of(work), first)
    assert reply.status.startswith("503")
    assert world.data(reply.pair.partition("=")[2]) == {"a": 1}


def test_a_fault_is_not_hidden_by_an_app_that_catches_everything(world, call, outage):
    def app(environ, start_response):
        put(get_session(environ))
        world.store.before["create"] = [outage]
        try:
            start_response("200 OK", list(TEXT))
        except Exception:
            return [b"all is well"]
        return [b"saved"]

    assert is_503(call(app))


def test_an_unstorable_value_is_the_apps_own_error(world, call):
    with pytest.raises(UnstorableValue, match=r"session\['a'\]"):
        call(app_of(lambda session: session.update(a=object())), check=False)
    assert world.store.took() == []


def test_damage_is_a_new_session_under_a_new_id(world, call):
    pair = call(app_of(put)).pair
    (key,) = world.store.inner.scan()
    version = world.store.inner.load(key)[1]
    world.store.inner.replace(key, version, b"junk" * 10, 100)
    reply = call(app_of(put), pair)
    assert reply.status == "200 OK"
    assert reply.pair != pair


# -- misconfiguration --------------------------------------------------------------------------


def test_misconfiguration_fails_at_start(world):
    with pytest.raises(ConfigurationError, match="SessionManager"):
        SessionMiddleware(untouched, MemoryStore())
    with pytest.raises(ConfigurationError, match="on_outage"):
        SessionMiddleware(untouched, world.manager, on_outage="anonymus")
    with pytest.raises(ConfigurationError, match="SessionMiddleware"):
        get_session({})


# -- the cookie --------------------------------------------------------------------------------

ID = "abc-_" + "D" * 38


@pytest.mark.parametrize(
    "header",
    [
        f"session={ID}",
        f"a=1; session={ID}; b=2",
        f"a=1;session={ID};b=2",
        f"a=1;\tsession={ID} ; b",
        f'session="{ID}"',
        f'broken="; session={ID}',
        f"=; ;; ,; session={ID}",
        f"xsession=no; session={ID}; sessionx=no; session.x=no",
        f"caf\xe9=\xfc\xdf; session={ID}",
        f"{'j=' + 'x' * 8000}; session={ID}",
        f"{'; ' * 4000}session={ID}",
        f"x={{'json': [1, 2]}}; session={ID}",
        f"session[]=1; session={ID}",
        f"SESSION=no; session={ID}",
    ],
)
def test_the_cookie_is_found_among_junk(header):
    assert IdCookie().read(header) == [ID]


@pytest.mark.parametrize(
    "header", ["", "session", "sessio=n", "xsession=1", "a=session=1", "session =1", "session=a b"]
)
def test_what_is_not_the_cookie_is_not_read(header):
    assert IdCookie().read(header) == []


def test_two_cookies_of_the_name_are_two_candidates(world, call):
    assert IdCookie().read("session=a; session=b") == ["a", "b"]
    pair = call(app_of(put)).pair
    seen = []
    call(app_of(lambda s: seen.append(dict(s))), f"session={'A' * 43}; {pair}; session=junk")
    assert seen == [{"a": 1}]


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a\n", "é", "a" * 101, None, b"a"])
def test_a_cookie_name_that_cannot_work_is_refused(name):
    with pytest.raises(ConfigurationError, match="name"):
        IdCookie(name)


def test_a_prefix_needs_secure():
    with pytest.raises(ConfigurationError, match="secure"):
        IdCookie("__Host-session", secure=False)
    assert "Path=/" in IdCookie("__Host-session").issue("x")


def test_secure_must_be_a_bool():
    with pytest.raises(ConfigurationError, match="secure"):
        IdCookie(secure="false")


def test_no_log_line_holds_the_cookie(call, caplog):
    caplog.set_level(logging.DEBUG)
    pair = call(app_of(put)).pair
    call(app_of(lambda session: session.session_logout()), pair)
    call(app_of(put), pair)
    assert pair.partition("=")[2] not in caplog.text


@pytest.mark.parametrize("headers", [True, False])
def test_headers_for_caches_can_be_left_alone(headers):
    def app(environ, start_response):
        get_session(environ)["a"] = 1
        start_response("200 OK", [])
        return []

    sent = []
    wrapped = SessionMiddleware(app, SessionManager(MemoryStore()), headers=headers)
    wrapped({"REQUEST_METHOD": "GET"}, lambda status, items: sent.extend(items))
    assert {name for name, _ in sent} == {"Set-Cookie"} | (
        {"Vary", "Cache-Control"} if headers else set()
    )
