"""The plugin object: installing, skipping, mounting, several instances, open and close."""

from __future__ import annotations

import bottle
import pytest
from bottle import Bottle, HTTPResponse, PluginError, redirect, request, response

from session_bottle import BottleSessions
from session_core import MemoryStore, SessionError


def counter(name="n", reference="session"):
    def count():
        session = getattr(request, reference)
        session[name] = session.get(name, 0) + 1
        return str(session[name])

    return count


def has_session(reference="session"):
    return str(hasattr(request, reference))


# -- installing ------------------------------------------------------------------------------


def test_install_after_the_routes(app, browse):
    app.route("/", callback=counter())
    BottleSessions(app)
    visit = browse(app)
    assert [visit("/").text for _ in range(3)] == ["1", "2", "3"]


def test_install_by_hand_and_before_the_routes(app, browse):
    btl = BottleSessions()
    assert app.install(btl) is btl
    app.route("/", callback=counter())
    visit = browse(app)
    assert [visit("/").text for _ in range(2)] == ["1", "2"]


def test_reset_keeps_working(app, browse):
    BottleSessions(app)
    app.route("/", callback=counter())
    visit = browse(app)
    visit("/")
    app.reset()
    assert visit("/").text == "2"


def test_uninstall_and_install_again(app, browse):
    app.route("/", callback=has_session)
    before = app.wsgi
    btl = BottleSessions(app)
    visit = browse(app)
    assert visit("/").text == "True"
    assert app.uninstall(btl) == [btl]
    assert visit("/").text == "False"
    assert app.wsgi == before
    app.install(btl)
    assert visit("/").text == "True"
    app.uninstall("session")
    assert visit("/").text == "False"


def test_uninstall_below_another_instance(app, browse):
    app.route("/", callback=lambda: f"{has_session()} {has_session('other')}")
    first = BottleSessions(app)
    BottleSessions(app, session_cookie="other", session_reference="other")
    visit = browse(app)
    assert visit("/").text == "True True"
    app.uninstall(first)
    assert visit("/").text == "False True"


def test_uninstall_above_another_instance(app, browse):
    app.route("/", callback=lambda: f"{has_session()} {has_session('other')}")
    app.error(404)(lambda error: f"{has_session()} {has_session('other')}")
    BottleSessions(app)
    second = BottleSessions(app, session_cookie="other", session_reference="other")
    app.uninstall(second)
    visit = browse(app)
    assert visit("/").text == "True False"
    assert visit("/nowhere").text == "True False"


def test_uninstall_from_one_of_two_apps(browse):
    btl = BottleSessions()
    apps = [Bottle(), Bottle()]
    for each in apps:
        each.install(btl)
        each.route("/", callback=has_session)
    apps[0].uninstall(btl)
    assert [browse(each)("/").text for each in apps] == ["False", "True"]
    assert ["wsgi" in vars(each) for each in apps] == [False, True]


def test_app_close_undoes_the_layer(app):
    before = app.wsgi
    BottleSessions(app)
    app.close()
    assert app.wsgi == before


def test_the_wrapper_keeps_name_and_plugin_interface(app):
    btl = BottleSessions(app)

    def view():
        return "text"

    assert (btl.api, btl.name) == (2, "session")
    assert btl.apply(view, None).__name__ == "view"


def test_plugins_installed_later_find_the_session(app, browse):
    BottleSessions(app)

    def login_required(callback):
        def wrapper(*args, **kwargs):
            if "user" not in request.session:
                request.session["wanted"] = request.path
                redirect("/login")
            return callback(*args, **kwargs)

        return wrapper

    app.install(login_required)
    app.route("/secret", callback=lambda: "secret")

    @app.route("/login", skip=[login_required])
    def login():
        request.session["user"] = "alice"
        return request.session["wanted"]

    visit = browse(app)
    assert visit("/secret").code in (302, 303)
    assert visit("/login").text == "/secret"
    assert visit("/secret").text == "secret"


def test_plugins_installed_earlier_find_it_as_well(app, browse):
    app.install(lambda callback: lambda *a, **k: str(len(request.session)) + callback(*a, **k))
    BottleSessions(app)
    app.route("/", callback=lambda: "!")
    assert browse(app)("/").text == "0!"


# -- several instances -----------------------------------------------------------------------


def test_two_instances(app, browse):
    BottleSessions(app)
    BottleSessions(app, session_cookie="app", session_reference="appdata", session_expire=60)

    @app.route("/")
    def both():
        return counter()() + counter(reference="appdata")()

    visit = browse(app)
    reply = visit("/")
    assert len(reply.all("Set-Cookie")) == 2
    assert visit("/").text == "22"
    assert set(visit.cookies) == {"bottlecookie", "app"}


@pytest.mark.parametrize(
    ("option", "value"), [("session_reference", "session"), ("session_cookie", "bottlecookie")]
)
def test_instances_that_clash(app, option, value):
    BottleSessions(app)
    options = {"session_reference": "other", "session_cookie": "other"}
    options[option] = value
    with pytest.raises(PluginError, match=f"same {option}='{value}'"):
        BottleSessions(app, **options)


def test_the_same_instance_twice(app):
    btl = BottleSessions(app)
    with pytest.raises(PluginError):
        app.install(btl)


# -- skip ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["instance", "name", "type", "all"])
def test_skipped_routes_have_no_session(app, browse, how):
    btl = BottleSessions(app)
    skip = {"instance": [btl], "name": ["session"], "type": [BottleSessions], "all": True}[how]
    app.route("/skip", callback=has_session, skip=skip)
    app.route("/", callback=has_session)
    visit = browse(app)
    assert (visit("/skip").text, visit("/").text) == ("False", "True")


def test_hooks_of_a_skipped_route(app, browse):
    BottleSessions(app)
    seen = []
    app.add_hook("before_request", lambda: seen.append(has_session()))
    app.add_hook("after_request", lambda: seen.append(has_session()))
    app.route("/skip", callback=lambda: "", skip=True)
    browse(app)("/skip")
    assert seen == ["True", "False"]


@pytest.mark.parametrize("answer", ["text", "response"])
def test_open_and_close_in_a_skipped_route(app, browse, answer):
    btl = BottleSessions(app)
    app.route("/read", callback=lambda: str(request.session.get("user")))

    @app.route("/login", skip=True)
    def login():
        session = btl.open_session()
        assert session is request.session
        session["user"] = "alice"
        response.status = 201
        response.set_header("X-Own", "kept")
        response.set_cookie("own", "kept")
        btl.close_session(session)
        return "welcome" if answer == "text" else HTTPResponse("welcome", 303, Location="/")

    visit = browse(app)
    reply = visit("/login")
    assert [c for c in reply.all("Set-Cookie") if c.startswith("bottlecookie=")] != []
    assert len(reply.all("Set-Cookie")) == (2 if answer == "text" else 1)
    if answer == "text":
        assert (reply.code, reply.get("X-Own")) == (201, "kept")
    assert visit("/read").text == "alice"


def test_open_and_close_where_nothing_is_stored(app, browse):
    btl = BottleSessions(app)

    @app.route("/", skip=True)
    def view():
        btl.close_session(btl.open_session())
        return "fine"

    reply = browse(app)("/")
    assert (reply.text, reply.get("Set-Cookie")) == ("fine", None)


def test_open_and_close_without_installing(app, browse):
    btl = BottleSessions()

    @app.route("/")
    def view():
        session = btl.open_session()
        session["n"] = session.get("n", 0) + 1
        btl.close_session(session)
        return str(request.session["n"])

    visit = browse(app)
    assert [visit("/").text, visit("/").text] == ["1", "2"]


def test_close_session_of_another_session(app, browse):
    btl = BottleSessions(app)
    from session_core import Session

    @app.route("/")
    def view():
        with pytest.raises(SessionError, match="what open_session returned"):
            btl.close_session(Session())
        return "fine"

    assert browse(app)("/").text == "fine"


# -- mounts ----------------------------------------------------------------------------------


def mount(parent, child, native):
    if native:
        parent.merge(child)
    else:
        parent.mount("/child/", child.__call__)  # a WSGI mount, on Bottle 0.13, too


def cookies_of(reply):
    return sorted(text.partition("=")[0] for text in reply.all("Set-Cookie"))


@pytest.mark.parametrize("native", [False, True], ids=["mounted", "merged"])
@pytest.mark.parametrize("outcome", ["return", "raise", "generator"])
def test_plugin_on_the_child_only(browse, native, outcome):
    parent, child = Bottle(), Bottle()
    BottleSessions(child)

    @child.route("/count")
    def count():
        text = counter()()
        if outcome == "raise":
            raise HTTPResponse(text, 201)
        return (chunk for chunk in [text]) if outcome == "generator" else text

    @child.route("/fail")
    def fail():
        counter()()
        raise HTTPResponse("no", 500)

    @child.route("/late")
    def late():
        yield counter("late")()

    mount(parent, child, native)
    parent.route("/parent", callback=has_session)
    prefix = "" if native else "/child"
    visit = browse(parent)
    assert [visit(f"{prefix}/count").text for _ in range(3)] == ["1", "2", "3"]
    assert visit(f"{prefix}/fail").code == 500
    assert visit(f"{prefix}/count").text == "4"
    assert [visit(f"{prefix}/late").text for _ in range(2)] == ["1", "2"]
    assert visit("/parent").text == "False"


def test_a_hook_of_a_parent_without_plugin_sees_the_childs_session(browse):
    """Also where it is the first to ask, after the route."""
    parent, child = Bottle(), Bottle()
    BottleSessions(child)
    child.route("/count", callback=counter())
    child.route("/plain", callback=lambda: "plain")
    seen = []
    parent.add_hook("after_request", lambda: seen.append(request.session.get("n")))
    parent.merge(child)
    visit = browse(parent)
    assert [visit("/count").text, visit("/plain").text, visit("/count").text] == ["1", "plain", "2"]
    assert seen == [1, 1, 2]


def test_native_mount(browse, bottle_12):
    parent, child = Bottle(), Bottle()
    BottleSessions(child)
    child.route("/count", callback=counter())
    parent.mount("/child/", child)
    visit = browse(parent)
    reply = visit("/child/count")
    assert len(reply.all("Set-Cookie")) == 1
    assert reply.get("Vary") == "Cookie"
    assert visit("/child/count").text == "2"


@pytest.mark.parametrize("native", [False, True], ids=["mounted", "merged"])
def test_plugin_on_the_parent_only(browse, native):
    parent, child = Bottle(), Bottle()
    BottleSessions(parent)
    seen = []
    parent.add_hook("after_request", lambda: seen.append(request.session.get("n")))
    child.route("/count", callback=counter())
    child.error(404)(lambda error: f"child 404 {has_session()}")
    parent.error(404)(lambda error: f"parent 404 {has_session()}")
    mount(parent, child, native)
    prefix = "" if native else "/child"
    visit = browse(parent)
    assert [visit(f"{prefix}/count").text for _ in range(2)] == ["1", "2"]
    assert seen == [1, 2]
    assert visit("/child/nowhere").text == ("parent 404 True" if native else "child 404 True")
    assert visit("/nowhere").text == "parent 404 True"


@pytest.mark.parametrize("native", [False, True], ids=["mounted", "merged"])
def test_the_same_instance_on_both_is_one_session_and_one_commit(browse, native):
    class Store(MemoryStore):
        writes = 0

        def create(self, *args):
            self.writes += 1
            return super().create(*args)

        def replace(self, *args):
            self.writes += 1
            return super().replace(*args)

    store = Store()
    btl = BottleSessions(session_backing=store)
    parent, child = Bottle(), Bottle()
    parent.install(btl)
    child.install(btl)
    parent.add_hook("before_request", lambda: request.session.update(parent=True))
    child.route("/dump", callback=lambda: counter()() + str(sorted(request.session)))
    mount(parent, child, native)
    visit = browse(parent)
    reply = visit("/dump" if native else "/child/dump")
    assert reply.text == "1['n', 'parent']"
    assert cookies_of(reply) == ["bottlecookie"]
    assert store.writes == 1


@pytest.mark.parametrize("native", [False, True], ids=["mounted", "merged"])
def test_different_instances_hide_and_commit_each_its_own(browse, native):
    parent, child = Bottle(), Bottle()
    BottleSessions(parent)
    BottleSessions(child, session_cookie="childcookie")
    parent.add_hook("before_request", lambda: request.session.update(whose="parent"))
    after = []
    parent.add_hook("after_request", lambda: after.append(request.session.get("whose")))

    @child.route("/whose")
    def whose():
        text = str(request.session.get("whose"))
        request.session["whose"] = "child"
        return text

    mount(parent, child, native)
    visit = browse(parent)
    path = "/whose" if native else "/child/whose"
    reply = visit(path)
    assert reply.text == "None"
    assert cookies_of(reply) == ["bottlecookie", "childcookie"]
    assert visit(path).text == "child"
    assert after == ["parent", "parent"]


def test_a_plain_wsgi_app_mounted(browse):
    parent = Bottle()
    BottleSessions(parent)

    def plain(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"plain"]

    parent.add_hook("before_request", lambda: request.session.update(a=1))
    parent.mount("/plain/", plain)
    reply = browse(parent)("/plain/x")
    assert (reply.text, cookies_of(reply)) == ("plain", ["bottlecookie"])


def test_bottle_versions(bottle_12):
    assert bottle_12 or bottle.__version__.startswith("0.13")
