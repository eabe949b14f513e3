"""The real manager, over every interleaving of two requests and every single fault.

Two threads run one request each. At every verb of the store they wait for the explorer, which lets
one of them go on, executes the verb or not, and may have the process die there or the answer get
lost. After each run the promises of the protocol are checked on what is in the store and what the
two clients were told. The runs of one pair are enumerated depth-first by replaying the choices.
"""

import itertools
import json
import threading
import types
from hashlib import sha256

import pytest

from session_core import MemoryStore, SessionManager, StoreUnavailable
from session_core.testing import FakeClock


class Crash(BaseException):
    """The process died before this verb."""


class Actor(threading.Thread):
    """One request at a time, which halts before every verb until it is told how that ends."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.job = None
        self.start()

    def run(self):
        while True:
            self.go.acquire()
            if self.job is None:
                return
            try:
                self.answer = self.job()
            except StoreUnavailable:
                self.answer = "503"
            except Crash:
                self.answer = "crash"
            except BaseException as error:
                self.answer = error
            self.verb = None
            self.back.release()

    def begin(self, job, store):
        self.job, self.store, self.verbs, self.live = job, store, 0, frozenset()
        self.verb = "start"
        self.step("run")

    def step(self, fate):
        """Let it run to its next verb, or to the end."""
        self.fate = fate
        self.go.release()
        self.back.acquire()

    def _ask(self, verb, *args):
        self.verb = verb
        self.back.release()
        self.go.acquire()
        self.verbs += 1
        if self.fate == "crash":
            raise Crash
        if self.fate == "lost":
            raise TimeoutError
        answer = getattr(self.store, verb)(*args)
        if verb != "load":
            self.live = frozenset(live_records(self.store))
        if self.fate == "unknown":
            raise TimeoutError
        return answer

    def fates(self):
        """Return how the coming verb may end: well, first."""
        if self.verbs == 0:
            return ("run",)
        return ("run", "crash", "lost", "unknown")[: 3 if self.verb == "load" else 4]

    def load(self, key):
        return self._ask("load", key)

    def create(self, key, record, ttl):
        return self._ask("create", key, record, ttl)

    def replace(self, key, version, record, ttl):
        return self._ask("replace", key, version, record, ttl)

    def delete(self, key):
        return self._ask("delete", key)


def live_records(store):
    """Return the live records by key, as documented: three words, then the rest."""
    records = ((key, store.load(key)[0]) for key in store.scan())
    return {key: record for key, record in records if record.split(b" ", 3)[2] == b"live"}


def key_of(session_id):
    return sha256(session_id.encode()).hexdigest()


def count(data):
    data["n"] = data.get("n", 0) + 1


OPERATIONS = {
    "write x": lambda s: s.update(x=1),
    "write y": lambda s: s.update(y=1),
    "nested": lambda s: s["seed"].update(z=1) if "seed" in s else None,
    "clear": lambda s: (s.clear(), s.update(c=1)),
    "atomic": lambda s: s.session_atomic(count),
    "regenerate": lambda s: s.session_regenerate(),
    "login": lambda s: (s.update(who=1), s.session_login("alice")),
    "logout": lambda s: s.session_logout(),
    "read": len,
}


class Run:
    """One pair of operations under one sequence of choices."""

    def __init__(self, actors, names):
        self.clock = FakeClock(1.8e9)
        self.store = MemoryStore(clock=self.clock)
        self.names = names
        session = SessionManager(self.store, clock=self.clock).open(None)
        session.update(seed={}, s=0)
        session.session_save()
        self.old = session.session_id
        self.clock.advance(100)
        self.actors = actors
        for actor, name in zip(actors, names, strict=True):
            actor.begin(lambda actor=actor, name=name: self.request(actor, name), self.store)

    def request(self, actor, name):
        manager = SessionManager(actor, clock=self.clock, rolling=True, wait=1e6)
        session = manager.open(self.old)
        OPERATIONS[name](session)
        return manager.commit(session)

    def play(self, prefix):
        """Follow the choices, then take the first at each step; return (choice, of how many)."""
        trace, fault, self.fate = [], False, []
        while True:
            options = [
                (actor, fate)
                for actor in self.actors
                if actor.verb is not None
                for fate in (("run",) if fault else actor.fates())
            ]
            if not options:
                return trace
            choice = prefix[len(trace)] if len(trace) < len(prefix) else 0
            actor, fate = options[choice]
            trace.append((choice, len(options)))
            fault = fault or fate != "run"
            self.fate.append(f"{'AB'[self.actors.index(actor)]}.{actor.verb}:{fate}")
            actor.step(fate)

    def check(self):
        answers = [actor.answer for actor in self.actors]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        told = [a if isinstance(a, str) else a.action for a in answers]
        outcomes = list(zip(self.names, answers, told, strict=True))
        done = {name for name, _, action in outcomes if action in ACKNOWLEDGED}
        issued = {name: a.session_id for name, a, action in outcomes if action == "issue"}
        live = live_records(self.store)

        # A cookie only for an id that the request's own last write left alive.
        for actor, action in zip(self.actors, told, strict=True):
            if action in ("issue", "extend"):
                assert key_of(actor.answer.session_id) in actor.live
        # Follow what the old id has become.
        key, ended = key_of(self.old), False
        while key is not None and key not in live:
            found = self.store.load(key)
            assert found is not None, "an id was renewed to one that does not exist"
            reason, key = json.loads(found[0].split(b" ", 4)[4])
            ended = reason == "ended"
        if "logout" not in self.names:
            assert key is not None, "the session is lost"
        if "logout" in done:
            assert key is None, "a logout is not final"
            assert ended
            for name, session_id in issued.items():
                assert name == "login" or key_of(session_id) not in live
        # The old id never reaches what a login stored.
        for known, record in live.items():
            if known == key_of(self.old):
                assert b'"who"' not in record
                assert b'"alice"' not in record
                assert not {"login", "regenerate"} & set(issued)
        if "logout" in done and "login" in issued and key_of(issued["login"]) in live:
            body = live[key_of(issued["login"])].partition(b"\n")[2]
            assert set(json.loads(body)) == {"who"}, "what a logout ended came back"
        # No second live id that a client could know, but for what two logins are.
        if "login" not in self.names:
            assert sum(key_of(each) in live for each in {self.old, *issued.values()}) <= 1
        # What was acknowledged is there.
        if key is None:
            return
        data = json.loads(live[key].partition(b"\n")[2])
        cleared = "clear" in self.names
        fresh = self.names == ("login", "login")
        for name, item in (("write x", "x"), ("write y", "y"), ("login", "who"), ("atomic", "n")):
            if name in done and not cleared and not fresh:
                mine = issued.get(name) if name == "login" else None
                where = json.loads(live[key_of(mine)].partition(b"\n")[2]) if mine else data
                assert item in where, f"lost: {name}"
        if "nested" in done and not cleared:
            assert data["seed"] == {"z": 1}
        if "clear" in done:
            assert "seed" not in data
            assert data["c"] == 1
        if "atomic" in self.names and not cleared:
            counted = [action in ACKNOWLEDGED for name, _, action in outcomes if name == "atomic"]
            assert sum(counted) <= data.get("n", 0) <= len(counted)


ACKNOWLEDGED = ("issue", "extend", "forget")


@pytest.fixture
def actors(monkeypatch):
    still = types.SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: None)
    monkeypatch.setattr("session_core.backoff.time", still)
    actors = Actor(), Actor()
    yield actors
    for actor in actors:
        actor.job = None
        actor.go.release()
        actor.join()


PAIRS = list(itertools.combinations_with_replacement(OPERATIONS, 2))


@pytest.mark.parametrize("names", PAIRS, ids=", ".join)
def test_two_requests_in_every_order_with_every_fault(actors, names, record_property, caplog):
    caplog.set_level("CRITICAL")
    prefix, runs = [], 0
    while True:
        run = Run(actors, names)
        trace = run.play(prefix)
        runs += 1
        try:
            run.check()
        except (AssertionError, KeyError) as error:
            error.add_note(f"{names}: {' '.join(run.fate)}; {[str(a.answer) for a in actors]}")
            raise
        while trace and trace[-1][0] + 1 == trace[-1][1]:
            trace.pop()
        if not trace:
            break
        prefix = [choice for choice, _ in trace[:-1]] + [trace[-1][0] + 1]
    record_property("runs", runs)
    assert runs >= 6
