"""Fuzzing of all that a client sends, and of all that may lie in a store.

    python -m benchmarks.fuzz --examples 1000000
    python -m benchmarks.fuzz --targets records requests --seed 7

Each example is a good input that was damaged a few times: characters and words put in, pieces cut
out, doubled, or taken from another good input. The same seed does the same damage; the ids in the
inputs are new in every run. Targets:

headers     Cookie headers through CookiePolicy (plain and __Host-) and IdCookie
signatures  cookie values through CookieSigner
records     bytes in the store through a SessionManager: open, change, commit, open again
requests    Cookie headers through the whole plugin over WSGI, with and without session_secret

What must hold is in the `check` of each. tests/test_security_fuzz.py gives the same checks inputs
of Hypothesis, and a share of these.
"""

from __future__ import annotations

import argparse
import logging
import platform
import random
import re
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from bottle import Bottle, request

from BottleSessions import BottleSessions
from session_cookies import BadSignature, CookieError, CookiePolicy, CookieSigner
from session_core import IdCookie, MemoryStore, NewerRecord, SessionManager
from session_core.ids import is_session_id, new_session_id, store_key
from session_core.record import DamagedRecord, Dead, read_record
from session_core.request import LONGEST
from session_core.testing import FakeClock

NOW = 1_800_000_000.0
KEYS = ["the first key of three, 4711", "the second key of three, 0815", "and the third one, 1234"]
ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")

# What parsers stumble over. The last line is what WSGI can never carry, but a caller could.
WORDS = [
    ";", ",", "=", '"', " ", "\t", "\r\n", "\0", "\x7f", "\x80", "\xa0", "\xff", "\\", "%00", "../",
    "; ", ", ", "==", '"";', "sid", "sid=", "__Host-sid=", "bottlecookie", "bottlecookie=", ".",
    "A" * 43, "A" * 42, "A" * 44, "A" * 43 + ".", "\n", "$Version=1", "Path=/", "SID=", "sid =",
    "sc1", "sc2", "sc99", "live", "dead", "[", "]", "{", "}", ":", "~", '"~~set":', '"~~decimal":',
    "nan", "inf", "-1", "0", "1e999", "9" * 30, "9" * 5000, "NaN", "Infinity", "null", "true", "[]",
    '{"~~datetime":["2026-01-31T12:00:00+01:00","../../etc/passwd",0]}', '{"~~tuple":[]}',
    '{"~~timedelta":[999999999999,0,0]}', '{"~~bytes":"!"}', '"\\ud800"', "\\u0000", "[" * 300,
    '{"~[]":1}', '{"~~float":"nan"}', '{"~":1}', '{"~~uuid":""}', ",\n", '"a":1', "(", ")",
    "\ud800", "\u2000", "\U0001f36a",
]  # fmt: skip


class Mutator:
    """Damages good inputs. All of them are text; bytes are text of the characters 0 to 255."""

    def __init__(self, seeds: list[str], words: list[str] = WORDS) -> None:
        self.seeds = seeds
        self.words = words

    def make(self, rng: random.Random) -> str:
        text = rng.choice(self.seeds)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 6))):
            text = self._damaged(text, rng)
        return text

    def _damaged(self, text: str, rng: random.Random) -> str:
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 1, 4, 16, 64)))
        way = rng.randrange(6)
        if way == 0:
            return text[:start] + chr(rng.randrange(256)) + text[start + 1 :]
        if way == 1:
            return text[:start] + rng.choice(self.words) + text[start:]
        if way == 2:
            return text[:start] + rng.choice(self.words) + text[end:]
        if way == 3:
            return text[:start] + text[end:]
        if way == 4:
            return text[:end] + text[start:]
        other = rng.choice(self.seeds)
        return text[:start] + other[rng.randrange(len(other) + 1) :]


class Target(Protocol):
    """Something to be fuzzed: inputs, and what must hold for each."""

    def make(self, rng: random.Random) -> Any: ...

    def check(self, given: Any) -> None: ...


class Headers:
    """Reading never raises, invents nothing, and what it finds breaks out of no header."""

    def __init__(self) -> None:
        self.plain = CookiePolicy("sid")
        self.host = CookiePolicy("__Host-sid")
        self.ids = IdCookie("sid")
        good = new_session_id()
        seeds = ["", "sid", f"sid={good}", f"__Host-sid={good}", f'a=b; sid="{good}"; c=d']
        seeds += [f"sid={good}; sid={new_session_id()}", f"x=1,sid={good}", "theme=dark; lang=en"]
        self.make = Mutator(seeds).make

    def check(self, given: str) -> None:
        pairs = list(browser_pairs(given))
        # A name with a prefix: what a browser calls that, and nothing else.
        assert self.host.read(given) == [value for name, value in pairs if name == "__Host-sid"]
        # Any other name: the same, and after it what may stand behind a comma.
        found = self.plain.read(given)
        ours = [value for name, value in pairs if name == "sid"]
        assert found[: len(ours)] == ours
        assert all(value in given for value in found)
        for value in found:
            try:
                line = self.plain.issue(value)
            except CookieError:
                continue
            assert line == f"sid={value}; HttpOnly; Path=/; SameSite=Lax; Secure"
            assert re.fullmatch(r"[!-~]*", value)
            assert not set(value) & set('",;\\')
        for value in self.ids.read(given):
            assert ALPHABET.issuperset(value)
            assert value in given
        clean = [value for name, value in pairs if name == "sid" and is_session_id(value)]
        if "," not in given and not re.search(r"sid[ \t]|=[ \t]", given):
            assert set(clean) <= set(self.ids.read(given))


def browser_pairs(header: str) -> Iterator[tuple[str, str]]:
    """The cookies of a header as RFC 6265 has them, slowly; a comma ends a header line."""
    for part in header.split(";"):
        name, equals, value = part.split(",")[0].partition("=")
        if equals:
            value = re.sub(r"^[ \t]+|[ \t]+\Z", "", value)
            quoted = re.fullmatch(r'"(.*)"', value, re.DOTALL)
            yield re.sub(r"^[ \t]+|[ \t]+\Z", "", name), quoted[1] if quoted else value


class Signatures:
    """Only what was signed is accepted; anything else is a BadSignature and no other error."""

    def __init__(self) -> None:
        self.one = CookieSigner(KEYS[:1], cookie_name="sid")
        self.all = CookieSigner(KEYS, cookie_name="sid")
        values = ["", "value", "a.b", new_session_id(), new_session_id()]
        # For each signer, what it accepts: the signed form, and the value.
        self.by_one = {self.one.sign(value): value for value in values}
        self.by_last = {self.all.sign(value): value for value in values}
        foreign = CookieSigner(KEYS, cookie_name="other")
        others = [foreign.sign(value) for value in values]
        self.make = Mutator([*self.by_one, *self.by_last, *others, *values, "v" * 4052]).make

    def check(self, given: str) -> None:
        self._check(self.one, self.by_one, given)
        self._check(self.all, {**self.by_one, **self.by_last}, given)
        assert self.one.is_current(given) == (given in self.by_one)
        assert self.all.is_current(given) == (given in self.by_last)
        try:
            signed = self.all.sign(given)
        except CookieError:
            return
        assert re.fullmatch(r"[!#-+\--:<-\[\]-~]{44,4096}", signed)
        assert self.all.unsign(signed) == given

    def _check(self, signer: CookieSigner, accepted: dict[str, str], given: str) -> None:
        try:
            value = signer.unsign(given)
        except BadSignature as error:
            assert given not in accepted
            assert not given or repr(given)[1:-1] not in str(error) or len(given) < 10
        else:
            assert accepted[given] == value


class Planted:
    """A store of one record, which somebody else may have put there."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def load(self, key: str) -> tuple[bytes, bytes] | None:
        record = self.records.get(key)
        return None if record is None else (record, record[:16])

    def create(self, key: str, record: bytes, ttl: float) -> bool:
        if key in self.records:
            return False
        self.records[key] = record
        return True

    def replace(self, key: str, version: bytes, record: bytes, ttl: float) -> bool:
        if key not in self.records or self.records[key][:16] != version:
            return False
        self.records[key] = record
        return True

    def delete(self, key: str) -> None:
        self.records.pop(key, None)


VALUES: dict[Any, Any] = {
    "text": 'é"\\\n\0', "int": 2**70, "float": 1.5e300, "list": [1, [2, {"a": None}]],
    "tuple": (1, (2,)), "set": {1, "a", (1, 2)}, "frozenset": frozenset({b"x"}), "bytes": b"\0\xff",
    "moment": datetime(2026, 1, 31, 12, tzinfo=UTC), "day": date(2026, 1, 31), "~": True,
    "span": timedelta(days=-3, microseconds=5), "price": Decimal("-1.50"), 1: {2: 3, None: 4},
    "uuid": UUID(int=7), "nan": [float("nan"), float("inf")], (1, "a"): {"~~set": [1]},
}  # fmt: skip


class Records:
    """Whatever lies there: a session, or a new one under a new id, and it can be worked with."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.policy = CookiePolicy("sid")
        self.store = Planted()
        self.manager = SessionManager(self.store, clock=self.clock, absolute_timeout=10**9, wait=1)
        session = self.manager.open()
        session.update(VALUES)
        session.session_login("alice")
        session.session_persistent = True
        self.id = self.manager.commit(session).session_id
        self.key = store_key(self.id)
        full = self.store.records[self.key].decode("latin-1")
        seeds = [full, full.partition("\n")[0] + '\n{"a":1,\n"b":[2]}']
        for work in (lambda s: s.clear(), lambda s: s.session_regenerate(), lambda s: s.clear()):
            work(session := self.manager.open(self.id))
            session["n"] = 1
            self.manager.commit(session)
            seeds.append(self.store.records[self.key].decode("latin-1"))
        self.mutator = Mutator(seeds)

    def make(self, rng: random.Random) -> bytes:
        return self.mutator.make(rng).encode("latin-1", "replace")

    def check(self, given: bytes) -> None:
        try:
            found = read_record(given)
            values = {} if isinstance(found, Dead) else found.values()
        except (DamagedRecord, NewerRecord):
            values = None
        self.store.records = {self.key: given}
        try:
            session = self.manager.open(self.id)
        except NewerRecord:
            return
        adopted = session.session_id == self.id
        assert type(values) is dict if adopted else dict(session) == {}
        session["fuzz"] = 1
        answer = self.manager.commit(session)
        if session.session_gone:  # a dead record, or an idle timeout of 0
            assert answer.action == "nothing"
            return
        assert answer.action == ("extend" if adopted else "issue")
        assert (answer.session_id == self.id) == adopted
        assert self.policy.issue(answer.session_id, min(answer.seconds, LONGEST)).startswith("sid=")
        again = self.manager.open(answer.session_id)
        assert (again.session_id, again["fuzz"]) == (answer.session_id, 1)
        assert len(again) == len(session)


class Counting(MemoryStore):
    """Notes the keys that were asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.asked: list[str] = []

    def load(self, key: str) -> Any:
        self.asked.append(key)
        return super().load(key)


class Lines(logging.Handler):
    """Formats every log line, as a real handler would."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Requests:
    """Every answer is 200, no id is adopted, and the store hears of nothing that cannot be ours."""

    def __init__(self, *, signed: bool = False) -> None:
        self.clock = FakeClock(NOW)
        self.store = Counting(self.clock)
        self.app = Bottle()
        self.signed = signed
        secret = KEYS if signed else None
        self.plugin = BottleSessions(
            self.app, self.store, session_secret=secret, session_clock=self.clock
        )
        self.app.route("/", callback=self.count)
        self.logged = Lines()
        self.live = {self.send("").partition("=")[2] for _ in range(3)}
        for session_id in self.live_ids():
            session = self.plugin.manager.open(session_id)
            session.session_save(expire=10**8)
        unknown = [new_session_id() + "." + "A" * 43, new_session_id(), "A" * 43, ""]
        seeds = ["", "theme=dark; lang=en"]
        for value in [*self.live, *unknown]:
            seeds += [f"bottlecookie={value}", f'a=b; bottlecookie="{value}"; c=d']
        first, second, *_ = [*self.live, *unknown]
        seeds += [f"bottlecookie={first}; bottlecookie={second}", f"x=1,bottlecookie={first}"]
        self.mutator = Mutator(seeds)

    def count(self) -> str:
        session = request.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    def live_ids(self) -> list[str]:
        return [value.partition(".")[0] for value in self.live]

    def make(self, rng: random.Random) -> str:
        # What a WSGI server can hand on: latin-1, and one line.
        text = self.mutator.make(rng).encode("latin-1", "replace").decode("latin-1")
        return re.sub(r"[\r\n]", " ", text)

    def send(self, header: str) -> str:
        """Send one request; return the pair of the cookie that comes back."""
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.errors": None,
            "HTTP_COOKIE": header,
        }  # fmt: skip
        body = b"".join(self.app(environ, lambda *given: started.extend(given)))
        assert started[0] == "200 OK", started[0]
        self.body = body.decode()
        cookies = [value for name, value in started[1] if name == "Set-Cookie"]
        (line,) = cookies
        pair, _, attributes = line.partition("; ")
        assert re.fullmatch(
            r"HttpOnly; Max-Age=(300|100000000); Path=/; SameSite=Lax; Secure", attributes
        )
        return str(pair)

    def check(self, given: str) -> None:
        self.clock.advance(0.01)
        self.store.asked.clear()
        self.logged.lines.clear()
        with listening(self.logged):
            name, _, value = self.send(given).partition("=")
        assert name == "bottlecookie"
        session_id = value.partition(".")[0]
        assert is_session_id(session_id)
        assert (value != session_id) == self.signed
        # The cookie is a new one, unless a live one came, which then goes on.
        assert (session_id in given) == (value in self.live) == (int(self.body) > 1)
        assert value not in self.live or value in given
        # Loaded is at most a handful, and nothing but what has the shape (and the signature).
        shapes = re.findall(r"(?<![\w-])[\w-]{43}(?![\w-])", given, re.ASCII)
        if self.signed:
            shapes = [each for each in self.live_ids() if each in shapes]
        assert len(self.store.asked) <= 8
        assert set(self.store.asked) <= {store_key(each) for each in shapes}
        for line in self.logged.lines:
            assert not any(each in line for each in [session_id, *shapes]), line


class SignedRequests(Requests):
    def __init__(self) -> None:
        super().__init__(signed=True)


TARGETS: dict[str, list[Callable[[], Target]]] = {
    "headers": [Headers],
    "signatures": [Signatures],
    "records": [Records],
    "requests": [Requests, SignedRequests],
}


@contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Send what the packages log to this handler alone, all levels."""
    loggers = [logging.getLogger(name) for name in ("session_core", "session_bottle")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def run(name: str, examples: int, seed: int | str) -> None:
    """Check this many examples of a target. What fails says which input it was."""
    rng = random.Random(f"{seed} {name}")
    with listening(logging.NullHandler()):
        targets = [make() for make in TARGETS[name]]
        for number in range(examples):
            target = targets[number % len(targets)]
            given = target.make(rng)
            try:
                target.check(given)
            except Exception as error:
                raise AssertionError(f"{name}, example {number}: {given!r}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=50_000, help="in all, over the targets")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    share = -(-options.examples // len(options.targets))
    print(f"Python {platform.python_version()}, {platform.machine()}, seed {options.seed}\n")
    print("| target | examples | seconds | µs for one |")
    print("|---|---:|---:|---:|")
    for name in options.targets:
        started = time.perf_counter()
        run(name, share, options.seed)
        seconds = time.perf_counter() - started
        print(f"| {name} | {share:,} | {seconds:.1f} | {seconds / share * 1e6:.0f} |", flush=True)
    print("\nNo example failed.")


if __name__ == "__main__":
    main()
