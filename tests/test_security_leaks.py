"""Nothing to execute, and nothing that leaks: not by a log line, an error, a repr or a page."""

from __future__ import annotations

import ast
import io
import logging
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import bottle
import pytest
from bottle import Bottle, request

from BottleSessions import Backing, BottleSessions, Session
from session_cookies import CookieError, CookiePolicy, CookieSigner
from session_core import MemoryStore, SessionManager, StoreUnavailable
from session_core.ids import new_session_id, store_key
from session_core.merge import find_delta
from session_core.record import Record
from session_core.snapshot import Snapshot
from session_core.terms import Terms
from session_core.testing import FakeClock

ROOT = Path(__file__).resolve().parents[1]
# Both modules called testing are for tests: a fake clock and a kit; servers.
SOURCES = [path for path in ROOT.glob("packages/*/src/**/*.py") if path.stem != "testing"]

# --- nothing to execute -------------------------------------------------------------------------

EXECUTING = {
    "code", "codeop", "copyreg", "ctypes", "dill", "imp", "importlib", "jsonpickle", "marshal",
    "pickle", "pkgutil", "runpy", "shelve", "subprocess", "yaml", "cloudpickle",
}  # fmt: skip
CALLS = {"__import__", "breakpoint", "compile", "eval", "exec"}
METHODS = {
    "import_module", "system", "popen", "pickle_serde", "find_class", "load_module", "exec_module",
}  # fmt: skip

# What is allowed, where, and why no session comes that way.
ALLOWED = {
    ("session_backends/memcached_cache.py", "pickle_serde"): "the app's own values",
    ("session_core/__init__.py", "importlib"): "its own modules, by names that stand there",
    ("session_core/__init__.py", "import_module"): "the same",
    ("session_core/accelerator.py", "marshal"): "to compare values; nothing is ever read with it",
    ("session_core/accelerator.py", "marshal.dumps"): "the same",
}


def executing(path: Path) -> set[str]:
    """Whatever in a source file may run code, or import by a name that is data."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & EXECUTING
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & EXECUTING
            found |= {alias.name for alias in node.names} & (EXECUTING | METHODS)
        elif isinstance(node, ast.Name):
            found |= {node.id} & CALLS
        elif isinstance(node, ast.Attribute):
            found |= {node.attr} & (METHODS | {"__globals__", "__code__", "__builtins__"})
            if isinstance(node.value, ast.Name) and node.value.id in EXECUTING:
                found.add(f"{node.value.id}.{node.attr}")
    return found


def test_no_source_file_can_execute_what_was_stored_or_received():
    assert len(SOURCES) > 50
    found = {
        (str(path.relative_to(path.parents[1])), what)
        for path in SOURCES
        for what in executing(path)
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import loads", "import os; os.system('x')", "eval('1')",
     "from importlib import import_module", "x = exec", "client.pickle_serde", "__import__('os')"],
)  # fmt: skip
def test_the_scan_finds_what_it_is_for(line, tmp_path):
    (tmp_path / "x.py").write_text(line)
    assert executing(tmp_path / "x.py")


def test_an_attacker_stores_the_name_of_a_module():
    """A named time zone is looked up, in files and in the package tzdata, and nowhere else."""
    before = set(sys.modules)
    for name in ("os", "antigravity", "this", "../../this", "xml.dom/pulldom", "a/../../b", "\0"):
        store = MemoryStore()
        session = Session(store)
        session["a"] = "PLACE"
        session.session_save()
        (key,) = store.scan()
        record, version = store.load(key)
        tag = '{"~~datetime":["2026-01-31T12:00:00+01:00",%s,0]}' % _json(name)  # noqa: UP031
        assert store.replace(key, version, record.replace(b'"PLACE"', tag.encode()), 60)
        Session(store, session.session_id)
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"antigravity", "this", "xml", "a", "b"}


def _json(text: str) -> str:
    return '"' + text.replace("\0", "\\u0000") + '"'


# --- nothing leaks ------------------------------------------------------------------------------

DATA = "canary-data-" + "d" * 20
OWNER = "canary-owner-" + "o" * 20
SECRET = "canary-secret-0123456789-" + "s" * 20


class Hostile(MemoryStore):
    """Fails on demand, and says all that it knows, as some clients of servers do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.failing = ""

    def _fail(self, verb: str, *given: Any) -> None:
        if self.failing == verb:
            raise OSError(f"{verb} failed")

    def load(self, key: str) -> Any:
        self._fail("load", key)
        return super().load(key)

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        self._fail("create", key, record)
        return super().create(key, record, ttl)

    def replace(self, key: str, version: object, record: bytes, ttl: float) -> bool:
        self._fail("replace", key, record)
        return super().replace(key, version, record, ttl)


class World:
    """An app, a browser that may do anything, and all that anybody could read afterwards."""

    def __init__(self, caplog: pytest.LogCaptureFixture, secret: str | None) -> None:
        self.caplog = caplog
        self.clock = FakeClock()
        self.store = Hostile(clock=self.clock)
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.cookie = ""
        self.app = Bottle()
        self.events: list[Any] = []
        self.btl = BottleSessions(
            self.app,
            self.store,
            session_secret=secret,
            session_clock=self.clock,
            session_max_bytes=5000,
            session_absolute=10_000,
            session_rolling=True,
            session_wait=0.05,
            session_on_event=self.events.append,
        )
        self.app.route("/<work>", callback=lambda work: getattr(self, f"do_{work}")())

    def ask(self, path: str, cookie: str | None = None, **environ: Any) -> tuple[str, str]:
        """Send a request; note what its error page and the server's error log say."""
        environ = {
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "HTTP_HOST": "shop.example",
            "HTTP_COOKIE": f"bottlecookie={self.cookie if cookie is None else cookie}",
            "wsgi.errors": io.StringIO(),
            **environ,
        }
        setup_testing_defaults(environ)
        started: list[Any] = []

        def start_response(status, headers, exc_info=None):
            started[:] = [status, headers]
            return lambda data: None

        try:
            body = self.app(environ, start_response)
            text = b"".join(body).decode()
            if hasattr(body, "close"):
                body.close()
        except Exception as error:
            self.texts.append("".join(traceback.format_exception(error)))
            return "500", ""
        self.texts += [environ["wsgi.errors"].getvalue(), text]
        for name, value in started[1]:
            if name == "Set-Cookie" and value.startswith("bottlecookie="):
                value = value.partition("=")[2].partition(";")[0]
                if value and cookie is None:
                    self.cookie = value
                self.ids += [value] if value else []
            else:
                self.texts.append(f"{name}: {value}")
        return started[0], text

    # What handlers do.

    def do_read(self):
        return str(len(request.session))

    def do_set(self):
        request.session.update(a=DATA, b=[DATA, {"c": DATA}], d={DATA: 1})

    def do_login(self):
        request.session["token"] = DATA
        request.session.session_login(OWNER)
        self.ids.append(request.session.session_id)

    def do_renew(self):
        request.session.session_regenerate()
        self.ids.append(request.session.session_id)

    def do_raise(self):
        self.do_set()
        raise RuntimeError("the handler failed")

    def do_unstorable(self):
        request.session["b"] = [DATA, object()]

    def do_cycle(self):
        request.session["b"] = cycle = [DATA]
        cycle.append(cycle)

    def do_large(self):
        request.session["b"] = DATA * 1000

    def do_half(self):
        request.session["b"] = DATA * 100

    def do_late(self):
        request.session["b"] = [DATA]
        yield "first"
        request.session["b"].append(DATA)
        try:
            request.session["c"] = DATA
        except Exception as error:
            yield repr(error)

    def do_assign(self):
        request.session = {"a": DATA}

    def do_deleted(self):
        session = request.session
        session.session_delete()
        texts = [repr(session), str(session)]
        for use in (lambda: session["a"], lambda: session.update(a=DATA), session.session_save):
            with pytest.raises(Exception) as caught:
                use()
            texts.append(repr(caught.value))
        return "\n".join(texts)

    def do_explain(self):
        self.do_set()
        return self.btl.explain()

    def do_hook(self):
        raise KeyError("hook")

    def do_conflict(self):
        session = request.session
        other = Session(self.store, session.session_id)
        other["x"] = DATA
        other.session_save()
        session["y"] = DATA

    def do_gone(self):
        session = request.session
        Session(self.store, session.session_id).session_delete()
        session["y"] = DATA

    def do_login_badly(self):
        request.session.session_login(7)

    def do_logout(self):
        request.session.session_logout()


@pytest.fixture
def debugging():
    before = bottle.DEBUG
    bottle.debug(True)
    yield
    bottle.debug(before)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_ids_and_data_are_in_no_log_line_error_repr_or_page(caplog, capfd, debugging, secret):
    caplog.set_level(logging.DEBUG)
    world = World(caplog, secret)
    ask = world.ask
    unknown = new_session_id()
    for cookie in (unknown, f"{unknown}.{'x' * 43}", f"{unknown}!", "../../etc"):
        ask("/set", cookie)
    ask("/set")
    expected = {
        "/read": "200", "/set": "200", "/login": "200", "/renew": "200", "/half": "200",
        "/raise": "500", "/unstorable": "500", "/cycle": "500", "/large": "500", "/late": "200",
        "/explain": "200", "/conflict": "200", "/hook": "500", "/login_badly": "500",
        "/nowhere/at/all": "404",
    }  # fmt: skip
    for path, status in expected.items():
        for debug in (True, False):
            bottle.debug(debug)
            assert ask(path)[0].startswith(status), path
    bottle.debug(True)
    ask("/assign")
    for verb, path in (("load", "/read"), ("replace", "/set"), ("replace", "/login")):
        world.store.failing = verb
        assert ask(path)[0].startswith("503")
    world.store.failing = "create"
    assert ask("/set", "")[0].startswith("503")
    world.store.failing = ""
    ask("/gone")
    ask("/set")
    world.clock.advance(61)
    for stale in world.ids[:3]:
        ask("/set", stale)
        ask("/explain", stale)
    ask("/set")
    ask("/set", cookie=world.cookie[:-1])
    key = store_key(world.cookie[:43])
    record, version = world.store.load(key)
    for damaged in (record[:-7], record.replace(b" sc1 ", b" sc2 "), record[:30] + record[40:]):
        world.store.replace(key, version, damaged, 600)
        ask("/set", world.cookie)
        version = world.store.load(key)[1]
    world.store.replace(key, version, record, 600)
    world.clock.advance(301)
    ask("/read")
    ask("/login")
    ask("/deleted")
    ask("/login")
    ask("/logout")

    names = {event.name for event in world.events}
    wanted = {"created", "unknown", "expired", "renewed", "logged in", "logged out", "conflict"}
    wanted |= {"damaged", "write dropped", "unavailable"} | (
        {"signature refused"} if secret else set()
    )
    assert names == wanted

    formatter = logging.Formatter("%(name)s %(message)s %(args)s")
    texts = [*world.texts, *map(repr, world.events), *capfd.readouterr()]
    texts += [formatter.format(each) for each in caplog.records]
    texts += [repr(each) for each in (world.btl, world.btl.manager, world.btl.cookies[True])]
    texts += [repr(each) for each in (world.btl.policies, world.store, vars(world.btl))]
    everything = "\n".join(texts)
    assert "the handler failed" in everything
    assert "Traceback" in everything
    ids = {each[:43] for each in world.ids} | {unknown}
    assert len(ids) > 8
    for canary in [DATA, OWNER, SECRET, *ids, *map(store_key, ids), *map(_hash, ids)]:
        found = [text for text in texts if canary in text]
        assert not found, found[0]
    for value in world.ids:
        if "." in value:
            assert value.partition(".")[2] not in everything


def _hash(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()[:12]


def test_the_event_reference_is_no_part_of_any_hash_of_the_id():
    events = []
    manager = SessionManager(MemoryStore(), on_event=events.append)
    session = manager.open()
    session["a"] = 1
    session_id = manager.commit(session).session_id
    (event,) = events
    for text in (session_id, store_key(session_id)):
        assert event.reference not in sha256(text.encode()).hexdigest()
    again = []
    other = SessionManager(manager.store, on_event=again.append)
    session = other.open(session_id)
    session.session_logout()
    assert again[0].reference != event.reference  # the salt is of one manager


def test_objects_that_hold_ids_or_data_do_not_show_them():
    session_id = new_session_id()
    record = Record(1, 2, Terms(300, OWNER), f'{{"a":"{DATA}"}}')
    snapshot = Snapshot(record, record.values())
    manager = SessionManager(MemoryStore())
    session = manager.open()
    session["a"] = DATA
    delta = find_delta(session, snapshot)
    answer = manager.commit(session)
    signer = CookieSigner(SECRET, cookie_name="sid")
    policy = CookiePolicy("sid")
    shown = [repr(each) for each in (record, snapshot, delta, answer, signer, policy, manager)]
    for value in (f"{session_id}\n", session_id * 100):
        with pytest.raises(CookieError) as caught:
            policy.issue(value)
        shown.append(repr(caught.value))
        with pytest.raises(CookieError) as caught:
            signer.sign(value)
        shown.append(repr(caught.value))
        with pytest.raises(CookieError) as caught:
            signer.unsign(value)
        shown.append(repr(caught.value))
    for canary in (DATA, OWNER, SECRET, session_id, answer.session_id):
        assert canary not in "\n".join(shown)


@pytest.mark.servers
@pytest.mark.parametrize("cache_type", ["FileSystem", "Redis", "Memcached"])
def test_no_backend_logs_a_key_or_a_record(cache_type, request, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    options = {"cache_dir": str(tmp_path)}
    if cache_type == "Redis":
        options = {"host": "127.0.0.1", "port": request.getfixturevalue("redis_port")}
    elif cache_type == "Memcached":
        options = {"servers": [f"127.0.0.1:{request.getfixturevalue('memcached_port')}"]}
    backing = Backing(cache_type, **options)
    session = Session(backing)
    session["a"] = DATA
    session.session_login(OWNER)
    session.session_save()
    session_id = session.session_id
    Session(backing, session_id).session_delete()
    texts = caplog.text + repr(backing) + repr(backing.store) + repr(vars(backing.store))
    for canary in (DATA, OWNER, session_id, store_key(session_id)):
        assert canary not in texts


def test_an_unreachable_server_is_named_without_its_password(caplog):
    from session_backends.testing import free_port

    address = f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"
    backing = Backing("Redis", host=address, wait=0.2)
    with pytest.raises(StoreUnavailable) as caught:
        Session(backing, new_session_id())
    trace = "".join(traceback.format_exception(caught.value))
    assert SECRET not in trace + caplog.text + repr(backing) + repr(backing.store)
