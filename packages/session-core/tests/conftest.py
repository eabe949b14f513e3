"""A store that counts and fails on demand, a clock, and a manager over both."""

import pytest

from session_core import MemoryStore, SessionManager
from session_core.testing import FakeClock


class ScriptedStore:
    """A MemoryStore that lists the verbs it was asked for and does what a test wants first.

    ``before[verb]`` is a list of functions, one for each coming call of that verb: called first
    (other writers, faults), or None for nothing. ``after[verb]`` are called with the deed done.
    """

    def __init__(self, clock):
        self.inner = MemoryStore(clock=clock)
        self.calls = []
        self.keys = []
        self.before = {}
        self.after = {}

    def _run(self, verb, *args):
        self.calls.append(verb)
        self.keys.append(args[0])
        self._next(self.before, verb)
        answer = getattr(self.inner, verb)(*args)
        self._next(self.after, verb)
        return answer

    def _next(self, scripts, verb):
        if scripts.get(verb):
            script = scripts[verb].pop(0)
            if script is not None:
                script()

    def load(self, key):
        return self._run("load", key)

    def create(self, key, record, ttl):
        return self._run("create", key, record, ttl)

    def replace(self, key, version, record, ttl):
        return self._run("replace", key, version, record, ttl)

    def delete(self, key):
        return self._run("delete", key)

    def took(self):
        """Return the verbs since the last time, in order."""
        calls, self.calls = self.calls, []
        return calls


class World:
    """Everything of one test: clock, store, events, and a manager with the given options."""

    def __init__(self):
        self.clock = FakeClock(1_800_000_000.0)
        self.store = ScriptedStore(self.clock)
        self.events = []
        self.manager = self.new_manager()

    def new_manager(self, **options):
        options = {"clock": self.clock, "on_event": self.events.append, "wait": 0.05} | options
        self.manager = SessionManager(self.store, **options)
        return self.manager

    def names(self):
        """Return the names of the events so far, and forget them."""
        names = [event.name for event in self.events]
        self.events.clear()
        return names

    def stored(self, **data):
        """Store a session with this data and return its id."""
        session = self.manager.open(None)
        session.update(data)
        answer = self.manager.commit(session)
        self.store.took()
        self.names()
        return answer.session_id

    def data(self, session_id):
        """Return what another request finds under this id, or None if it is not live."""
        session = self.manager.open(session_id)
        live = session.session_id == session_id and not session.session_gone
        self.store.took()
        self.names()
        return dict(session) if live else None

    def request(self, session_id, work):
        """Run another request from beginning to end."""
        session = self.manager.open(session_id)
        work(session)
        return self.manager.commit(session)


@pytest.fixture
def world():
    return World()


def fail():
    raise TimeoutError("the engine is silent")


@pytest.fixture
def outage():
    """A script for `ScriptedStore`: the verb fails."""
    return fail
