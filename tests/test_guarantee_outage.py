"""A store that is down or refuses is a 503 that names its cause, in bounded time, and no logout.

The app is real, called through WSGI; so are the servers, which are killed, frozen and started
again under it.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import bottle
import pytest
from bottle import request

from BottleSessions import BottleSessions
from session_backends import Backing
from session_backends.testing import (
    MissingProgram,
    Server,
    ServerFailed,
    memcached_server,
    redis_server,
)
from session_core import ConflictTimeout, Event, RecordTooLarge, StoreUnavailable, find_store
from session_core.ids import new_session_id

WAIT = 0.3
MARGIN = 0.7
"""Seconds that a busy machine may take besides."""
BODY = "The session store cannot be reached at the moment. Please try again."
FULL = 64 * 1024
"""Bytes on the small disk."""

servers = pytest.mark.servers


# --- the app and its visitor --------------------------------------------------------------------

USED: list[Any] = []
"""The backings of the apps of a test: nobody else would close their connections in time."""


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    yield
    while USED:
        store = find_store(USED.pop())
        for each in (store, getattr(store, "store", None)):
            for node in getattr(each, "_nodes", ()):
                node.close()
            if hasattr(each, "_client"):
                each._client.connection_pool.disconnect()


@dataclass
class Reply:
    code: int
    headers: list[tuple[str, str]]
    text: str
    seconds: float
    errors: str

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, values
        return values[0] if values else None


@dataclass
class Visitor:
    """A browser with a cookie, in front of a WSGI app."""

    app: Any
    cookie: str | None = None

    def __call__(self, path: str) -> Reply:
        environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        environ["wsgi.errors"] = errors = io.StringIO()
        if self.cookie:
            environ["HTTP_COOKIE"] = self.cookie
        started: list[Any] = []
        began = time.monotonic()
        body = self.app(environ, lambda status, headers, *_: started.append((status, headers)))
        text = b"".join(body).decode()
        if hasattr(body, "close"):
            body.close()
        seconds = time.monotonic() - began
        ((status, headers),) = started
        reply = Reply(int(status[:3]), headers, text, seconds, errors.getvalue())
        sent = reply.get("Set-Cookie")
        if sent:
            self.cookie = None if "Max-Age=0" in sent else sent.partition(";")[0]
        return reply


@dataclass
class World:
    """An app, what happens to its store in the middle of a request, and the events."""

    app: bottle.Bottle
    events: list[Event] = field(default_factory=list)
    strike: Callable[[], object] = lambda: None

    def visitor(self, cookie: str | None = None) -> Visitor:
        return Visitor(self.app, cookie)

    def count(self, name: str) -> int:
        return Counter(event.name for event in self.events)[name]


def new_world(backing: Any = None, **options: Any) -> World:
    app = bottle.Bottle()
    world = World(app)
    plugin = BottleSessions(
        app,
        backing,
        session_secure=False,
        session_on_event=world.events.append,
        **{"session_wait": WAIT, **options},
    )
    USED.append(plugin.backing)

    def struck() -> Any:
        """Open the session; then the store goes."""
        session = request.session
        session.get("a")
        world.strike()
        return session

    def read() -> str:
        return str(request.session.get("a"))

    def generate(work: Callable[[], object]) -> Iterator[str]:
        work()
        yield "first"
        yield "second"

    def write() -> None:
        struck()["n"] = 1

    def save() -> None:
        write()
        request.session.session_save()

    def hook() -> None:
        if request.path == "/before":
            read()

    def late_hook() -> None:
        if request.path == "/after":
            read()

    app.route("/plain", callback=lambda: "plain")
    app.route("/set", callback=lambda: request.session.update(a="kept"))
    app.route("/fill/<size:int>", callback=lambda size: request.session.update(large="x" * size))
    app.route("/read", callback=read)
    app.route("/write", callback=write)
    app.route("/save", callback=save)
    app.route("/atomic", callback=lambda: struck().session_atomic(lambda data: data.update(n=1)))
    app.route("/login", callback=lambda: struck().session_login("alice"))
    app.route(
        "/renew", callback=lambda: (struck().update(n=1), request.session.session_regenerate())
    )
    app.route("/logout", callback=lambda: struck().session_delete())
    app.route("/before", callback=lambda: "page")
    app.route("/after", callback=lambda: "page")
    app.route("/stream", callback=lambda: generate(read))
    app.route("/stream/write", callback=lambda: generate(write))
    app.route("/stream/save", callback=lambda: generate(save))
    app.add_hook("before_request", hook)
    app.add_hook("after_request", late_hook)
    app.error(404)(lambda error: read())

    @app.route("/insist")
    def insist() -> str:
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                read()
        return "went on without"

    @app.route("/insist/save")
    def insist_on_saving() -> str:
        struck()["n"] = 1
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                request.session.session_save()
        return "went on without"

    return world


def check_unavailable(reply: Reply, waits: int = 1, text: str | None = BODY) -> None:
    assert reply.code == 503, reply
    assert reply.get("Retry-After") == "5"
    assert reply.get("Set-Cookie") is None
    assert text is None or text in reply.text
    assert reply.seconds < waits * WAIT + MARGIN


# --- servers that are away ----------------------------------------------------------------------


@contextmanager
def running(make: Callable[..., Any], *options: str) -> Iterator[Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(make(*options))
        except MissingProgram as missing:
            if os.environ.get("SESSIONS_REQUIRE_SERVERS") == "1":
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield server


@dataclass
class Engine:
    """A server, the options of a `Backing` on it, and what can happen to it."""

    server: Server
    options: dict[str, Any]
    keeps: bool
    """Whether a session is still there after a restart."""

    def strike(self, outage: str) -> None:
        if outage != "frozen":
            self.server.kill()
            return
        self.server.freeze()
        process = self.server._process
        if process is not None and hasattr(os, "waitid"):
            # The signal is only sent: a request may still be answered before it arrives.
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def back(self, outage: str) -> None:
        self.server.thaw() if outage == "frozen" else self.server.start()


@pytest.fixture(scope="module", params=["Redis", "Memcached"])
def shared_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "Redis":
        with running(redis_server, "--appendonly", "yes", "--appendfsync", "always") as server:
            yield Engine(server, {"cache_type": "Redis", "port": server.port}, keeps=True)
    else:
        with running(memcached_server) as server:
            options = {"cache_type": "Memcached", "servers": [server.address]}
            yield Engine(server, options, keeps=False)


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    shared_engine.server.thaw()
    try:
        shared_engine.server.wait()
    except ServerFailed:  # killed by the test before
        shared_engine.server.start()
    return shared_engine


OUTAGES = ["never started", "killed", "frozen"]
PLACES = {
    "first reference": "/read",
    "commit": "/write",
    "save": "/save",
    "atomic": "/atomic",
    "login": "/login",
    "renewal": "/renew",
    "logout": "/logout",
    "hook before": "/before",
    "hook after": "/after",
    "error page": "/nowhere",
    "generator": "/stream",
    "commit of a generator": "/stream/write",
    "save in a generator": "/stream/save",
}
LATER = {
    "/write",
    "/save",
    "/atomic",
    "/login",
    "/renew",
    "/logout",
    "/stream/write",
    "/stream/save",
}
"""Where the store goes after the session was loaded."""


@servers
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("outage", OUTAGES)
def test_wherever_it_strikes_it_is_a_503_and_no_logout(engine, outage, place, caplog):
    path = PLACES[place]
    if outage == "never started":
        engine.strike(outage)
    world = new_world(engine.options)
    visit = world.visitor(None if path in LATER else f"bottlecookie={new_session_id()}")
    if outage != "never started":
        assert visit("/set").code == 200
        if path in LATER:
            world.strike = lambda: engine.strike(outage)
        else:
            engine.strike(outage)
    cookie = visit.cookie
    if outage == "never started" and path == "/logout":
        assert visit(path).code == 200  # nothing is stored of this visitor: nothing to ask
    else:
        check_unavailable(visit(path))
        assert world.count("unavailable") == 1
        words = "did not answer in time" if outage == "frozen" else "cannot be reached"
        assert words in next(e.detail for e in world.events if e.name == "unavailable")
        assert words in caplog.text
        assert visit.cookie == cookie
    assert visit("/plain").text == "plain"

    world.strike = lambda: None
    engine.back(outage)
    after = visit("/read")
    assert after.code == 200
    kept = outage == "frozen" or (outage == "killed" and engine.keeps)
    if place == "logout" and outage == "frozen":
        return  # the command was there when the server went on, and has been executed
    assert after.text == ("kept" if kept else "None")
    assert visit("/set").code == 200
    assert visit("/read").text == "kept"


@servers
@pytest.mark.parametrize("path", ["/insist", "/insist/save"])
@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_one_request_waits_once(engine, outage, path):
    world = new_world(engine.options)
    visit = world.visitor()
    visit("/set")
    if path == "/insist":
        engine.strike(outage)
    else:
        world.strike = lambda: engine.strike(outage)
    reply = visit(path)
    if path == "/insist":  # the handler has an answer, and the session was never there
        assert (reply.code, reply.text) == (200, "went on without")
        assert reply.seconds < WAIT + MARGIN
    else:  # what it wanted to store is not stored
        check_unavailable(reply)
    assert reply.get("Set-Cookie") is None
    assert world.count("unavailable") == 1
    engine.back(outage)


@servers
def test_a_restart_that_nobody_noticed(engine):
    world = new_world(engine.options)
    visit = world.visitor()
    visit("/set")
    engine.server.restart()
    assert visit("/read").text == ("kept" if engine.keeps else "None")
    assert visit("/set").code == 200
    assert world.count("unavailable") == 0


@servers
@pytest.mark.parametrize("outage", OUTAGES)
def test_the_apps_own_page_is_used(engine, outage):
    engine.strike(outage)
    world = new_world(engine.options)
    world.app.error(503)(lambda error: f"ours: {error.status_code}")
    for cookie, path in ((f"bottlecookie={new_session_id()}", "/read"), (None, "/write")):
        check_unavailable(world.visitor(cookie)(path), text="ours: 503")
    engine.back(outage)


@servers
@pytest.mark.parametrize("outage", OUTAGES)
def test_anonymous_serves_on_and_refuses_what_would_be_wrong(engine, outage, caplog):
    if outage == "never started":
        engine.strike(outage)
    world = new_world(engine.options, session_on_outage="anonymous")
    visit = world.visitor(f"bottlecookie={new_session_id()}")
    if outage != "never started":
        visit("/set")
        engine.strike(outage)
    cookie = visit.cookie
    for path, text in (("/read", "None"), ("/write", ""), ("/stream", "firstsecond")):
        reply = visit(path)
        assert (reply.code, reply.text) == (200, text)
        assert reply.get("Set-Cookie") is None
        assert reply.seconds < WAIT + MARGIN
    assert "write dropped" in caplog.text
    for path in ("/login", "/renew", "/logout"):
        check_unavailable(visit(path))
    assert visit.cookie == cookie
    newcomer = world.visitor()
    reply = newcomer("/set")
    assert (reply.code, newcomer.cookie) == (200, None)
    for path in ("/login", "/renew"):
        check_unavailable(newcomer(path))

    engine.back(outage)
    kept = outage == "frozen" or (outage == "killed" and engine.keeps)
    assert visit("/read").text == ("kept" if kept else "None")
    newcomer("/set")
    assert newcomer("/read").text == "kept"


# --- stores that refuse -------------------------------------------------------------------------


def refused(visit: Visitor, world: World, path: str, *words: str) -> None:
    """The answer is 503, the cause is named, and the session is as it was."""
    before = len(world.events)
    check_unavailable(visit(path))
    details = [e.detail for e in world.events[before:] if e.name == "unavailable"]
    assert len(details) == 1
    assert all(word in details[0] for word in words), details


@servers
def test_redis_without_memory():
    redis = pytest.importorskip("redis")
    with running(redis_server, "--maxmemory-policy", "noeviction") as server:
        admin = redis.Redis(port=server.port)
        world = new_world({"cache_type": "Redis", "port": server.port})
        visit = world.visitor()
        visit("/set")
        admin.config_set("maxmemory", "1kb")
        refused(visit, world, "/write", "out of memory", "maxmemory")
        refused(world.visitor(), world, "/write", "out of memory")
        assert visit("/read").text == "kept"
        admin.config_set("maxmemory", "0")
        assert visit("/write").code == 200
        admin.close()


@servers
def test_redis_that_is_a_read_only_replica():
    redis = pytest.importorskip("redis")
    with running(redis_server) as server:
        admin = redis.Redis(port=server.port)
        world = new_world({"cache_type": "Redis", "port": server.port})
        visit = world.visitor()
        visit("/set")
        admin.replicaof("127.0.0.1", "1")
        for path in ("/write", "/logout", "/login"):
            refused(visit, world, path, "read-only replica", "master")
        assert visit("/read").text == "kept"
        admin.replicaof("NO", "ONE")
        assert visit("/write").code == 200
        admin.close()


@servers
def test_redis_whose_user_may_not_run_scripts():
    redis = pytest.importorskip("redis")
    with running(redis_server) as server:
        admin = redis.Redis(port=server.port)
        admin.execute_command("ACL SETUSER app on >word ~* +@all -@scripting")
        backing = Backing("Redis", host=f"redis://app:word@127.0.0.1:{server.port}", wait=WAIT)
        world = new_world(backing)
        visit = world.visitor()
        visit("/set")
        refused(visit, world, "/write", "lacks a right", "evalsha")
        assert visit("/read").text == "kept"
        admin.execute_command("ACL SETUSER app +@scripting")
        assert visit("/write").code == 200
        admin.close()


@servers
def test_memcached_and_a_session_that_is_too_large_for_it():
    with running(memcached_server, "-I", "1m") as server:
        options = {"cache_type": "Memcached", "servers": [server.address]}
        world = new_world(options, session_max_bytes=8 * 1024 * 1024)
        visit = world.visitor()
        visit("/set")
        for each in (visit, world.visitor()):
            reply = each("/fill/2000000")
            assert reply.code == 500
            assert reply.get("Set-Cookie") is None
            assert "RecordTooLarge: memcached" in reply.errors
            assert "memcached -I" in reply.errors
        assert visit("/read").text == "kept"
        assert visit("/fill/100").code == 200


@servers
def test_memcached_without_memory():
    with running(memcached_server, "-M", "-m", "8") as server:
        world = new_world({"cache_type": "Memcached", "servers": [server.address]})
        visit = world.visitor()
        visit("/set")
        for _ in range(200):
            reply = world.visitor()("/fill/100000")
            if reply.code != 200:
                break
        check_unavailable(reply)
        assert "out of memory: raise memcached -m" in world.events[-1].detail
        assert visit("/read").text == "kept"


@contextmanager
def small_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """A disk that can be filled: a real one where this process may mount, else a pretended one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", str(folder)]
    real = False
    if shutil.which("mount") and hasattr(os, "getuid") and os.getuid() == 0:
        real = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    if real:
        try:
            yield lambda: (folder / "filler").write_bytes(b"x" * (FULL - 8 * 4096))
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
    else:

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        yield lambda: monkeypatch.setattr(os, "write", full)
        monkeypatch.undo()


def test_files_on_a_full_disk(tmp_path, monkeypatch):
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, monkeypatch) as fill:
        world = new_world({"cache_type": "FileSystem", "cache_dir": folder})
        visit = world.visitor()
        visit("/set")
        fill()
        refused(visit, world, "/fill/40000", "the disk is full")
        refused(world.visitor(), world, "/fill/40000", "the disk is full")
        assert visit("/read").text == "kept"
        assert [path.suffix for path in folder.glob("sessions/*")] == [".session"]


@pytest.mark.parametrize("what", [".", "sessions"])
def test_files_whose_folder_is_gone(tmp_path, what):
    folder = tmp_path / "files"
    world = new_world({"cache_type": "FileSystem", "cache_dir": folder})
    visit = world.visitor()
    visit("/set")
    gone = (folder / what).resolve()
    away = tmp_path / "away"
    for path, each in (("/read", visit), ("/write", world.visitor())):
        gone.rename(away)
        refused(each, world, path, "the folder is gone")
        away.rename(gone)
        assert visit("/read").text == "kept"
        assert each(path).code == 200
    world.strike = lambda: gone.rename(away)
    refused(visit, world, "/write", "the folder is gone")
    away.rename(gone)
    assert visit("/read").text == "kept"


def test_files_whose_lock_is_held(tmp_path):
    """As by a process that stands still in the middle of a write."""
    fcntl = pytest.importorskip("fcntl")
    world = new_world({"cache_type": "FileSystem", "cache_dir": tmp_path})
    visit = world.visitor()
    visit("/set")
    with ExitStack() as held:
        for number in range(64):
            lock = held.enter_context((tmp_path / "locks" / f"{number:02}.lock").open("ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        refused(visit, world, "/write", "lock file", "was held by somebody else for 0.3 s")
        assert visit("/read").text == "kept"
    assert visit("/write").code == 200


@contextmanager
def without_permission(folder: Path) -> Iterator[None]:
    """This process may read the folder and not write to it."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions of another kind")
def test_files_in_a_folder_that_cannot_be_written():
    with tempfile.TemporaryDirectory() as name:  # all may enter it, unlike tmp_path
        folder = Path(name)
        folder.chmod(0o755)
        options = {"cache_type": "FileSystem", "cache_dir": folder, "mode": 0o644}
        world = new_world(options)
        visit = world.visitor()
        visit("/set")
        with without_permission(folder / "sessions"):
            refused(visit, world, "/write", "no permission")
            refused(world.visitor(), world, "/write", "no permission")
            assert visit("/read").text == "kept"
        assert visit("/write").code == 200


# --- what is too much, and others who are faster ------------------------------------------------


@pytest.fixture(params=["SimpleCache", "FileSystem", "Redis", "Memcached"])
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> Backing:
    options: dict[str, Any] = {}
    if request.param == "FileSystem":
        options["cache_dir"] = tmp_path
    elif request.param == "Redis":
        options["port"] = request.getfixturevalue("redis_port")
    elif request.param == "Memcached":
        options["servers"] = [f"127.0.0.1:{request.getfixturevalue('memcached_port')}"]
    return Backing(request.param, **options)


def test_a_session_beyond_session_max_bytes(backing, caplog):
    world = new_world(backing, session_max_bytes=4000)
    visit = world.visitor()
    visit("/set")
    assert "half of max_bytes" not in caplog.text
    for each in (visit, world.visitor()):
        reply = each("/fill/4000")
        assert reply.code == 500
        assert reply.get("Set-Cookie") is None
        assert f"{RecordTooLarge.__name__}: the session takes 4" in reply.errors
        assert "max_bytes is 4000" in reply.errors
    assert visit("/read").text == "kept"
    assert "half of max_bytes" not in caplog.text
    assert visit("/fill/2500").code == 200
    assert "1 sessions were larger than half of max_bytes" in caplog.text
    assert visit("/read").text == "kept"


class Faster:
    """A store in which somebody else always writes just before."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.load, self.create, self.delete = store.load, store.create, store.delete
        self.enabled = False

    def replace(self, key: str, version: Any, record: bytes, ttl: float) -> bool:
        if self.enabled:
            found, current = self.store.load(key)
            head = os.urandom(8).hex().encode()
            assert self.store.replace(key, current, head + found[16:], ttl)
        done: bool = self.store.replace(key, version, record, ttl)
        return done


@pytest.mark.parametrize("path", ["/write", "/save", "/atomic", "/login"])
def test_others_who_are_faster_until_the_time_bound(backing, path):
    store = Faster(find_store(backing))
    world = new_world(store, session_wait=0.1)
    world.app.error(503)(lambda error: type(error.exception).__name__)
    visit = world.visitor()
    visit("/set")
    store.enabled = True
    check_unavailable(visit(path), text=ConflictTimeout.__name__)
    store.enabled = False
    assert world.events[-1].detail.endswith("nothing of this one was stored")
    assert visit("/read").text == "kept"
    assert visit(path).code == 200
