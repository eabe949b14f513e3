"""Two clients, any order of what they can do, against a model of what must be true.

Each client has at most one request running. The model is the text of the guarantees: the data that
must be there, what a client may be told, and which ids live.
"""

import copy

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from session_core import Answer, MemoryStore, SessionManager
from session_core.testing import FakeClock

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from([0, 1, 2, "x"])
WHO = st.sampled_from([0, 1])
IDLE = 300
DEAD = 60
ABSENT = object()


class Model:
    """What the store must hold for one id."""

    def __init__(self, data, now, owner=None):
        self.data, self.expires, self.epoch, self.owner = data, now + IDLE, 0, owner
        self.next, self.ended = None, None  # the successor's id; when it ended

    def live(self, now):
        return self.ended is None and self.expires > now

    def dead(self, now):
        """Whether it is remembered that this id has ended."""
        return self.ended is not None and now < self.ended + DEAD


class Request:
    """One running request: the real session and what it has done so far."""

    def __init__(self, session, session_id, model, data):
        self.session, self.id, self.model = session, session_id, model
        self.loaded, self.data = copy.deepcopy(data), copy.deepcopy(data)
        self.epoch = model.epoch if model else 0
        self.touched = self.cleared = self.renew = self.gone = False
        self.follow = False  # whether it knows what became of its id
        self.assigned, self.login = set(), None
        self.told = "nothing"


class Sessions(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.clock = FakeClock(1.8e9)
        self.store = MemoryStore(clock=self.clock)
        self.manager = SessionManager(self.store, idle_timeout=IDLE, clock=self.clock)
        self.cookies = [None, None]
        self.requests = [None, None]
        session = self.manager.open(None)
        session.update(a=[], b=0)
        session.session_save()
        self.models = {session.session_id: Model({"a": [], "b": 0}, self.clock())}
        self.cookies = [session.session_id] * 2

    # -- one request ---------------------------------------------------------------------------

    @rule(who=WHO, whose=WHO)
    def open(self, who, whose):
        """With the own cookie or, as a second tab or an attacker, with the other's."""
        if self.requests[who] is not None:
            return
        cookie, now = self.cookies[whose], self.clock()
        session = self.manager.open(cookie)
        model = self.models.get(cookie)
        request = Request(session, None, None, {})
        if model is not None and model.live(now):
            request = Request(session, cookie, model, model.data)
        elif model is not None and model.dead(now):
            request.gone = request.follow = True
            request.id, request.model = cookie, model
        assert session.session_gone == request.gone
        assert dict(session) == request.data
        self.requests[who] = request

    def running(self, who):
        """Return the request of this client, begun now if there is none."""
        if self.requests[who] is None:
            self.open(who, who)
        return self.requests[who]

    @rule(who=WHO)
    def share(self, who):
        """Both are one browser again."""
        self.cookies[who] = self.cookies[1 - who]

    @rule(who=WHO, key=KEYS, value=VALUES)
    def set(self, who, key, value):
        request = self.running(who)
        request.session[key] = request.data[key] = value
        request.assigned.add(key)
        request.touched = True

    @rule(who=WHO, key=KEYS)
    def set_list(self, who, key):
        request = self.running(who)
        request.session[key], request.data[key] = [], []
        request.assigned.add(key)
        request.touched = True

    @rule(who=WHO, key=KEYS, value=VALUES)
    def change_nested(self, who, key, value):
        request = self.running(who)
        if isinstance(request.data.get(key), list):
            request.session[key].append(value)
            request.data[key].append(value)

    @rule(who=WHO, key=KEYS)
    def remove(self, who, key):
        request = self.running(who)
        assert request.session.pop(key, ABSENT) == request.data.pop(key, ABSENT)
        request.touched = True

    @rule(who=WHO)
    def clear(self, who):
        request = self.running(who)
        request.session.clear()
        request.data.clear()
        request.assigned.clear()
        request.cleared = request.touched = True

    @rule(who=WHO)
    def regenerate(self, who):
        request = self.running(who)
        request.session.session_regenerate()
        request.renew = not request.gone

    @rule(who=WHO)
    def login(self, who):
        request = self.running(who)
        request.session.session_login("alice")
        request.login, request.renew = "alice", True

    # -- what goes to the store ----------------------------------------------------------------

    def committed(self, request, change=None, force=False):
        """Do in the model what a commit must do; return what the client must be told."""
        now, told, model = self.clock(), request.told, request.model
        delta = {
            key: value
            for key, value in request.data.items()
            if request.cleared or key not in request.loaded or request.loaded[key] != value
        }
        nested = set() if request.cleared else {
            key for key in delta if key in request.loaded and key not in request.assigned
        }  # fmt: skip
        deleted = set(request.loaded) - set(request.data)
        own = {key: value for key, value in delta.items() if key not in nested}
        if model is None or request.gone or not model.live(now):
            ended = model is not None
            if ended and not request.login:
                wanted = delta or deleted or request.touched or request.renew or change or force
                if request.gone or wanted:
                    request.follow = request.follow if request.gone else model.dead(now)
                    request.gone, request.renew = True, False
                    request.told = "nothing"
                return
            data = own if ended else request.data
            data = copy.deepcopy(data)
            if change is not None:
                change(data)
            if not (data or request.login or force):
                request.data = {} if change is not None else request.data
                return
            self.stored(request, Model(data, now, request.login), "issue")
            return
        wanted = delta or deleted or request.touched or request.renew or request.cleared
        if not (wanted or change or force):
            return
        if model.epoch > request.epoch and not request.cleared and not request.login:
            request.renew, request.told = False, "nothing"
            request.touched = False
            return
        outdated = model.epoch > request.epoch and not request.cleared
        data = {} if request.cleared else copy.deepcopy(model.data)
        if outdated:
            data.update(own)
        else:
            for key in deleted:
                data.pop(key, None)
            for key, value in delta.items():
                if key in data or key not in nested:
                    data[key] = copy.deepcopy(value)
        if change is not None:
            change(data)
        epoch = model.epoch + request.cleared
        if not request.renew:
            model.data, model.expires, model.epoch = data, now + IDLE, epoch
            self.stored(request, model, "issue" if told == "issue" else "extend")
            return
        new = Model(data, now, request.login or model.owner)
        new.epoch = epoch
        model.ended, model.next = now, request.session.session_id
        self.stored(request, new, "issue")

    def stored(self, request, model, told):
        request.id, request.model, request.told = request.session.session_id, model, told
        self.models[request.id] = model
        request.epoch = model.epoch
        request.gone = False

    def after(self, request):
        """What is the same after save and atomic: the request goes on from what it shows."""
        if request.gone or request.told == "nothing" or not request.session.session_is_saved:
            return  # dropped, or nothing to store
        request.data = copy.deepcopy(dict(request.session))
        request.loaded = copy.deepcopy(request.data)
        request.touched = request.cleared = request.renew = False
        request.assigned, request.login = set(), None

    @rule(who=WHO, key=KEYS)
    def atomic(self, who, key):
        request = self.running(who)
        if request.model is None or request.gone:
            return
        model = request.model
        if not model.live(self.clock()) or model.epoch > request.epoch:
            return  # dropped: covered by commit

        def change(data):
            data[key] = [*data[key], "atomic"] if isinstance(data.get(key), list) else ["atomic"]

        request.session.session_atomic(change)
        self.committed(request, change)
        assert dict(request.session) == request.model.data
        self.after(request)

    @rule(who=WHO, force=st.booleans())
    def save(self, who, force):
        request = self.running(who)
        request.session.session_save(force=force)
        self.committed(request, force=force)
        self.after(request)

    @rule(who=WHO)
    def commit(self, who):
        request = self.requests[who]
        if request is None:
            return
        answer = self.manager.commit(request.session)
        self.committed(request)
        assert answer.action == request.told
        if answer.action in ("issue", "extend"):
            assert answer.session_id == request.id
            assert answer.seconds == IDLE
            self.cookies[who] = answer.session_id
        self.requests[who] = None

    @rule(who=WHO)
    def fail(self, who):
        request = self.requests[who]
        if request is not None:
            answer = self.manager.commit(request.session, failed=True)
            assert answer.action == request.told
            if answer.action in ("issue", "extend"):
                self.cookies[who] = answer.session_id
            self.requests[who] = None

    @rule(who=WHO)
    def logout(self, who):
        request = self.running(who)
        request.session.session_logout()
        assert self.manager.commit(request.session) == Answer("forget")
        now, model = self.clock(), request.model
        follow = request.follow if request.gone else model is not None and model.dead(now)
        while model is not None and not model.live(now):
            model = self.models.get(model.next) if follow else None
            follow = model is not None and model.dead(now)
        if model is not None:
            model.ended, model.next = now, None
        self.cookies[who] = None
        self.requests[who] = None

    @rule(seconds=st.sampled_from([1, 59, 61, 150, 301]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    # -- always --------------------------------------------------------------------------------

    @precondition(lambda self: self.models)
    @invariant()
    def every_id_holds_what_it_must(self):
        now = self.clock()
        for session_id, model in self.models.items():
            session = self.manager.open(session_id)
            if model.live(now):
                assert dict(session) == model.data
                assert session.session_owner == model.owner
                assert session.session_id == session_id
            else:
                assert session == {}
                dead = model.dead(now)
                assert session.session_gone == dead

    @invariant()
    def nothing_else_lives(self):
        now = self.clock()
        known = sum(model.live(now) or (model.dead(now)) for model in self.models.values())
        assert len(list(self.store.scan())) == known


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
