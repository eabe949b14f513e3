"""What real programs do with the classic API, in one piece."""

from __future__ import annotations

import io
from wsgiref.util import setup_testing_defaults

import pytest
from bottle import Bottle, redirect, request

from BottleSessions import Backing, BottleSession, BottleSessions, Session


def call(app, path, cookie=None):
    environ = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    environ["wsgi.errors"] = io.StringIO()
    if cookie:
        environ["HTTP_COOKIE"] = cookie
    started = []
    body = b"".join(app(environ, lambda *args: started.append(args)))
    headers = dict(started[0][1])
    return started[0][0], body.decode(), headers.get("Set-Cookie", "").partition(";")[0]


def test_positional_and_keyword_construction(tmp_path):
    app = Bottle()
    backing = {"cache_type": "FileSystem", "cache_dir": str(tmp_path), "threshold": 2000}
    btl = BottleSessions(app, backing, "appcookie", 60, False, "/", "appdata")
    assert btl.backing.cache_type == "FileSystem"
    app.route("/", callback=lambda: request.appdata.update(a=1))
    assert call(app, "/")[2].startswith("appcookie=")


@pytest.mark.parametrize("backing", [None, {}, {"cache_type": "SimpleCache"}])
def test_in_memory_by_default(backing):
    assert BottleSession(Bottle(), session_backing=backing).backing.cache_type == "SimpleCache"


def test_backing_options_as_keyword_arguments(tmp_path):
    btl = BottleSessions(
        Bottle(), cache_type="FileSystem", cache_dir=str(tmp_path), session_cookie="OREOS"
    )
    assert (btl.backing.cache_type, btl.cookie_name) == ("FileSystem", "OREOS")


def test_a_backing_shared_with_the_app():
    backing = Backing(cache_type="SimpleCache")
    app = Bottle()
    btl = BottleSessions(app, session_backing=backing)
    assert btl.backing is backing
    app.route("/", callback=lambda: request.session.update(a=1))
    _, _, cookie = call(app, "/")
    backing.set("key", {"any": "value"}, 60)
    assert backing.get("key") == {"any": "value"}
    assert backing.get(cookie.partition("=")[2]) is None
    backing.clear()
    app.route("/read", callback=lambda: str(request.session["a"]))
    assert call(app, "/read", cookie)[1] == "1"


def test_a_session_outside_of_a_request():
    backing = Backing()
    session = Session(backing)
    session["user"] = "alice"
    session.session_save(expire=60)
    assert session.session_is_saved
    again = Session(backing=backing, session_id=session.session_id)
    assert again == {"user": "alice"}
    assert again.session_backing is backing
    unknown = Session(backing, "A" * 43)
    assert unknown == {}
    assert unknown.session_id != "A" * 43
    with pytest.raises(TypeError, match="takes a store, not data"):
        Session({"a": 1})


def test_the_store_of_sessions_without_a_backing_is_one():
    session = Session()
    session["a"] = 1
    session.session_save()
    assert Session(session_id=session.session_id) == {"a": 1}


def test_a_login_that_is_handled_in_a_skipped_route():
    app = Bottle()
    btl = BottleSessions(app)

    def finish(session):
        session["attributes"] = {"mail": ["a@example.org"], "_saml": {"expires": 1e12}}
        session["username"] = "alice"
        wanted = session.pop("next", "/")
        session.session_regenerate()
        try:
            redirect(wanted)
        except Exception as answer:
            return answer

    @app.route("/acs", skip=True)
    def acs():
        session = btl.open_session()
        answer = finish(session)
        btl.close_session(session)
        return answer

    @app.route("/start")
    def start():
        request.session["next"] = "/home"

    app.route("/who", callback=lambda: request.session.get("username", "nobody"))
    first = call(app, "/start")[2]
    status, _, second = call(app, "/acs", first)
    assert status.startswith("30")
    assert second != first
    assert call(app, "/who", second)[1] == "alice"
    assert call(app, "/who", first)[1] == "nobody"
