"""Attacks that fail, each named for what the attacker does; the app is called through WSGI."""

from __future__ import annotations

import io
import pickle
import re
import socket
import string
import threading
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from bottle import Bottle, HTTPResponse, request, response

from BottleSessions import Backing, BottleSessions, Session
from session_cookies import CookiePolicyError, CookieSigner
from session_core import ConfigurationError, MemoryStore, StoreUnavailable, UnstorableValue
from session_core.ids import new_session_id, store_key
from session_core.testing import FakeClock

KEY = "a key that nobody else has, 4711"
NEWER = "another key that nobody has, 0815"
CACHE_TYPES = ["SimpleCache", "FileSystem", "Redis", "Memcached"]


# --- browsers, apps and stores ------------------------------------------------------------------


@dataclass
class Reply:
    status: str
    headers: list[tuple[str, str]]
    text: str

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Browser:
    """Keeps cookies. ``cookies`` is what an attacker may look into or change."""

    app: Any
    cookies: dict[str, str] = field(default_factory=dict)

    def __call__(self, path: str = "/", method: str = "GET", **environ: Any) -> Reply:
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": query,
            "wsgi.errors": io.StringIO(),
            **environ,
        }
        setup_testing_defaults(environ)
        if self.cookies:
            pairs = [f"{name}={value}" for name, value in self.cookies.items()]
            environ.setdefault("HTTP_COOKIE", "; ".join(pairs))
        started: list[Any] = []

        def start_response(status, headers, exc_info=None):
            started[:] = [status, list(headers)]
            return lambda data: None

        body = validator(self.app)(environ, start_response)
        text = b"".join(body).decode()
        body.close()
        reply = Reply(*started, text)
        for line in reply.all("Set-Cookie"):
            pair, _, attributes = line.partition("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes.split("; "):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return reply


def new_app(store: Any = None, **options: Any) -> Bottle:
    """A shop with logins. What a session holds is its answer."""
    app = Bottle()
    app.btl = BottleSessions(app, store, **options)

    @app.route("/")
    def show() -> str:
        session = request.session
        return f"{session.session_owner} {sorted(session.items(), key=str)}"

    @app.route("/set/<key>/<value>")
    def put(key: str, value: str) -> str:
        request.session[key] = value
        return "set"

    @app.route("/login/<name>")
    def login(name: str) -> str:
        request.session["secret"] = f"{name}'s secret"
        request.session.session_login(name)
        return "in"

    @app.route("/renew")
    def renew() -> str:
        request.session.session_regenerate()
        return "renewed"

    @app.route("/logout")
    def logout() -> str:
        request.session.session_logout()
        return "out"

    return app


EMPTY = "None []"


def cookie_of(browser: Browser, name: str = "bottlecookie") -> str:
    return browser.cookies[name]


class Untouchable(MemoryStore):
    """A store that must not be asked."""

    def load(self, key: str) -> Any:
        raise AssertionError("the store was asked")


@dataclass
class Place:
    """A backing, and what somebody with the keys of its server can do."""

    cache_type: str
    options: dict[str, Any]

    def backing(self, **options: Any) -> Backing:
        return Backing(self.cache_type, **{**self.options, **options})

    def plant(self, session_id: str, data: bytes) -> None:
        """Put these bytes where the record of the session is."""
        key = store_key(session_id)
        if self.cache_type == "FileSystem":
            (path,) = [
                path
                for path in Path(self.options["cache_dir"], "sessions").iterdir()
                if path.stem == sha256(key.encode()).hexdigest()
            ]
            path.write_bytes(data)
        elif self.cache_type == "Redis":
            name = f"{self.options['key_prefix']}session:{key}"
            with closing(self.redis()) as client:
                assert client.exists(name)
                client.set(name, data)
        else:
            # With the flag by which pymemcache, like other clients, knows a pickle.
            name = f"{self.options['key_prefix']}session:{key}"
            with closing(self.memcached()) as client:
                assert client.get(name)
                assert client.set(name, data, flags=1, noreply=False)

    def redis(self) -> Any:
        import redis

        return redis.Redis(host="127.0.0.1", port=self.options["port"])

    def memcached(self) -> Any:
        import pymemcache

        return pymemcache.Client(self.options["servers"][0])

    def dump(self, backing: Backing) -> bytes:
        """Everything that the server keeps: keys and records."""
        if self.cache_type == "SimpleCache":
            entries = backing.store._entries
            return b"\n".join(
                part for name, (_, record) in entries.items() for part in (name.encode(), record)
            )
        if self.cache_type == "FileSystem":
            files = [path for path in Path(self.options["cache_dir"]).rglob("*") if path.is_file()]
            return b"\n".join(part for p in files for part in (str(p).encode(), p.read_bytes()))
        if self.cache_type == "Redis":
            with closing(self.redis()) as client:
                names = client.keys(f"{self.options['key_prefix']}*")
                return b"\n".join(part for name in names for part in (name, client.get(name)))
        prefix = self.options["key_prefix"].encode()
        with closing(self.memcached()) as client:
            names = [name for name in memcached_keys(client) if name.startswith(prefix)]
            return b"\n".join(part for name in names for part in (name, client.get(name)))


def memcached_keys(client: Any) -> list[bytes]:
    """Every key of a memcached, by its own command for that."""
    with socket.create_connection(("127.0.0.1", int(client.server[1])), 5) as connected:
        connected.sendall(b"lru_crawler metadump all\r\n")
        data = b""
        while not data.endswith(b"END\r\n"):
            data += connected.recv(65536)
    return [unquote_to_bytes(name) for name in re.findall(rb"^key=(\S+)", data, re.MULTILINE)]


def new_place(cache_type: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    prefix = f"{new_session_id()[:8]}:"
    if cache_type == "FileSystem":
        return Place(cache_type, {"cache_dir": str(folder / "store")})
    if cache_type == "Redis":
        port = request.getfixturevalue("redis_port")
        return Place(cache_type, {"host": "127.0.0.1", "port": port, "key_prefix": prefix})
    if cache_type == "Memcached":
        port = request.getfixturevalue("memcached_port")
        return Place(cache_type, {"servers": [f"127.0.0.1:{port}"], "key_prefix": prefix})
    return Place(cache_type, {})


@pytest.fixture(params=CACHE_TYPES)
def place(request, tmp_path):
    return new_place(request.param, request, tmp_path)


@pytest.fixture(params=CACHE_TYPES[1:])
def server(request, tmp_path):
    return new_place(request.param, request, tmp_path)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("COOKIE", "LIFE", "SECURE", "PATH", "SECRET"):
        monkeypatch.delenv(f"SESSION_{name}", raising=False)


# --- fixation -----------------------------------------------------------------------------------


def test_an_attacker_plants_an_id_of_his_own_making(place):
    app = new_app(place.backing())
    victim = Browser(app, {"bottlecookie": "A" * 43})
    victim("/set/cart/apples")
    assert cookie_of(victim) != "A" * 43
    assert Browser(app, {"bottlecookie": "A" * 43})().text == EMPTY


def test_an_attacker_plants_his_own_session_before_the_login(place):
    app = new_app(place.backing())
    attacker, victim = Browser(app), Browser(app)
    attacker("/set/planted/1")
    victim.cookies = dict(attacker.cookies)
    victim("/login/alice")
    assert "alice's secret" in victim().text
    assert attacker().text == EMPTY
    attacker("/set/more/1")
    assert "more" not in victim().text


def test_an_attacker_learns_the_id_before_the_rights_grow(place):
    app = new_app(place.backing())
    victim = Browser(app)
    victim("/login/alice")
    attacker = Browser(app, dict(victim.cookies))
    assert "alice" in attacker().text
    victim("/renew")
    assert attacker().text == EMPTY
    assert "alice" in victim().text


def test_an_attacker_passes_the_id_in_everything_but_the_cookie():
    app = new_app(Untouchable())
    app.route("/", "POST", callback=lambda: str(sorted(request.session)))
    victim = new_session_id()
    for pair in (f"bottlecookie={victim}", f"session={victim}", f"session_id={victim}"):
        browser = Browser(app)
        for reply in (
            browser(f"/?{pair}"),
            browser(f"/;{pair}"),
            browser(QUERY_STRING=pair, HTTP_REFERER=f"http://localhost/?{pair}"),
            browser(HTTP_AUTHORIZATION=f"Bearer {victim}", HTTP_X_SESSION_ID=victim),
            browser(HTTP_BOTTLECOOKIE=victim, HTTP_COOKIE2=pair, HTTP_X_COOKIE=pair),
            browser(
                method="POST",
                CONTENT_TYPE="application/x-www-form-urlencoded",
                CONTENT_LENGTH=str(len(pair)),
                **{"wsgi.input": io.BytesIO(pair.encode())},
            ),
        ):
            assert not reply.all("Set-Cookie")


# --- replay -------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, KEY])
def test_an_attacker_replays_a_cookie_after_the_logout(place, secret):
    app = new_app(place.backing(), session_secret=secret)
    victim = Browser(app)
    victim("/login/alice")
    attacker = Browser(app, dict(victim.cookies))
    victim("/logout")
    assert victim.cookies == {}
    assert attacker().text == EMPTY
    attacker("/set/cart/apples")
    attacker("/renew")
    assert attacker().text == EMPTY


@pytest.mark.parametrize("secret", [None, KEY])
def test_an_attacker_replays_every_cookie_of_a_session_that_was_renewed(place, secret):
    app = new_app(place.backing(), session_secret=secret)
    victim = Browser(app)
    stolen = []
    for path in ("/set/a/1", "/login/alice", "/renew", "/login/alice"):
        victim(path)
        stolen.append(dict(victim.cookies))
    for cookies in stolen[:-1]:
        attacker = Browser(app, cookies)
        assert attacker().text == EMPTY
        attacker("/set/planted/1")
    assert "planted" not in victim().text


def test_an_attacker_replays_a_cookie_whose_dead_record_is_gone_too():
    clock = FakeClock()
    app = new_app(MemoryStore(clock=clock), session_clock=clock)
    victim = Browser(app)
    victim("/login/alice")
    attacker = Browser(app, dict(victim.cookies))
    victim("/logout")
    clock.advance(61)
    assert attacker().text == EMPTY
    stolen = cookie_of(attacker)
    attacker("/set/a/1")
    assert cookie_of(attacker) != stolen
    assert attacker().text == "None [('a', '1')]"


def test_an_attacker_keeps_a_cookie_beyond_its_time():
    clock = FakeClock()
    app = new_app(MemoryStore(clock=clock), session_clock=clock, session_absolute=1000)
    victim = Browser(app)
    victim("/login/alice")
    attacker = Browser(app, dict(victim.cookies))
    for _ in range(4):
        clock.advance(240)
        attacker("/set/alive/1")  # as much as he likes
    assert "alice" in attacker().text
    clock.advance(40)
    assert attacker().text == EMPTY
    victim("/login/alice")
    clock.advance(301)
    assert Browser(app, dict(victim.cookies))().text == EMPTY


def test_an_attackers_slow_request_revives_what_was_logged_out(place):
    app = new_app(place.backing())
    victim = Browser(app)

    @app.route("/slow/<how>")
    def slow(how: str) -> str:
        session = request.session
        session["before"] = 1
        environ = request.environ
        thread = threading.Thread(target=victim, args=["/logout"])
        thread.start()
        thread.join()
        assert request.environ is environ
        if how == "renew":
            session.session_regenerate()
        elif how == "atomic":
            session.session_atomic(lambda data: data.update(late=1))
        elif how == "save":
            session.session_save(force=True)
        session["after"] = 1
        return how

    for how in ("write", "renew", "atomic", "save"):
        victim("/login/alice")
        attacker = Browser(app, dict(victim.cookies))
        reply = attacker(f"/slow/{how}")
        assert reply.text == how
        assert reply.all("Set-Cookie") == []
        assert attacker().text == EMPTY


def test_an_attackers_late_answer_revives_an_old_id_after_the_login(place):
    app = new_app(place.backing())
    victim = Browser(app)
    victim("/set/cart/apples")
    old = dict(victim.cookies)
    victim("/login/alice")
    late = Browser(app, old)
    assert late("/set/cart/pears").all("Set-Cookie") == []
    assert "apples" in victim().text


# --- forgery ------------------------------------------------------------------------------------


def test_an_attacker_forges_every_character_of_a_signed_cookie():
    store = MemoryStore()
    browser = Browser(new_app(store, session_secret=KEY))
    browser("/login/alice")
    value = cookie_of(browser)
    # The same cookies against an app of the same key whose store must not be asked.
    forger = Browser(new_app(Untouchable(), session_secret=KEY))
    forged = {value[:at] + "_" + value[at + 1 :] for at in range(len(value)) if value[at] != "_"}
    forged |= {value[:at] for at in range(len(value))}
    forged |= {value[at:] for at in range(1, len(value))}
    forged |= {value + more for more in ("=", ".", "A", value, "." + value)}
    forged |= {value.upper(), value.lower(), value[::-1], value.replace(".", ""), f".{value}"}
    for attempt in forged - {value}:
        assert forger(HTTP_COOKIE=f"bottlecookie={attempt}").text == EMPTY
    with pytest.raises(StoreUnavailable):
        forger.app.btl.manager.open(value[:43])  # that store does notice


def test_an_attacker_who_knows_an_id_has_no_key_for_it():
    store = MemoryStore()
    victim = Browser(new_app(store, session_secret=KEY))
    victim("/login/alice")
    session_id = cookie_of(victim)[:43]
    forger = Browser(new_app(Untouchable(), session_secret=KEY))
    for signer in (
        CookieSigner(NEWER, cookie_name="bottlecookie"),
        CookieSigner(KEY, cookie_name="othercookie"),
        CookieSigner(KEY + " ", cookie_name="bottlecookie"),
    ):
        forged = signer.sign(session_id)
        assert forger(HTTP_COOKIE=f"bottlecookie={forged}").text == EMPTY
    assert forger(HTTP_COOKIE=f"bottlecookie={session_id}").text == EMPTY


def test_an_attacker_has_an_old_key_that_was_taken_out():
    store = MemoryStore()
    victim = Browser(new_app(store, session_secret=[KEY]))
    victim("/login/alice")
    stolen = cookie_of(victim)
    victim.app = new_app(store, session_secret=[KEY, NEWER])
    assert "alice" in victim().text
    victim("/set/a/1")
    assert cookie_of(victim) != stolen
    victim.app = new_app(store, session_secret=[NEWER])
    assert "alice" in victim().text
    old = CookieSigner(KEY, cookie_name="bottlecookie").sign(stolen[:43])
    assert old == stolen
    assert Browser(victim.app)(HTTP_COOKIE=f"bottlecookie={old}").text == EMPTY


def test_an_attacker_hopes_that_a_text_is_taken_for_a_list_of_letters():
    app = new_app(Untouchable(), session_secret=KEY)
    for letter in set(KEY):
        with pytest.raises(CookiePolicyError):
            CookieSigner([letter], cookie_name="bottlecookie")
    assert len(app.btl.cookies[True]._signer._signers) == 1


@pytest.mark.parametrize(
    "secret", ["changeme" * 4, "secret", "0" * 64, "your-secret-key-here-please"]
)
def test_an_attacker_hopes_for_a_secret_out_of_a_tutorial(secret, monkeypatch):
    with pytest.raises(CookiePolicyError, match="python -m session_cookies secret"):
        BottleSessions(session_secret=secret)
    with pytest.raises(CookiePolicyError, match="python -m session_cookies secret"):
        BottleSessions(session_secret=[KEY, secret])
    monkeypatch.setenv("SESSION_SECRET", secret)
    with pytest.raises(CookiePolicyError, match="python -m session_cookies secret"):
        BottleSessions()


def test_an_attacker_hides_the_victims_cookie_behind_others():
    app = new_app(session_secret=KEY)
    victim = Browser(app)
    victim("/login/alice")
    value = cookie_of(victim)
    forged = "; ".join(f"bottlecookie={new_session_id()}.{'A' * 43}" for _ in range(20))
    assert "alice" in Browser(app)(HTTP_COOKIE=f"{forged}; bottlecookie={value}").text


# --- the store in the wrong hands ---------------------------------------------------------------


class Bomb:
    """What unpickling it does: make a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.mark.servers
def test_an_attacker_plants_a_pickle_under_the_sessions_key(server, tmp_path):
    marker = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(marker))
    head = b"h" * 16
    envelope = head + b" sc1 live 1800000000.0 1800000000.0 9e9 0 "
    backing = server.backing()
    events = []
    app = new_app(backing, session_on_event=events.append)
    for planted in (
        bomb,
        b"!" + bomb,  # as cachelib has it in Redis
        b"\0\0\0\0" + bomb,  # as cachelib has it in files
        b"\xffSR\xff" + b"\0\0\0\0\0\0\xf0\x7f" + bomb,  # in one of our own files, for ever
        b"\xffSR\xff" + b"\0\0\0\0\0\0\xf0\x7f" + envelope + b"[]\n" + bomb,
        head + bomb,
        envelope + b"[]\n" + bomb,
        envelope + b'["alice"]\n{"a":{"~~pickle":"' + bomb.hex().encode() + b'"}}',
        pickle.dumps(Bomb(marker), protocol=0),
    ):
        browser = Browser(app)
        browser("/login/alice")
        stolen = cookie_of(browser)
        server.plant(stolen, planted)
        events.clear()
        assert browser().text == EMPTY
        assert events[0].name == "damaged"
        browser("/set/cart/apples")
        assert cookie_of(browser) != stolen
        browser("/logout")
        assert not marker.exists()
    pickle.loads(bomb).close()
    assert marker.exists()  # it would have worked


def test_no_session_passes_through_pickle(place, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    backing = place.backing()
    with monkeypatch.context() as patched:
        for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
            patched.setattr(pickle, name, refuse)
        browser = Browser(new_app(backing, session_rolling=True))
        for path in ("/set/a/1", "/", "/login/alice", "/renew", "/set/b/2", "/", "/logout"):
            assert browser(path).status == "200 OK"
        session = Session(backing)
        session["a"] = {(1, 2): {3}}
        session.session_save()
        assert Session(backing, session.session_id) == session


def test_an_attacker_steals_a_dump_of_the_store(place):
    backing = place.backing()
    app = new_app(backing)
    victims = [Browser(app) for _ in range(3)]
    for number, victim in enumerate(victims):
        victim(f"/set/who/{number}")
        victim("/login/alice")
    victims[0]("/renew")
    victims[1]("/logout")
    dump = place.dump(backing)
    assert b"alice's secret" in dump  # it is the store
    for victim in (victims[0], victims[2]):
        assert cookie_of(victim).encode() not in dump
        assert cookie_of(victim)[:16].encode() not in dump
    # Whatever in it looks like an id, or could be made into one, opens nothing.
    texts = {text.decode() for text in re.findall(rb"[A-Za-z0-9_-]{16,}", dump)}
    keys = {text for text in texts if re.fullmatch("[0-9a-f]{64}", text)}
    assert keys
    for text in texts:
        for attempt in {text, text[:43], text[-43:], text[:43].ljust(43, "A")}:
            assert Browser(app, {"bottlecookie": attempt})().text == EMPTY


def test_an_attacker_who_reads_the_files_must_be_their_owner(tmp_path):
    app = new_app(Backing("FileSystem", cache_dir=str(tmp_path / "store")))
    Browser(app)("/login/alice")
    for path in (tmp_path / "store").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def record_of(owner: str) -> str:
    """What a record looks like, as an attacker would write it."""
    return (
        f'{"h" * 16} sc1 live 1800000000.0 9e9 9e9 0 ["{owner}"]\n{{"secret":"{owner}\'s secret"}}'
    )


def test_an_attacker_writes_a_session_into_the_apps_cache_and_opens_it(place):
    """He chooses key and value of what the app caches, and then the cookie."""
    backing = place.backing()
    app = new_app(backing)
    chosen = new_session_id()
    key = store_key(chosen)
    prefix = place.options.get("key_prefix", "")
    file = sha256(key.encode()).hexdigest()
    names = [
        key, chosen, f"session:{key}", f"{prefix}session:{key}", f"../sessions/{file}.session",
        f"../sessions/{file}", f"\r\nset {prefix}session:{key} 0 0 5\r\n", f"{file}.session",
        f"\n{key}", f"*session:{key}", f"cache:{key}",
    ]  # fmt: skip
    shift = record_of("alice")[2:]  # with what cachelib puts before it: 16 characters
    for value in (record_of("alice"), record_of("alice").encode(), shift, pickle.dumps("x")):
        for name in names:
            assert backing.set(name, value)
            assert Browser(app, {"bottlecookie": chosen})().text == EMPTY
            assert Session(backing, chosen).session_id != chosen
            assert backing.get(name) == value


def test_an_attacker_reads_a_session_out_of_the_apps_cache(place):
    backing = place.backing()
    app = new_app(backing)
    victim = Browser(app)
    victim("/login/alice")
    key = store_key(cookie_of(victim))
    prefix = place.options.get("key_prefix", "")
    file = sha256(key.encode()).hexdigest()
    for name in {key, f"session:{key}", f"{prefix}session:{key}", f"../sessions/{file}.session"}:
        assert backing.get(name) is None
        backing.delete(name)
        backing.set(name, "overwritten")
    backing.clear()
    assert "alice" in victim().text


@pytest.mark.servers
def test_an_attacker_takes_the_cookie_of_one_app_to_another_on_the_same_redis(redis_port):
    common = {"host": "127.0.0.1", "port": redis_port}
    prefix = new_session_id()[:8]
    one = {"key_prefix": f"{prefix}:one:", **common}
    two = {"key_prefix": f"{prefix}:two:", **common}
    for first, second in (
        # Another key_prefix.
        (new_app(Backing("Redis", **one)), new_app(Backing("Redis", **two))),
        # The same one, by mistake, but each its own secret.
        (
            new_app(Backing("Redis", **one), session_secret=KEY),
            new_app(Backing("Redis", **one), session_secret=NEWER),
        ),
        # One of the two signs.
        (new_app(Backing("Redis", **one)), new_app(Backing("Redis", **one), session_secret=KEY)),
        # The same secret, but another cookie.
        (
            new_app(Backing("Redis", **one), session_secret=KEY),
            new_app(Backing("Redis", **one), session_secret=KEY, session_cookie="other"),
        ),
    ):
        user = Browser(first)
        user("/login/alice")
        value = cookie_of(user)
        name = second.btl.cookie_name
        attacker = Browser(second, {name: value})
        assert attacker().text == EMPTY
        attacker("/set/mine/1")
        assert cookie_of(attacker, name) != value
        assert "mine" not in user().text


# --- input --------------------------------------------------------------------------------------

BAD_IDS = [
    "", ".", "..", "../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "con", "nul.txt",
    "\\\\host\\share", "C:\\", "file:///etc/passwd", "\0", "a\0b", "A" * 42 + "\0", "A" * 43 + "\n",
    "A" * 42 + "\n", "A" * 43 + "\r\nset x 0 0 1\r\nX", "A" * 42 + " ", "A" * 42 + "/", "A" * 42,
    "A" * 44, "A" * 100_000, "*", "?" * 43, "[a-z]" * 8 + "xyz", "{" * 43, "$(id)", "' OR 1",
    "%0d%0aSet-Cookie:x=1", "A" * 42 + "\u00c4", "A" * 42 + "\uff21", "\ud800" * 43, "٣" * 43,
    "\x7f" * 43, "\x1b[2J" + "A" * 39, "session:" + "a" * 35, "None", "null", "undefined", "{}",
]  # fmt: skip


@pytest.mark.parametrize("secret", [None, KEY])
def test_an_attacker_sends_paths_and_control_characters_as_an_id(secret):
    app = new_app(Untouchable(), session_secret=secret)
    for bad in BAD_IDS:
        for value in (bad, f'"{bad}"', f"{bad}.{'A' * 43}"):
            reply = Browser(app)(HTTP_COOKIE=f"bottlecookie={value}")
            assert (reply.status, reply.text) == ("200 OK", EMPTY)
            assert not reply.all("Set-Cookie")
    for bad in BAD_IDS:
        if bad:
            assert Session(Untouchable(), bad).session_id != bad


def test_an_attacker_sends_paths_as_keys_of_the_apps_cache(tmp_path):
    (tmp_path / "target").write_text("untouched")
    backing = Backing("FileSystem", cache_dir=str(tmp_path / "store"))
    for name in ("../../target", str(tmp_path / "target"), "../sessions/x.session", "\0", "a/b/c"):
        backing.set(name, "overwritten")
        assert backing.get(name) == "overwritten"
        backing.delete(name)
    assert (tmp_path / "target").read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} == {"target", "store"}
    assert list((tmp_path / "store" / "sessions").iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "a\r\nb", "a;b", "a=b", "a\0b", "é", "", "a,b", "\n"])
def test_an_attacker_chooses_the_cookie_name(name):
    with pytest.raises(CookiePolicyError):
        BottleSessions(session_cookie=name or " ")


@pytest.mark.parametrize(
    "options",
    [
        {"session_path": "/\r\nSet-Cookie: x=1"},
        {"session_path": "/; Domain=evil.example"},
        {"session_path": "/a b"},
        {"session_path": "/\0"},
        {"session_path": "/\u00e9"},
        {"session_path": "//" + "a" * 1024},
        {"session_domain": "example.com\r\nX: y"},
        {"session_domain": "example.com; Path=/x"},
        {"session_domain": "example.com, evil.example"},
        {"session_domain": "\u202eexample.com"},
        {"session_samesite": "Lax\r\nX: y"},
        {"session_samesite": "Lax; Domain=evil.example"},
        {"session_samesite": b"Lax"},
        {"session_expire": "300\r\nX: y"},
        {"session_expire": float("nan")},
        {"session_expire": float("inf")},
        {"session_partitioned": "yes\r\nX: y"},
        {"session_reference": "a\r\nb"},
        {"cache_type": "SimpleCache\r\n"},
        {"cache_type": "Memcached", "servers": ["127.0.0.1:1"], "key_prefix": "a\r\nflush_all"},
        {"cache_type": "Memcached", "servers": ["127.0.0.1:1"], "key_prefix": "a b"},
        {"cache_type": "Memcached", "servers": ["127.0.0.1:1"], "key_prefix": "\0"},
        {"cache_type": "FileSystem", "cache_dir": "a\0b"},
    ],
)
def test_an_attacker_injects_a_header_or_a_command_through_an_option(options):
    with pytest.raises((CookiePolicyError, ConfigurationError, ValueError)):
        BottleSessions(**options)


@pytest.mark.parametrize("variable", ["SESSION_COOKIE", "SESSION_PATH", "SESSION_LIFE"])
def test_an_attacker_injects_a_header_through_the_environment(variable, monkeypatch):
    monkeypatch.setenv(variable, "/x\r\nX-Injected: 1")
    with pytest.raises((CookiePolicyError, ConfigurationError)):
        BottleSessions()


INJECTION = "x\r\nX-Injected: 1\r\nSet-Cookie: injected=1; Path=/\0\x85\u2028"


def test_an_attacker_injects_a_header_through_keys_values_and_names(place):
    app = new_app(place.backing(), session_secret=KEY)

    @app.route("/inject/<where>")
    def inject(where: str) -> str:
        session = request.session
        session[INJECTION] = INJECTION
        if where == "owner":
            session.session_login(INJECTION)
        elif where == "atomic":
            session.session_atomic(lambda data: data.update({"\r\nX-Injected: 2": 1}))
        elif where == "delete":
            session.session_delete()
        elif where == "unstorable":
            session[INJECTION] = object()
        elif where == "persistent":
            session.session_persistent = True
        return where

    browser = Browser(app)
    for where in ("set", "owner", "atomic", "persistent", "unstorable", "delete"):
        browser.cookies["bottlecookie" if where == "set" else "other"] = "x"
        reply = browser(f"/inject/{where}", HTTP_X_FORWARDED_PROTO="https")
        assert reply.status.startswith("500" if where == "unstorable" else "200")
        assert len(reply.all("Set-Cookie")) == (0 if where == "unstorable" else 1)
        for name, value in reply.headers:
            assert "injected" not in f"{name}{value}".lower()
            assert not re.search(r"[\x00-\x1f\x7f-\U0010ffff]", name + value)


def test_an_attacker_chooses_the_life_time():
    """An app that hands on what it was sent."""
    app = new_app()

    @app.route("/remember/<seconds:float>")
    def remember(seconds: float) -> str:
        request.session["a"] = 1
        request.session.session_save(expire=seconds)
        return "ok"

    for path in ("0.5", "1e300", "99999999999999999999"):
        number = float(path)
        (line,) = Browser(app)(f"/remember/{number:.1f}").all("Set-Cookie")
        assert 0 < int(re.search(r"Max-Age=([0-9]+);", line)[1]) <= 2**31


def test_an_attacker_sends_thousands_of_cookies():
    class Counted(MemoryStore):
        loads = 0

        def load(self, key: str) -> Any:
            self.loads += 1
            return super().load(key)

    store = Counted()
    app = new_app(store)
    header = "; ".join(f"bottlecookie={new_session_id()}" for _ in range(5000))
    assert Browser(app)(HTTP_COOKIE=header).text == EMPTY
    app.route("/why", callback=lambda: app.btl.explain())
    assert len(Browser(app)("/why", HTTP_COOKIE=header).text) < 2000
    assert store.loads <= 16


# --- caches and other apps ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["installed", "merged", "opened by hand"])
def test_an_attacker_waits_for_a_shared_cache_to_keep_the_cookie(how):
    app = new_app()
    if how == "merged":
        parent = Bottle()
        parent.merge(app)
        app = parent
    elif how == "opened by hand":
        btl = app.btl

        @app.route("/login/alice", skip=[btl])
        def login() -> str:
            session = btl.open_session()
            session.session_login("alice")
            btl.close_session(session)
            return "in"

    browser = Browser(app)
    reply = browser("/login/alice")
    assert (len(reply.all("Set-Cookie")), reply.all("Cache-Control")) == (1, ["no-store"])
    assert reply.all("Vary") == ["Cookie"]
    reply = browser("/")
    assert reply.all("Vary") == ["Cookie"]
    reply = browser("/logout")
    assert (len(reply.all("Set-Cookie")), reply.all("Cache-Control")) == (1, ["no-store"])


def test_headers_left_alone_are_left_alone_in_a_merged_app_too():
    parent = Bottle()
    parent.merge(new_app(session_headers=False))
    reply = Browser(parent)("/set/a/1")
    assert (reply.all("Vary"), reply.all("Cache-Control")) == ([], [])
    assert len(reply.all("Set-Cookie")) == 1


def test_a_merged_apps_own_cache_control_stays():
    child, parent = new_app(), Bottle()

    @child.route("/own/<how>")
    def own(how: str) -> Any:
        request.session["a"] = 1
        if how == "raised":
            raise HTTPResponse("own", headers={"Cache-Control": "private"})
        response.set_header("Cache-Control", "private")
        return "own"

    parent.merge(child)
    for how in ("set", "raised"):
        assert Browser(parent)(f"/own/{how}").all("Cache-Control") == ["private"]


def test_an_attackers_cookies_are_never_answered_by_two_of_ours():
    app = new_app()

    @app.route("/twice")
    def twice() -> str:
        request.session["a"] = 1
        request.session.session_save()
        request.session.session_login("alice")
        request.session.session_save()
        request.session.session_regenerate()
        response.add_header("Set-Cookie", "bottlecookie=mine; Path=/")
        response.set_cookie("bottlecookie", "mine too")
        return "twice"

    reply = Browser(app)("/twice")
    (line,) = reply.all("Set-Cookie")
    assert "mine" not in line
    attributes = [part.partition("=")[0] for part in line.split("; ")]
    assert len(attributes) == len(set(attributes))


# --- ids ----------------------------------------------------------------------------------------


def test_an_attacker_looks_for_a_pattern_in_the_ids():
    app = new_app()
    ids = []
    for _ in range(300):
        browser = Browser(app)
        browser("/login/alice")
        ids.append(cookie_of(browser))
    assert len(set(ids)) == 300
    alphabet = set(string.ascii_letters + string.digits + "-_")
    assert all(len(each) == 43 and set(each) <= alphabet for each in ids)
    # Every place takes many values, but the last one, which has four bits.
    assert all(len({each[at] for each in ids}) > (48 if at < 42 else 11) for at in range(43))


def test_an_attacker_guesses_and_is_counted():
    events = []
    app = new_app(session_on_event=events.append)
    for guess in (new_session_id(), "A" * 43, "guess", "../../etc/passwd"):
        Browser(app, {"bottlecookie": guess})()
    assert [event.name for event in events] == ["unknown"] * 4
    events.clear()
    Browser(app)()
    Browser(app, {"bottlecookie": "", "other": "x"})()
    assert events == []


def test_unstorable_values_name_the_way_and_not_the_value():
    session = Session(MemoryStore())
    session["a"] = {"b": [b"fine", type("Secret", (), {"__repr__": lambda self: "leak"})()]}
    with pytest.raises(UnstorableValue) as caught:
        session.session_save()
    assert "leak" not in str(caught.value)
