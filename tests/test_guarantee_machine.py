"""Two clients on each backend, in any order of what they can do, against a model of the promises.

Each client has at most one request running; both begin with the same cookie, as two tabs of one
browser do. The model is plain Python: what must be stored under each id, and what a client may be
told. Time is the manager's. The engines have clocks of their own, which hardly move meanwhile, so
that nothing expires in them: an ended id stays remembered.
"""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from session_backends import Backing
from session_core import Answer, SessionManager
from session_core.testing import FakeClock

IDLE, ABSOLUTE = 300, 500
KEYS = st.sampled_from(["a", "b", "c"])
WHO = st.sampled_from([0, 1])


class Truth:
    """What must be stored under one id."""

    def __init__(self, data: dict[str, Any], created: float, saved: float) -> None:
        self.data, self.created, self.saved = data, created, saved
        self.owner: str | None = None
        self.epoch = 0
        self.ended = False
        self.next: Truth | None = None

    def lives(self, now: float) -> bool:
        return not self.ended and now < min(self.saved + IDLE, self.created + ABSOLUTE)


class Request:
    """One running request: the real session, and what the model knows of it."""

    def __init__(self, session: Any, truth: Truth | None, *, gone: bool) -> None:
        self.session, self.truth, self.gone = session, truth, gone
        self.told = "nothing"
        self.rebase({} if truth is None or gone else truth.data)

    def rebase(self, data: dict[str, Any]) -> None:
        """Go on from what is stored now."""
        self.loaded, self.data = copy.deepcopy(data), copy.deepcopy(data)
        self.epoch = self.truth.epoch if self.truth else 0
        self.assigned: set[str] = set()
        self.touched = self.cleared = self.renew = False
        self.login: str | None = None

    def delta(self) -> tuple[dict[str, Any], set[str], set[str]]:
        """Return the keys that differ, which of them were assigned, and those that are gone."""
        if self.cleared:
            return self.data, set(self.data), set()
        differ = {
            key: value
            for key, value in self.data.items()
            if key not in self.loaded or self.loaded[key] != value
        }
        assigned = {key for key in differ if key in self.assigned or key not in self.loaded}
        return differ, assigned, self.loaded.keys() - self.data.keys()


class TwoClients(RuleBasedStateMachine):
    def __init__(self, store: Any) -> None:
        super().__init__()
        self.clock = FakeClock(1.8e9)
        self.manager = SessionManager(
            store, idle_timeout=IDLE, absolute_timeout=ABSOLUTE, clock=self.clock
        )
        self.truths: dict[str, Truth] = {}
        self.requests: list[Request | None] = [None, None]
        self.cookies: list[str | None] = [None, None]
        self.count = 0

    @initialize()
    def both_have_a_session(self) -> None:
        session = self.manager.open(None)
        session.update(a=[], b=0)
        answer = self.manager.commit(session)
        assert (answer.action, answer.seconds) == ("issue", IDLE)
        now = self.clock()
        self.truths[answer.session_id] = Truth({"a": [], "b": 0}, now, now)
        self.cookies = [answer.session_id] * 2

    # -- what a client does --------------------------------------------------------------------

    @rule(who=WHO, whose=WHO)
    def open(self, who: int, whose: int) -> None:
        """With its own cookie, or as a second tab or a thief, with the other's."""
        self.running(who, whose)

    def running(self, who: int, whose: int | None = None) -> Request:
        """Return the request of this client, begun now if there is none."""
        whose = who if whose is None else whose
        request = self.requests[who]
        if request is None:
            session = self.manager.open(self.cookies[whose])
            truth = self.truths.get(self.cookies[whose] or "")
            if truth is not None and not truth.ended and not truth.lives(self.clock()):
                truth = None  # expired: a new session, and another id
            request = Request(session, truth, gone=truth is not None and truth.ended)
            assert dict(session) == request.data
            assert session.session_gone == request.gone
            self.requests[who] = request
        return request

    @rule(who=WHO)
    def take_the_cookie_of_the_other(self, who: int) -> None:
        self.cookies[who] = self.cookies[1 - who]

    @rule(who=WHO, key=KEYS, kind=st.sampled_from(["number", "list", "as it was"]))
    def change(self, who: int, key: str, kind: str) -> None:
        request = self.running(who)
        self.count += 1
        value = {"number": self.count, "list": [], "as it was": request.data.get(key, 0)}[kind]
        request.session[key], request.data[key] = copy.deepcopy(value), copy.deepcopy(value)
        request.assigned.add(key)
        request.touched = True

    @rule(who=WHO, key=KEYS)
    def change_nested(self, who: int, key: str) -> None:
        request = self.running(who)
        if isinstance(request.data.get(key), list):
            self.count += 1
            request.session[key].append(self.count)
            request.data[key].append(self.count)

    @rule(who=WHO, key=KEYS)
    def delete_key(self, who: int, key: str) -> None:
        request = self.running(who)
        if key in request.data:
            del request.session[key], request.data[key]
            request.touched = True

    @rule(who=WHO)
    def clear(self, who: int) -> None:
        request = self.running(who)
        request.session.clear()
        request.data.clear()
        request.assigned.clear()
        request.cleared = request.touched = True

    @rule(who=WHO)
    def renew(self, who: int) -> None:
        request = self.running(who)
        request.session.session_regenerate()
        request.renew = request.renew or not request.gone

    @rule(who=WHO, owner=st.sampled_from(["alice", "bob"]))
    def login(self, who: int, owner: str) -> None:
        request = self.running(who)
        request.session.session_login(owner)
        request.login, request.renew = owner, True

    @rule(who=WHO, key=KEYS)
    def atomic(self, who: int, key: str) -> None:
        request = self.running(who)

        def append(data: dict[str, Any]) -> int:
            value = data.get(key)
            data[key] = [*value, "atomic"] if isinstance(value, list) else ["atomic"]
            return len(data[key])

        length = request.session.session_atomic(append)
        self.commit_in_the_model(request, append)
        if request.told != "nothing":
            assert request.truth is not None
            assert dict(request.session) == request.truth.data
            assert length == len(request.truth.data[key])
            request.rebase(request.truth.data)

    @rule(who=WHO)
    def commit(self, who: int) -> None:
        request = self.requests[who]
        if request is not None:
            answer = self.manager.commit(request.session)
            self.commit_in_the_model(request)
            self.end(who, request, answer)

    @rule(who=WHO)
    def fail(self, who: int) -> None:
        """The handler raises: nothing more is stored."""
        request = self.requests[who]
        if request is not None:
            self.end(who, request, self.manager.commit(request.session, failed=True))

    def end(self, who: int, request: Request, answer: Answer) -> None:
        assert answer.action == request.told
        assert request.session.session_gone == request.gone
        if answer.action in ("issue", "extend"):
            assert answer.session_id is not None
            assert self.truths[answer.session_id] is request.truth
            self.cookies[who] = answer.session_id
        self.requests[who] = None

    @rule(who=WHO)
    def delete(self, who: int) -> None:
        """Log out: ends what the id has become, too."""
        request = self.running(who)
        request.session.session_delete()
        assert self.manager.commit(request.session) == Answer("forget")
        truth = request.truth
        if not (request.gone and truth is not None and not truth.ended):
            while truth is not None and truth.ended:
                truth = truth.next
            if truth is not None:
                truth.ended, truth.next = True, None
        self.cookies[who] = self.requests[who] = None

    @rule(seconds=st.sampled_from([1, 150, 301]))
    def pass_time(self, seconds: float) -> None:
        if seconds == 1 or self.requests == [None, None]:
            self.clock.advance(seconds)

    # -- what must come of it ------------------------------------------------------------------

    def commit_in_the_model(self, request: Request, function: Any = None) -> None:
        now, truth = self.clock(), request.truth
        differ, assigned, deleted = request.delta()
        own = {key: value for key, value in differ.items() if key in assigned}
        wanted = bool(function or differ or deleted or request.touched or request.renew)
        if truth is None or request.gone or not truth.lives(now):
            if truth is not None and not request.login:  # ended or expired while it ran
                if wanted or request.gone:
                    request.gone, request.renew, request.told = True, False, "nothing"
                return
            data = copy.deepcopy(request.data if truth is None else own)
            if function is not None:
                function(data)
            if data or request.login:
                self.issue(request, Truth(data, now, now))
            return
        if not wanted:
            return
        old = truth.epoch > request.epoch and not request.cleared
        if old and not request.login:  # cleared by the other meanwhile
            request.renew = request.touched = False
            request.told = "nothing"
            return
        data = {} if request.cleared else copy.deepcopy(truth.data)
        for key in () if old else deleted:
            data.pop(key, None)
        for key, value in (own if old else differ).items():
            if key in data or key in assigned:
                data[key] = copy.deepcopy(value)
        if function is not None:
            function(data)
        if request.renew:
            successor = Truth(data, truth.created, now)
            successor.owner, successor.epoch = truth.owner, truth.epoch + request.cleared
            truth.ended, truth.next = True, successor
            self.issue(request, successor)
        else:
            truth.data, truth.saved = data, now
            truth.epoch += request.cleared
            request.told = "issue" if request.told == "issue" else "extend"

    def issue(self, request: Request, truth: Truth) -> None:
        """The data is under a new id from now on."""
        if request.login:
            truth.owner, truth.created = request.login, self.clock()
        session_id = request.session.session_id
        assert session_id not in self.truths
        self.truths[session_id] = request.truth = truth
        request.gone, request.told = False, "issue"

    @invariant()
    def every_id_holds_what_it_must(self) -> None:
        for session_id, truth in self.truths.items():
            session = self.manager.open(session_id)
            lives = truth.lives(self.clock())
            assert dict(session) == (truth.data if lives else {})
            assert session.session_owner == (truth.owner if lives else None)
            assert session.session_gone == truth.ended
            assert lives == (session.session_id == session_id) or truth.ended


@pytest.mark.parametrize(
    "backend",
    [
        "SimpleCache",
        "FileSystem",
        pytest.param("Redis", marks=pytest.mark.servers),
        pytest.param("Memcached", marks=pytest.mark.servers),
    ],
)
def test_two_clients_in_any_order(backend, request, tmp_path):
    options: dict[str, Any] = {}
    if backend == "FileSystem":
        options["cache_dir"] = tmp_path
    elif backend == "Redis":
        options["port"] = request.getfixturevalue("redis_port")
    elif backend == "Memcached":
        options["servers"] = [f"127.0.0.1:{request.getfixturevalue('memcached_port')}"]
    store = Backing(backend, **options).store
    run_state_machine_as_test(
        lambda: TwoClients(store),
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
