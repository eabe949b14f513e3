"""What a session is from request to request: ids, clocks, cost, and what the client is told."""

import datetime
import json
import logging
import re
from hashlib import sha256

import pytest

from session_core import (
    Answer,
    ConfigurationError,
    Event,
    MemoryStore,
    NewerRecord,
    RecordTooLarge,
    Session,
    SessionDeleted,
    SessionError,
    SessionManager,
    StoreError,
    StoreUnavailable,
    UnstorableValue,
)
from session_core.merge import Delta, patch

UNKNOWN = "A" * 43


# -- ids ---------------------------------------------------------------------------------------


def test_an_id_is_43_random_characters(world):
    ids = {world.stored(n=n) for n in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", each) for each in ids)


def test_an_unknown_id_is_never_adopted(world):
    session = world.manager.open(UNKNOWN)
    session["a"] = 1
    answer = world.manager.commit(session)
    assert answer.action == "issue"
    assert answer.session_id != UNKNOWN
    assert world.names() == ["unknown", "created"]
    assert world.data(UNKNOWN) is None


@pytest.mark.parametrize(
    "text", [None, "", "x", "A" * 42, "A" * 44, "A" * 42 + "=", "../" * 14 + "a", "Ä" * 43,
             "A" * 42 + "\n", "A" * 43 + "\n", " " + "A" * 42]
)  # fmt: skip
def test_what_has_not_the_shape_of_an_id_never_reaches_the_store(world, text):
    session = world.manager.open(text)
    assert session == {}
    assert world.store.took() == []


def test_the_store_sees_a_hash_of_the_id_only(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda session: session.session_regenerate())
    assert sha256(session_id.encode()).hexdigest() in world.store.keys
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in world.store.keys)
    for key in set(world.store.keys):
        found = world.store.inner.load(key)
        assert found is None or session_id.encode() not in found[0]


def test_the_id_is_readable_before_the_session_is_stored_and_stays(world):
    session = world.manager.open(None)
    session_id = session.session_id
    session["a"] = 1
    assert world.manager.commit(session) == Answer("issue", session_id, 300)
    assert session.session_id == session_id
    assert world.data(session_id) == {"a": 1}


def test_reading_the_id_of_a_visitor_stores_nothing(world):
    session = world.manager.open(None)
    assert session.session_id
    assert world.manager.commit(session).action == "nothing"
    assert world.store.took() == []


# -- several candidates ------------------------------------------------------------------------


def test_the_live_one_of_several_ids_counts(world):
    gone, live = world.stored(a=1), world.stored(b=2)
    world.request(gone, lambda session: session.session_delete())
    for ids in ([UNKNOWN, gone, live], [live, gone], [gone, None, live], ["junk", live, UNKNOWN]):
        session = world.manager.open(*ids)
        assert session.session_id == live
        assert dict(session) == {"b": 2}
        assert not session.session_gone


def test_gone_beats_new(world):
    gone = world.stored(a=1)
    world.request(gone, lambda session: session.session_delete())
    for ids in ([UNKNOWN, gone], [gone, UNKNOWN]):
        assert world.manager.open(*ids).session_gone


def test_a_client_with_many_ids_costs_a_bounded_number_of_loads(world):
    ids = [f"{number:043}" for number in range(1000)]
    world.manager.open(*ids)
    assert 1 <= len(world.store.took()) <= 8


def test_the_same_id_twice_is_looked_up_once(world):
    world.manager.open(UNKNOWN, UNKNOWN)
    assert world.store.took() == ["load"]


# -- nothing for nothing -----------------------------------------------------------------------


def test_a_visitor_who_stores_nothing_costs_nothing(world):
    session = world.manager.open(None)
    assert session.get("a") is None
    assert world.manager.commit(session) == Answer("nothing")
    assert world.store.took() == []


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.clear(),
        lambda session: session.update({}),
        lambda session: session.pop("a", None),
        lambda session: session.setdefault("a", 1) and session.pop("a"),
        lambda session: setattr(session, "session_modified", True),
        lambda session: session.session_save(),
        lambda session: session.session_regenerate(),
        lambda session: session.session_atomic(len),
    ],
)
def test_a_session_without_a_key_is_never_created(world, work):
    session = world.manager.open(None)
    work(session)
    assert world.manager.commit(session).action == "nothing"
    assert world.store.took() == []
    assert not session.session_is_saved


def test_an_atomic_that_empties_a_new_session_leaves_it_empty(world):
    session = world.manager.open(None)
    session["a"] = 1
    session.session_atomic(lambda data: data.clear())
    assert session == {}
    assert world.manager.commit(session).action == "nothing"
    assert world.store.took() == []


def test_force_creates_an_empty_session(world):
    session = world.manager.open(None)
    session.session_save(force=True)
    answer = world.manager.commit(session)
    assert answer.action == "issue"
    assert world.data(answer.session_id) == {}


def test_each_kind_of_request_costs_what_it_must(world):
    session_id = world.stored(a={"b": 1})
    world.manager.commit(world.manager.open(session_id))
    assert world.store.took() == ["load"]

    session = world.manager.open(session_id)
    assert session["a"]["b"] == 1
    assert world.manager.commit(session).action == "nothing"
    assert world.store.took() == ["load"]

    world.request(session_id, lambda session: session.update(c=1))
    assert world.store.took() == ["load", "replace"]

    world.request(session_id, lambda session: session["a"].update(b=2))
    assert world.store.took() == ["load", "replace"]

    world.request(session_id, lambda session: session.session_atomic(len))
    assert world.store.took() == ["load", "replace"]

    renewed = world.request(session_id, lambda session: session.session_regenerate()).session_id
    assert world.store.took() == ["load", "create", "replace"]

    world.request(renewed, lambda session: session.session_logout())
    assert world.store.took() == ["load", "replace"]

    world.request(None, lambda session: session.update(a=1))
    assert world.store.took() == ["create"]


def test_a_second_commit_with_nothing_new_costs_nothing_and_says_the_same(world):
    session = world.manager.open(None)
    session["a"] = []
    first = world.manager.commit(session)
    world.store.took()
    assert world.manager.commit(session) == first
    assert world.store.took() == []


def test_a_set_in_another_order_is_no_change(world):
    colours = {"red", "green", "blue", "white", "black"}
    session_id = world.stored(a=colours)
    session = world.manager.open(session_id)
    session["a"].clear()
    session["a"].update(sorted(colours, reverse=True))
    assert world.manager.commit(session).action == "nothing"


# -- what counts as modified -------------------------------------------------------------------


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.__setitem__("a", [1]),
        lambda session: session.update(a=[1]),
        lambda session: session.update(),
        lambda session: session.setdefault("a"),
        lambda session: session.pop("x", None),
        lambda session: session.__ior__({}),
        lambda session: setattr(session, "session_modified", True),
        lambda session: session.session_save(force=True),
    ],
)
def test_a_mutator_that_changes_nothing_extends(world, work):
    session_id = world.stored(a=[1], b=2)
    world.clock.advance(200)
    answer = world.request(session_id, work)
    assert answer == Answer("extend", session_id, 300)
    world.clock.advance(200)
    assert world.data(session_id) == {"a": [1], "b": 2}


def test_session_modified_tells_of_the_dicts_own_methods_only(world):
    session = world.manager.open(world.stored(a=[]))
    assert not session.session_modified
    session["a"].append(1)
    assert not session.session_modified
    session["b"] = 1
    assert session.session_modified
    session.session_save()
    assert not session.session_modified


def test_session_is_saved_tells_whether_this_request_has_written(world):
    session = world.manager.open(world.stored(a=1))
    assert not session.session_is_saved
    session["a"] = 2
    assert not session.session_is_saved
    session.session_save()
    assert session.session_is_saved


def test_a_nested_change_counts_and_so_does_one_after_a_set(world):
    session_id = world.stored(cart={"apples": 1})
    session = world.manager.open(session_id)
    session["cart"]["apples"] = 3
    session["list"] = numbers = []
    numbers.append(1)
    world.manager.commit(session)
    assert world.data(session_id) == {"cart": {"apples": 3}, "list": [1]}


def test_the_order_of_keys_is_kept(world):
    session_id = world.stored(b=1, a=2, c=3)

    def work(session):
        session["b"] = session.pop("b")

    world.request(session_id, work)
    assert list(world.data(session_id)) == ["a", "c", "b"]


# -- clocks ------------------------------------------------------------------------------------


def test_the_idle_timeout_counts_from_the_last_write_and_not_from_a_read(world):
    session_id = world.stored(a=1)
    world.clock.advance(299)
    assert world.data(session_id) == {"a": 1}
    world.clock.advance(1)
    session = world.manager.open(session_id)
    assert session == {}
    assert not session.session_gone


def test_an_expired_session_gets_another_id_and_an_event(world):
    """The store may keep a record longer than its ttl: the record's own clocks decide."""
    session_id = world.stored(a=1)
    world.store.inner._clock = lambda: 0
    world.clock.advance(301)
    answer = world.request(session_id, lambda session: session.update(b=1))
    assert answer.session_id != session_id
    assert world.names() == ["expired", "created"]


def test_the_absolute_timeout_ends_a_busy_session(world):
    world.new_manager(absolute_timeout=1000)
    session_id = world.stored(a=0)
    for number in range(1, 10):
        world.clock.advance(100)
        answer = world.request(session_id, lambda session, number=number: session.update(a=number))
        assert answer.seconds == min(300, 1000 - number * 100)
    world.clock.advance(100)
    assert world.data(session_id) is None


def test_a_renewal_keeps_the_absolute_clock_and_a_login_restarts_both(world):
    world.new_manager(absolute_timeout=1000)
    for work, kept in (
        (lambda session: session.session_regenerate(), False),
        (lambda session: session.session_login("alice"), True),
    ):
        session_id = world.stored(a=1)
        for _ in range(4):
            world.clock.advance(200)
            world.request(session_id, lambda session: session.update(a=1))
        session_id = world.request(session_id, work).session_id
        world.clock.advance(201)
        assert (world.data(session_id) is not None) is kept


@pytest.mark.parametrize("expire", [50, 50.0, datetime.timedelta(seconds=50)])
def test_session_save_expire_becomes_this_sessions_timeout_and_stays(world, expire):
    session_id = world.stored(a=1)

    def work(session):
        session.session_save(expire=expire)

    assert world.request(session_id, work) == Answer("extend", session_id, 50)
    world.clock.advance(49)
    assert world.request(session_id, lambda session: session.update(a=2)).seconds == 50
    world.clock.advance(51)
    assert world.data(session_id) is None


def test_expire_survives_a_renewal_and_another_requests_write(world):
    session_id = world.stored(a=1)
    late = world.manager.open(session_id)
    world.request(session_id, lambda session: session.session_save(expire=1000))
    late["b"] = 1
    assert world.manager.commit(late).seconds == 1000
    answer = world.request(session_id, lambda session: session.session_regenerate())
    assert answer.seconds == 1000


def test_expire_none_and_zero_leave_the_timeout_as_it_is(world):
    session_id = world.stored(a=1)
    for expire in (None, 0):

        def work(session, expire=expire):
            session.session_save(expire=expire, force=True)

        assert world.request(session_id, work).seconds == 300


@pytest.mark.parametrize("expire", [-1, float("inf"), float("nan"), "60", True])
def test_a_senseless_expire_is_refused(world, expire):
    session = world.manager.open(world.stored(a=1))
    with pytest.raises(ConfigurationError, match="expire"):
        session.session_save(expire=expire)


def test_rolling_extends_on_reads_at_most_once_per_tenth(world):
    world.new_manager(rolling=True)
    session_id = world.stored(a=1)
    world.clock.advance(29)
    assert world.request(session_id, len).action == "nothing"
    assert world.store.took() == ["load"]
    world.clock.advance(1)
    assert world.request(session_id, len) == Answer("extend", session_id, 300)
    assert world.store.took() == ["load", "replace"]
    assert world.request(session_id, len).action == "nothing"
    world.clock.advance(299)
    assert world.data(session_id) == {"a": 1}


def test_rolling_that_is_refused_is_not_tried_again(world):
    world.new_manager(rolling=True)
    session_id = world.stored(a=1)
    world.clock.advance(100)
    session = world.manager.open(session_id)
    world.request(session_id, lambda other: other.update(b=2))
    world.store.took()
    assert world.manager.commit(session).action == "nothing"
    assert world.store.took() == ["replace"]
    assert world.data(session_id) == {"a": 1, "b": 2}


def test_without_rolling_a_read_never_writes(world):
    session_id = world.stored(a=1)
    world.clock.advance(200)
    world.request(session_id, len)
    assert world.store.took() == ["load"]


# -- a failed request --------------------------------------------------------------------------


def test_a_failed_request_stores_nothing_more_but_keeps_what_save_did(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["a"] = 2
    assert world.manager.commit(session, failed=True).action == "nothing"
    assert world.data(session_id) == {"a": 1}

    session = world.manager.open(None)
    session["a"] = 1
    session.session_save()
    session["b"] = 2
    answer = world.manager.commit(session, failed=True)
    assert answer.action == "issue"
    assert world.data(answer.session_id) == {"a": 1}


def test_a_failed_request_after_a_logout_still_forgets(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session.session_logout()
    assert world.manager.commit(session, failed=True).action == "forget"
    assert world.manager.open(session_id).session_gone


def test_a_failed_renewal_leaves_the_old_id_working(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session.session_regenerate()
    assert session.session_id != session_id
    assert world.manager.commit(session, failed=True).action == "nothing"
    assert world.data(session_id) == {"a": 1}


# -- the client hears of an id exactly when it must --------------------------------------------


def test_an_id_issued_by_a_save_is_still_issued_after_a_later_write(world):
    session = world.manager.open(None)
    session["a"] = 1
    session.session_save()
    session["b"] = 2
    answer = world.manager.commit(session)
    assert answer == Answer("issue", session.session_id, 300)
    assert world.data(answer.session_id) == {"a": 1, "b": 2}


def test_an_id_issued_by_an_early_renewal_is_still_issued_after_a_later_write(world):
    session = world.manager.open(world.stored(a=1))
    session.session_login("alice")
    session.session_save()
    session.session_atomic(lambda data: data.update(n=1))
    session["b"] = 2
    answer = world.manager.commit(session)
    assert (answer.action, answer.session_id) == ("issue", session.session_id)
    assert world.data(answer.session_id) == {"a": 1, "n": 1, "b": 2}


def test_two_renewals_with_a_save_between_issue_the_last_id(world):
    first = world.stored(a=1)
    session = world.manager.open(first)
    session.session_regenerate()
    session.session_save()
    second = session.session_id
    session.session_regenerate()
    answer = world.manager.commit(session)
    assert len({first, second, answer.session_id}) == 3
    assert world.data(answer.session_id) == {"a": 1}
    assert world.manager.open(first).session_gone
    assert world.manager.open(second).session_gone


# -- owner -------------------------------------------------------------------------------------


def test_the_owner_is_there_at_once_and_in_the_next_request(world):
    session = world.manager.open(None)
    assert session.session_owner is None
    session.session_login("alice")
    assert session.session_owner == "alice"
    session_id = world.manager.commit(session).session_id
    assert world.manager.open(session_id).session_owner == "alice"
    again = world.request(session_id, lambda session: session.session_regenerate())
    assert world.manager.open(again.session_id).session_owner == "alice"


@pytest.mark.parametrize("owner", ["", None, 5, b"alice"])
def test_an_owner_that_is_no_text_is_refused(world, owner):
    with pytest.raises(ConfigurationError, match="owner"):
        world.manager.open(None).session_login(owner)


# -- deleted -----------------------------------------------------------------------------------

TOUCHES = {
    "len": len,
    "bool": bool,
    "iter": iter,
    "list": list,
    "dict": dict,
    "reversed": reversed,
    "in": lambda session: "a" in session,
    "==": lambda session: session == {},
    "!=": lambda session: session != {},
    "|": lambda session: session | {},
    "{} |": lambda session: {} | session,
    "{**}": lambda session: {**session},
    "get": lambda session: session.get("a"),
    "[]": lambda session: session["a"],
    "[]=": lambda session: session.__setitem__("a", 1),
    "del": lambda session: session.__delitem__("a"),
    "|=": lambda session: session.__ior__({}),
    "keys": lambda session: session.keys(),
    "values": lambda session: session.values(),
    "items": lambda session: session.items(),
    "copy": lambda session: session.copy(),
    "update": lambda session: session.update(a=1),
    "setdefault": lambda session: session.setdefault("a"),
    "pop": lambda session: session.pop("a", None),
    "popitem": lambda session: session.popitem(),
    "clear": lambda session: session.clear(),
    "session_save": lambda session: session.session_save(),
    "session_save force": lambda session: session.session_save(force=True),
    "session_atomic": lambda session: session.session_atomic(len),
    "session_regenerate": lambda session: session.session_regenerate(),
    "session_login": lambda session: session.session_login("alice"),
}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_touching_a_deleted_session_raises(world, touch, stored):
    session = world.manager.open(world.stored(a=1) if stored else None)
    session.session_delete()
    world.store.took()
    with pytest.raises(SessionDeleted):
        touch(session)
    assert world.store.took() == []
    assert world.manager.commit(session).action == "forget"


def test_deleting_twice_is_deleting_once_and_its_repr_is_safe(world):
    session = world.manager.open(world.stored(a=1))
    session.session_delete()
    world.store.took()
    session.session_delete()
    session.session_logout()
    assert session.session_deleted
    assert repr(session) == "<deleted session>"
    assert world.store.took() == []


def test_delete_works_right_after_a_change_and_without_a_session(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    del session["a"]
    session.session_delete()
    assert world.manager.commit(session) == Answer("forget")
    assert world.data(session_id) is None
    visitor = world.manager.open(None)
    visitor.session_delete()
    assert world.manager.commit(visitor) == Answer("forget")


def test_the_data_of_a_deleted_session_leaves_the_store_at_once(world):
    session_id = world.stored(secret="canary-data")
    session = world.manager.open(session_id)
    session.session_delete()
    for key in set(world.store.keys):
        found = world.store.inner.load(key)
        assert found is None or b"canary" not in found[0]


# -- size --------------------------------------------------------------------------------------


def test_a_session_that_is_too_large_is_refused_and_the_stored_one_stays(world):
    world.new_manager(max_bytes=1000)
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["a"] = "x" * 1000
    with pytest.raises(RecordTooLarge, match="max_bytes is 1000") as caught:
        world.manager.commit(session)
    assert isinstance(caught.value, StoreError)
    assert not isinstance(caught.value, StoreUnavailable)
    assert world.data(session_id) == {"a": 1}


def test_half_of_the_largest_size_is_warned_about_once_in_a_while(world, caplog):
    world.new_manager(max_bytes=1000)
    for _ in range(5):
        world.stored(a="x" * 600)
    assert sum("half of max_bytes" in message for message in caplog.messages) == 1


def test_the_default_limit_is_one_mebibyte(world):
    session = world.manager.open(None)
    session["a"] = "x" * 1024 * 1024
    with pytest.raises(RecordTooLarge):
        world.manager.commit(session)


# -- misconfiguration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"idle_timeout": 0},
        {"idle_timeout": None},
        {"idle_timeout": "300"},
        {"absolute_timeout": -1},
        {"absolute_timeout": datetime.timedelta()},
        {"wait": 0},
        {"wait": float("inf")},
        {"max_bytes": 0},
        {"max_bytes": None},
        {"max_bytes": "1M"},
    ],
)
def test_a_wrong_option_fails_at_start_and_is_named(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        SessionManager(MemoryStore(), **options)


@pytest.mark.parametrize("store", [None, 5, "redis", MemoryStore, {}, object()])
def test_what_is_no_store_fails_at_start(store):
    with pytest.raises(ConfigurationError, match="is no session store"):
        SessionManager(store)


def test_what_carries_a_store_is_accepted():
    class Carrier:
        store = MemoryStore()

    carrier = Carrier()
    session = SessionManager(carrier).open(None)
    session["a"] = 1
    session.session_save()
    assert len(carrier.store) == 1
    assert session.session_backing is carrier


# -- outside of a request ----------------------------------------------------------------------


def test_a_session_by_hand_is_loaded_and_saved():
    store = MemoryStore()
    session = Session(store)
    session["a"] = 1
    session.session_save()
    again = Session(store, session.session_id)
    assert again == {"a": 1}
    assert Session(store, UNKNOWN).session_id != UNKNOWN


def test_sessions_without_a_store_share_one_in_this_process():
    session = Session()
    session["a"] = 1
    session.session_save()
    assert Session(session_id=session.session_id) == {"a": 1}
    assert Session() == {}


def test_a_session_is_not_made_from_data():
    with pytest.raises(TypeError, match=r"session\.update"):
        Session({"a": 1})


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TimeoutError("x"), KeyError("x"), ZeroDivisionError()])
@pytest.mark.parametrize("verb", ["load", "create", "replace"])
def test_whatever_a_store_raises_is_store_unavailable_with_its_cause(world, verb, error):
    session_id = world.stored(a=1)

    def raises():
        raise error

    world.store.before[verb] = [raises]
    with pytest.raises(StoreUnavailable) as caught:
        session = world.manager.open(session_id if verb != "create" else None)
        session["a"] = 2
        world.manager.commit(session)
    assert caught.value.__cause__ is error
    assert world.names()[-1] == "unavailable"
    assert world.data(session_id) == {"a": 1}


def test_a_fault_in_logout_leaves_the_session_as_it_was(world, outage):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    world.store.before["replace"] = [outage]
    with pytest.raises(StoreUnavailable):
        session.session_delete()
    assert not session.session_deleted
    assert session == {"a": 1}
    session.session_delete()
    assert world.data(session_id) is None


def test_after_the_store_is_back_the_next_request_works(world, outage):
    session_id = world.stored(a=1)
    world.store.before["load"] = [outage]
    with pytest.raises(StoreUnavailable):
        world.manager.open(session_id)
    assert world.manager.open(session_id) == {"a": 1}


def test_a_record_of_a_newer_major_version_is_a_fault_and_not_damage(world):
    session_id = world.stored(a=1)
    key = sha256(session_id.encode()).hexdigest()
    record, version = world.store.inner.load(key)
    newer = record.replace(b" sc1 ", b" sc2 ", 1)
    world.store.inner.replace(key, version, newer, 60)
    with pytest.raises(NewerRecord) as caught:
        world.manager.open(session_id)
    assert isinstance(caught.value, StoreUnavailable)
    assert world.store.inner.load(key)[0] == newer


def test_an_unsaved_session_keeps_nothing_and_refuses_to_log_in(world):
    session = world.manager.unsaved()
    session["a"] = 1
    assert world.manager.commit(session).action == "nothing"
    assert world.names() == ["write dropped"]
    for verb in (
        session.session_regenerate,
        session.session_delete,
        lambda: session.session_login("alice"),
    ):
        with pytest.raises(StoreUnavailable):
            verb()
    assert world.store.took() == []


def test_an_unstorable_value_leaves_the_stored_session_as_it_was(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["a"] = 2
    session["b"] = {"c": [object()]}
    with pytest.raises(UnstorableValue, match=r"session\['b'\]\['c'\]\[0\]"):
        world.manager.commit(session)
    assert world.data(session_id) == {"a": 1}
    session["b"] = None
    world.manager.commit(session)
    assert world.data(session_id) == {"a": 2, "b": None}


# -- no ids and no data in any text ------------------------------------------------------------


def test_neither_logs_nor_events_nor_errors_nor_reprs_hold_ids_or_data(world, caplog, outage):
    caplog.set_level(logging.DEBUG)
    world.new_manager(rolling=True, max_bytes=2000)
    canary, owner = "canary-" + "c" * 20, "owner-" + "o" * 20
    ids, texts = [], []

    def attempt(function):
        try:
            answer = function()
        except (SessionError, TypeError) as error:
            texts.extend([str(error), repr(error)])
        else:
            texts.append(repr(answer))
            if isinstance(answer, Answer) and answer.session_id:
                ids.append(answer.session_id)

    def request(work, session_id=None):
        attempt(lambda: world.request(session_id or ids[-1], work))

    request(lambda session: session.update(a=canary), UNKNOWN)
    request(lambda session: session.session_regenerate())
    request(lambda session: session.session_login(owner))
    request(len, ids[0])
    request(lambda session: session.update(a=canary), ids[0])
    request(lambda session: session.update(a=[canary, object()]))
    request(lambda session: session.update(a=canary * 1000))
    request(lambda session: session.update(a=canary * 40))
    for verb in ("load", "replace"):
        world.store.before[verb] = [outage]
        request(lambda session: session.update(a=canary))
    late = world.manager.open(ids[-1])
    request(lambda session: session.clear())
    late["b"] = canary
    attempt(lambda: world.manager.commit(late))
    key = sha256(ids[-1].encode()).hexdigest()
    record, version = world.store.inner.load(key)
    world.store.inner.replace(key, version, record[:-5] + canary.encode(), 60)
    request(lambda session: session.update(a=canary))
    request(lambda session: session.session_logout())
    attempt(lambda: Session({"a": canary}))

    assert len(ids) > 3
    texts += [repr(event) for event in world.events] + [
        repr(world.manager),
        repr(world.store.inner),
    ]
    for record in caplog.records:
        texts += [record.getMessage(), repr(record.args), record.exc_text or ""]
    everything = "\n".join(texts)
    assert "damaged" in everything
    assert "write dropped" in everything
    for secret in (*ids, UNKNOWN, canary, owner, *map(_key, ids)):
        assert secret not in everything


def _key(session_id):
    return sha256(session_id.encode()).hexdigest()


def test_an_event_names_its_session_by_a_short_hash_that_stays(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda session: session.session_delete())
    other = world.stored(a=1)
    world.request(other, lambda session: session.session_delete())
    events = [event for event in world.events if event.name == "logged out"]
    assert isinstance(events[0], Event)
    assert re.fullmatch("[0-9a-f]{12}", events[0].reference)
    assert not sha256(other.encode()).hexdigest().startswith(events[0].reference)


def test_events_go_to_their_logger(world, caplog):
    world.stored(a=1)
    caplog.set_level(logging.INFO, logger="session_core.events")
    world.manager.open(UNKNOWN)
    assert [r.levelname for r in caplog.records if r.name == "session_core.events"] == ["INFO"]


# -- sessions that are too large to be handled whole -------------------------------------------


LONG = "x" * 5000


def test_equal_and_other_values_in_one_large_session(world):
    session_id = world.stored(long=LONG, a=1, b=2, c=[3])
    world.request(session_id, lambda session: session.update(a=1, b=3, c=[3], d=4))
    assert world.data(session_id) == {"long": LONG, "a": 1, "b": 3, "c": [3], "d": 4}


def test_a_key_of_a_large_session_that_was_removed_and_comes_back_is_the_last_one(world):
    session_id = world.stored(a=1, long=LONG, b=2)

    def work(session):
        del session["a"]
        session["a"] = 5

    world.request(session_id, work)
    assert list(world.data(session_id).items()) == [("long", LONG), ("b", 2), ("a", 5)]


def test_a_line_that_is_not_found_is_not_put_anywhere(world):
    """It cannot happen with records of ours, and must not spoil others."""
    session_id = world.stored(long=LONG, a=1)
    snapshot = world.manager.open(session_id)._snapshot
    delta = Delta({"a": '"a":2'})
    delta.places = {"a": snapshot.find_line('"a":')}
    assert json.loads(patch(snapshot, delta)) == {"long": LONG, "a": 2}
    delta.places = {"a": snapshot.find_line('"b":')}
    assert patch(snapshot, delta) is None


def test_what_is_left_of_the_absolute_timeout_has_no_noise(world):
    for tenths in range(10):
        world.clock.now = 1_800_000_000 + tenths / 10
        world.new_manager(idle_timeout=1000, absolute_timeout=3600)
        session_id = world.stored(a=0)
        for number in range(1, 4):
            world.clock.advance(900.7)
            answer = world.request(session_id, lambda s: s.update(a=number))  # noqa: B023
            assert answer.seconds == min(1000, round(3600 - number * 900.7, 6))


def test_a_first_save_with_an_idle_timeout_of_its_own(world):
    session = world.manager.open(None)
    session["a"] = 1
    session.session_save(expire=50)
    assert session.session_expires_in == 50
    assert world.manager.commit(session).seconds == 50
    world.clock.advance(50)
    assert world.data(session.session_id) is None
