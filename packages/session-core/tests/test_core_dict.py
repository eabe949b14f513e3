"""A stored session, touched for the first time in any way, behaves as a plain dict does."""

import copy
import datetime
import decimal
import json
import pickle
import uuid
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_core import MemoryStore, SessionManager
from session_core.wsgi import SessionMiddleware, get_session

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, width=16)
    | st.text("aé~😀\ud7ff", max_size=3)
    | st.binary(max_size=3)
    | st.sampled_from(
        [
            datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC),
            datetime.datetime(2026, 1, 31, 12, fold=1),
            datetime.date(2026, 1, 31),
            datetime.time(1, 2, 3),
            datetime.timedelta(days=-1, microseconds=1),
            decimal.Decimal("1.50"),
            uuid.UUID(int=7),
        ]
    )
)
keys = st.sampled_from(["a", "b", "c", "self", "~", "", 1, 1.5, None, (1, "x"), b"k"]) | scalars
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.sets(keys, max_size=1)  # the order of more depends on how the set was made
        | st.frozensets(keys, max_size=1)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=5,
)
data = st.dictionaries(keys, values, max_size=4)
names = st.dictionaries(st.sampled_from(["a", "b", "self", "other"]), values, max_size=2)


def mutate_nested(found):
    for value in found.values():
        if isinstance(value, list):
            value.append(7)
        elif isinstance(value, dict):
            value["x"] = 7
        elif isinstance(value, set):
            value.clear()
    return None


def augment(found, other):
    before = found
    found |= other
    return found is before


def as_json(found):
    return json.dumps(found, indent=4)


def given_with(operation, *strategies):
    """Return operations with arguments, of which every call gets its own copy."""
    return st.tuples(*strategies).map(lambda args: lambda d: operation(d, *copy.deepcopy(args)))


reads = st.one_of(
    st.sampled_from([
        len, bool, repr, str, list, tuple, dict, set, as_json,
        lambda d: {**d}, lambda d: list(reversed(d)), lambda d: list(d.keys()),
        lambda d: list(d.values()), lambda d: list(d.items()), lambda d: (lambda **k: k)(**d),
        lambda d: type(d.copy()) is dict and d.copy(), lambda d: copy.copy(d), copy.deepcopy,
        lambda d: type(copy.deepcopy(d)), lambda d: [*d], lambda d: max(d),
        lambda d: [pickle.loads(pickle.dumps(d, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
        lambda d: type(pickle.loads(pickle.dumps(d))), lambda d: d.fromkeys("ab", 1),
        lambda d: type(d.fromkeys("ab")), lambda d: f"{d}", lambda d: d | {}, lambda d: d == d,
        lambda d: d.keys() & {"a", "b"}, lambda d: hash(d), lambda d: d < {}, lambda d: d[[]],
        lambda d: isinstance(d, dict),
    ]),
    given_with(lambda d, k: d[k], keys),
    given_with(lambda d, k: k in d, keys),
    given_with(lambda d, k: d.get(k), keys),
    given_with(lambda d, k, v: d.get(k, v), keys, values),
    given_with(lambda d, o: (d == o, d != o, o == d), data),
    given_with(lambda d, o: (type(d | o), d | o), data),
    given_with(lambda d, o: (type(o | d), o | d), data),
)  # fmt: skip
writes = st.one_of(
    given_with(lambda d, k, v: d.__setitem__(k, v), keys, values),
    given_with(lambda d, k: d.__delitem__(k), keys),
    given_with(lambda d, k: d.pop(k), keys),
    given_with(lambda d, k, v: d.pop(k, v), keys, values),
    given_with(lambda d, k, v: d.setdefault(k, v), keys, values),
    given_with(lambda d, k: d.setdefault(k), keys),
    given_with(lambda d, o: d.update(o), data),
    given_with(lambda d, o: d.update(list(o.items())), data),
    given_with(lambda d, o, n: d.update(o, **n), data, names),
    given_with(lambda d, n: d.update(**n), names),
    given_with(augment, data),
    given_with(lambda d, o: augment(d, list(o.items())), data),
    st.sampled_from([
        lambda d: d.popitem(), lambda d: d.clear(), lambda d: d.update(), lambda d: d.update(None),
        lambda d: d.update(1, 2), lambda d: d.pop(), lambda d: d.__setitem__([], 1),
        lambda d: d.update([[1]]), lambda d: augment(d, 5), mutate_nested,
        lambda d: d.update(d),
    ]),
)  # fmt: skip


def outcome(operation, found):
    """What came of it: the result or the type of the error."""
    try:
        return "result", operation(found)
    except Exception as error:
        return "error", type(error)


class Browser:
    """One client of a live app in which every request runs some operations on its session."""

    def __init__(self):
        self.cookie = ""
        self.operations = []
        self.app = SessionMiddleware(self.handle, SessionManager(MemoryStore()))

    def handle(self, environ, start_response):
        session = get_session(environ)
        self.outcomes = [outcome(operation, session) for operation in self.operations]
        start_response("200 OK", [])
        return []

    def request(self, operations):
        self.operations = operations
        environ = {"HTTP_COOKIE": self.cookie}
        setup_testing_defaults(environ)
        started = []
        self.app(environ, lambda status, headers: started.append(headers))
        for name, value in started[0]:
            if name == "Set-Cookie":
                self.cookie = value.partition(";")[0]
        return self.outcomes


@settings(max_examples=250, deadline=None)
@given(
    first=st.dictionaries(keys, values, min_size=1, max_size=5),
    requests=st.lists(st.lists(reads | writes, min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_every_operation_as_the_first_touch_of_a_request_behaves_as_on_a_dict(first, requests):
    browser, model = Browser(), {}
    for operations in [[lambda d: d.update(copy.deepcopy(first))], *requests]:
        found = browser.request(operations)
        assert found == [outcome(operation, model) for operation in operations]
        model = copy.deepcopy(model)
        (after,) = browser.request([lambda d: list(d.items())])
        assert after == ("result", list(model.items()))
        assert repr(after[1]) == repr(list(model.items()))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_and_copies_are_plain_dicts(world, protocol):
    session = world.manager.open(world.stored(a=[1]))
    for plain in (
        pickle.loads(pickle.dumps(session, protocol)),
        copy.copy(session),
        copy.deepcopy(session),
        session.copy(),
        session | {},
        dict(session),
        type(session).fromkeys("a", [1]),
    ):
        assert type(plain) is dict
        assert plain == {"a": [1]}
    assert copy.deepcopy(session)["a"] is not session["a"]
    assert copy.copy(session)["a"] is session["a"]
    assert b"session_core" not in pickle.dumps(session, protocol)


def test_a_session_is_a_dict_and_its_own_names_begin_with_session():
    session = SessionManager(MemoryStore()).open(None)
    public = {name for name in dir(session) if not name.startswith("_")}
    assert {n for n in public - set(dir(dict)) if not n.startswith("session_")} == set()
    with pytest.raises(AttributeError):
        session.sesion_modified = True
