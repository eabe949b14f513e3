"""Parallel requests of one visitor, and damaged records: the promises in a whole app, per backend.

Requests are calls of the app through WSGI. "Meanwhile" is exact: another request runs from its
first to its last line in another thread while the handler of the first one waits for it.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import bottle
import pytest
from bottle import request

from BottleSessions import BottleSessions
from session_backends import Backing
from session_core import Event, Session, find_store
from session_core.ids import store_key

Work = Callable[[Any], object]


# --- the app and its visitors -------------------------------------------------------------------


@dataclass
class Reply:
    code: int
    headers: list[tuple[str, str]]
    result: Any
    errors: str

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, values
        return values[0] if values else None


@dataclass
class World:
    """An app with one route, which does to the session what each request brings along."""

    backing: Any
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = bottle.Bottle()
        BottleSessions(
            self.app,
            self.backing,
            session_secure=False,
            session_persistent=False,
            session_on_event=self.events.append,
        )
        self.app.route("/", callback=self.handle)

    def handle(self) -> str:
        request.environ["test.result"] = request.environ["test.work"](request.session)
        return "done"

    def names(self) -> Counter[str]:
        return Counter(event.name for event in self.events)

    def visit(self, work: Work, cookie: str | None) -> Reply:
        environ: dict[str, Any] = {"test.work": work, "PATH_INFO": "/", "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        environ["wsgi.errors"] = errors = io.StringIO()
        if cookie:
            environ["HTTP_COOKIE"] = f"bottlecookie={cookie}"
        started: list[Any] = []
        body = self.app(environ, lambda status, headers, *_: started.append((status, headers)))
        b"".join(body)
        if hasattr(body, "close"):
            body.close()
        ((status, headers),) = started
        return Reply(int(status[:3]), headers, environ.get("test.result"), errors.getvalue())

    def browser(self, cookie: str | None = None) -> Browser:
        return Browser(self, cookie)

    def during(self, first: Work, *others: tuple[Browser, Work]) -> Work:
        """Open the session, let the others happen from their beginning to their end, then work."""

        def work(session: Any) -> object:
            session.get("a")
            for browser, other in others:
                with ThreadPoolExecutor(1) as thread:
                    assert thread.submit(browser, other).result().code == 200
            return first(session)

        return work


@dataclass
class Browser:
    world: World
    cookie: str | None = None

    def __call__(self, work: Work) -> Reply:
        reply = self.world.visit(work, self.cookie)
        sent = reply.get("Set-Cookie")
        if sent:
            value = sent.partition(";")[0].partition("=")[2]
            self.cookie = None if "Max-Age=0" in sent else value
        return reply

    def tab(self) -> Browser:
        """Another one with the same cookie."""
        return Browser(self.world, self.cookie)

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.world.visit(dict, self.cookie).result
        return data


@pytest.fixture(
    params=[
        "SimpleCache",
        "FileSystem",
        pytest.param("Redis", marks=pytest.mark.servers),
        pytest.param("Memcached", marks=pytest.mark.servers),
    ]
)
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    options: dict[str, Any] = {}
    if request.param == "FileSystem":
        options["cache_dir"] = tmp_path
    elif request.param == "Redis":
        options["port"] = request.getfixturevalue("redis_port")
    elif request.param == "Memcached":
        options["servers"] = [f"127.0.0.1:{request.getfixturevalue('memcached_port')}"]
    backing = Backing(request.param, **options)
    yield backing
    close(backing)


def close(backing: Any) -> None:
    """Close the connections of the store, which nobody else would do in time."""
    for node in getattr(backing.store, "_nodes", ()):
        node.close()
    if hasattr(backing.store, "_client"):
        backing.store._client.connection_pool.disconnect()


@pytest.fixture
def world(backing: Backing) -> World:
    return World(backing)


@pytest.fixture
def browser(world: World) -> Browser:
    """One whose session holds a = 1, b = [] and c = 3."""
    browser = world.browser()
    browser(lambda session: session.update(a=1, b=[], c=3))
    return browser


def put(**values: Any) -> Work:
    return lambda session: session.update(values)


# --- merge at commit ----------------------------------------------------------------------------


MERGES: dict[str, tuple[Work, Work, dict[str, Any]]] = {
    # this request, another one meanwhile, and what is stored in the end
    "different keys": (put(x=1), put(y=2), {"a": 1, "b": [], "c": 3, "x": 1, "y": 2}),
    "the same key": (put(a="mine"), put(a="theirs"), {"a": "mine", "b": [], "c": 3}),
    "an equal value": (put(a=1), put(a="theirs"), {"a": "theirs", "b": [], "c": 3}),
    "only read": (lambda session: session["a"], put(a=2), {"a": 2, "b": [], "c": 3}),
    "nested": (lambda session: session["b"].append(1), put(a=2), {"a": 2, "b": [1], "c": 3}),
    "nested in what was deleted": (
        lambda session: session["b"].append(1),
        lambda session: session.pop("b"),
        {"a": 1, "c": 3},
    ),
    "deleted keys": (
        lambda session: session.pop("a"),
        lambda session: session.pop("c"),
        {"b": []},
    ),
    "cleared meanwhile": (put(x=1), lambda session: session.clear(), {}),
    "cleared and set meanwhile": (
        put(x=1),
        lambda session: (session.clear(), session.update(y=2)),
        {"y": 2},
    ),
    "clears what was set meanwhile": (
        lambda session: (session.clear(), session.update(x=1)),
        put(y=2),
        {"x": 1},
    ),
    "atomic": (
        lambda session: session.session_atomic(lambda data: data["b"].append(data["c"])),
        put(c=4),
        {"a": 1, "b": [4], "c": 4},
    ),
}


DROPPED = ("cleared meanwhile", "cleared and set meanwhile")


@pytest.mark.parametrize("case", MERGES)
def test_two_requests_at_the_same_time(world, browser, case):
    mine, theirs, stored = MERGES[case]
    reply = browser(world.during(mine, (browser.tab(), theirs)))
    assert reply.code == 200
    assert reply.get("Set-Cookie") is None
    assert browser.data() == stored
    assert world.names()["write dropped"] == (case in DROPPED)


def test_three_requests_at_the_same_time(world, browser):
    tabs = browser.tab(), browser.tab()
    inner = world.during(put(y=2), (tabs[1], put(z=3)))
    browser(world.during(put(x=1), (tabs[0], inner)))
    assert browser.data() == {"a": 1, "b": [], "c": 3, "x": 1, "y": 2, "z": 3}


def in_parallel(count: int, work: Callable[[int], Reply]) -> list[Reply]:
    together = threading.Barrier(count)

    def one(number: int) -> Reply:
        together.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_fifty_parallel_counts_are_fifty(browser):
    def count(session: Session) -> int:
        def add(data: dict[str, Any]) -> int:
            number: int = data.get("count", 0) + 1
            data["count"] = number
            return number

        number = session.session_atomic(add)
        assert session["count"] == number
        return number

    replies = in_parallel(50, lambda _: browser.tab()(count))
    assert {reply.code for reply in replies} == {200}
    assert sorted(reply.result for reply in replies) == list(range(1, 51))
    assert browser.data()["count"] == 50


def test_thirty_parallel_writes_of_different_keys_all_stay(browser):
    replies = in_parallel(30, lambda number: browser.tab()(put(**{f"key{number}": number})))
    assert {reply.code for reply in replies} == {200}
    assert browser.data() == {"a": 1, "b": [], "c": 3} | {f"key{n}": n for n in range(30)}


class Counting:
    """A store that notes what it was asked."""

    def __init__(self, store: Any) -> None:
        self.verbs: list[str] = []
        for verb in ("load", "create", "replace", "delete"):
            setattr(self, verb, self.noting(verb, getattr(store, verb)))

    def noting(self, verb: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            self.verbs.append(verb)
            return method(*arguments)

        return ask


def test_what_nobody_disturbs_costs_one_load_and_one_conditional_write(backing):
    store = Counting(find_store(backing))
    browser = World(store).browser()
    for work, verbs in (
        (put(a=1), ["create"]),
        (put(a=2), ["load", "replace"]),
        (lambda session: session["a"], ["load"]),
        (lambda session: session.session_atomic(put(a=3)), ["load", "replace"]),
        (lambda session: session.session_regenerate(), ["load", "create", "replace"]),
        (lambda session: session.session_login("alice"), ["load", "create", "replace"]),
        (lambda session: session.session_delete(), ["load", "replace"]),
        (lambda session: session.get("a"), []),
    ):
        store.verbs.clear()
        assert browser(work).code == 200
        assert store.verbs == verbs


# --- ended stays ended --------------------------------------------------------------------------

ENDINGS: dict[str, Work] = {
    "logout": lambda session: session.session_logout(),
    "delete": lambda session: session.session_delete(),
    "renewal": lambda session: session.session_regenerate(),
    "login": lambda session: session.session_login("alice"),
}
WRITES: dict[str, Work] = {
    "commit": put(late=1),
    "nested": lambda session: session["b"].append("late"),
    "save": lambda session: (session.update(late=1), session.session_save(force=True)),
    "clear": lambda session: session.clear(),
    "atomic": lambda session: session.session_atomic(put(late=1)),
    "renewal": lambda session: session.session_regenerate(),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_has_ended_stays_ended(world, browser, caplog, ending, write):
    other, old = browser.tab(), browser.cookie
    reply = browser(world.during(WRITES[write], (other, ENDINGS[ending])))
    assert reply.code == 200
    assert reply.get("Set-Cookie") is None
    assert world.names()["write dropped"] >= 1
    assert "write dropped" in caplog.text
    late = world.browser(old)
    assert late(lambda session: (session.session_gone, dict(session))).result == (True, {})
    assert late(WRITES[write] if write != "nested" else put(late=1)).get("Set-Cookie") is None
    assert late.data() == {}
    if ending in ("renewal", "login"):
        assert other.cookie != old
        assert other.data() == {"a": 1, "b": [], "c": 3}
    else:
        assert other.cookie is None


def test_session_gone_can_be_read(world, browser):
    def look(session: Session) -> tuple[bool, bool]:
        before = session.session_gone
        session["late"] = 1
        session.session_save()
        return before, session.session_gone

    old = browser.cookie
    other = browser.tab()
    assert browser(world.during(look, (other, ENDINGS["logout"]))).result == (False, True)
    assert world.browser(old)(look).result == (True, True)
    assert world.browser()(lambda session: session.session_gone).result is False


def test_a_logout_during_a_renewal_and_a_renewal_during_a_logout(world, browser):
    other = browser.tab()
    browser(world.during(ENDINGS["logout"], (other, ENDINGS["renewal"])))
    assert browser.cookie is None
    assert other.data() == {}
    browser(put(a=1))
    old, other = browser.cookie, browser.tab()
    reply = browser(world.during(ENDINGS["renewal"], (other, ENDINGS["logout"])))
    assert reply.get("Set-Cookie") is None
    assert world.browser(old).data() == {}


def test_a_login_on_a_session_that_is_gone_starts_fresh(world, browser):
    def login(session: Session) -> bool:
        session["mine"] = 1
        session.session_login("alice")
        return session.session_gone

    old = browser.cookie
    browser.tab()(ENDINGS["logout"])
    assert browser(login).code == 200
    assert browser.cookie not in (old, None)
    assert browser.data() == {"mine": 1}


# --- damage -------------------------------------------------------------------------------------


class Raw:
    """The bytes under the session's key, past the store: read and written as a foreign hand may."""

    def __init__(self, backing: Backing, cookie: str, folder: Path) -> None:
        self.key = store_key(cookie)
        self.kind = backing.cache_type
        self.store: Any = backing.store
        name = hashlib.sha256(self.key.encode()).hexdigest()
        self.file = folder / "sessions" / f"{name}.session"
        if self.kind == "Redis":
            import redis

            settings = self.store._client.connection_pool.connection_kwargs
            self.redis = redis.Redis(port=settings["port"])
        elif self.kind == "Memcached":
            from pymemcache import Client

            self.memcached = Client(self.store._nodes[0].address, default_noreply=False)

    def read(self) -> bytes:
        if self.kind == "Redis":
            return self.redis.get(f"session:{self.key}")
        if self.kind == "Memcached":
            return self.memcached.get(f"session:{self.key}")
        if self.kind == "FileSystem":
            return self.file.read_bytes()
        _, found = self.store._entries.get(f"session:{self.key}", (0, None))
        return found

    def write(self, data: bytes) -> None:
        if self.kind == "Redis":
            assert self.redis.set(f"session:{self.key}", data)
        elif self.kind == "Memcached":
            # Flags as of a client that pickles: nobody must act on them.
            assert self.memcached.set(f"session:{self.key}", data, flags=1)
        elif self.kind == "FileSystem":
            self.file.write_bytes(data)
        else:
            self.store._entries[f"session:{self.key}"] = 0, data  # as by the cache's own set()

    def replace_record(self, change: Callable[[bytes], bytes]) -> None:
        """Change the record and leave what the backend puts around it."""
        if self.kind == "SimpleCache":
            record, version = self.store.load(self.key)
            assert self.store.replace(self.key, version, change(record), 60)
        else:
            self.write(change(self.read()))

    def close(self) -> None:
        for client in ("redis", "memcached"):
            if hasattr(self, client):
                getattr(self, client).close()


@pytest.fixture
def raw(backing, browser, tmp_path):
    raw = Raw(backing, browser.cookie, tmp_path)
    yield raw
    raw.close()


def bomb(path: Path) -> bytes:
    class Bomb:
        def __reduce__(self) -> Any:
            return open, (str(path), "w")

    return pickle.dumps(Bomb())


FOREIGN: dict[str, bytes] = {
    "nothing": b"",
    "a byte": b"\x80",
    "JSON": b'{"a": 1}',
    "a page": b"<html>" + b"x" * 100_000,
    "noise": bytes(range(256)) * 10,
    "an old format": b"0123456789abcdef sc0 live 1.0 1.0 1 0 []\n{}",
    "numbers that are none": b"0123456789abcdef sc1 live nan inf 1e999 9 []\n{}",
}
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated at the end": lambda record: record[:-1],
    "truncated in the middle": lambda record: record[: len(record) // 2],
    "truncated in the head": lambda record: record[:14],
    "a byte changed": lambda record: record.replace(b'"a"', b'"\xff"'),
    "something behind it": lambda record: record + b"}",
}


def check_new_session(world: World, browser: Browser, raw: Raw, caplog: Any) -> None:
    """A new session under a new id, an event, and the bytes as they are."""
    damaged, old = raw.read(), browser.cookie
    reply = browser(dict)
    assert (reply.code, reply.result) == (200, {})
    assert reply.get("Set-Cookie") is None
    assert world.names()["damaged"] == 1
    assert "damaged" in caplog.text
    assert browser(put(a="new")).code == 200
    assert browser.cookie not in (old, None)
    assert browser.data() == {"a": "new"}
    assert world.names()["damaged"] == 2
    assert raw.read() == damaged


@pytest.mark.parametrize("damage", CHANGES)
def test_a_damaged_record(world, browser, raw, caplog, damage):
    raw.replace_record(CHANGES[damage])
    check_new_session(world, browser, raw, caplog)


@pytest.mark.parametrize("damage", [*FOREIGN, "a pickle"])
def test_a_foreign_record(world, browser, raw, caplog, damage, tmp_path):
    executed = tmp_path / "executed"
    raw.write(bomb(executed) if damage == "a pickle" else FOREIGN[damage])
    check_new_session(world, browser, raw, caplog)
    assert not executed.exists()


def test_something_in_redis_that_is_no_text(tmp_path, redis_port, caplog):
    world = World(Backing("Redis", port=redis_port))
    browser = world.browser()
    browser(put(a=1))
    raw = Raw(world.backing, browser.cookie or "", tmp_path)
    raw.redis.delete(f"session:{raw.key}")
    raw.redis.rpush(f"session:{raw.key}", "an", "array")
    assert browser(dict).result == {}
    assert world.names()["damaged"] == 1
    assert "damaged" in caplog.text
    raw.close()
    close(world.backing)


def test_a_logout_of_a_damaged_record(world, browser, raw):
    raw.replace_record(CHANGES["truncated in the middle"])
    reply = browser(ENDINGS["logout"])
    assert reply.code == 200
    assert browser.cookie is None


def test_a_record_of_a_newer_format(world, browser, raw):
    raw.replace_record(lambda record: record.replace(b" sc1 ", b" sc2 "))
    newer, cookie = raw.read(), browser.cookie
    for work in (dict, put(a=2), *ENDINGS.values()):
        reply = browser(work)
        assert reply.code == 503
        assert reply.get("Retry-After") == "5"
        assert reply.get("Set-Cookie") is None
        assert browser.cookie == cookie
    assert raw.read() == newer
    assert "newer major version" in world.events[-1].detail
    assert world.names()["damaged"] == 0
    raw.replace_record(lambda record: record.replace(b" sc2 ", b" sc1 "))
    assert browser.data() == {"a": 1, "b": [], "c": 3}
