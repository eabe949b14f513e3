"""Parallel requests: every row of the table in `session_core.protocol`."""

import copy
import threading
import time

import pytest

from session_core import Answer, ConflictTimeout, StoreUnavailable


@pytest.fixture
def race(world):
    """Return a function: open two requests on one stored session, change both, commit both."""

    def race(data, first, second):
        session_id = world.stored(**data)
        one, two = world.manager.open(session_id), world.manager.open(session_id)
        first(one)
        second(two)
        answers = world.manager.commit(one), world.manager.commit(two)
        return session_id, *answers

    return race


# -- merge -------------------------------------------------------------------------------------


def test_different_keys_both_survive(world, race):
    session_id, *answers = race({"a": 0}, lambda s: s.update(x=1), lambda s: s.update(y=2))
    assert world.data(session_id) == {"a": 0, "x": 1, "y": 2}
    assert [answer.action for answer in answers] == ["extend", "extend"]


def test_of_the_same_key_the_last_commit_wins(world, race):
    session_id, *_ = race({}, lambda s: s.update(x=1), lambda s: s.update(x=2))
    session_id, *_ = race({"x": 0}, lambda s: s.update(x=1), lambda s: s.update(x=2))
    assert world.data(session_id) == {"x": 2}


@pytest.mark.parametrize("value", [0, 2**70, "text", [0], {"a": {1, 2}}])
def test_an_equal_value_extends_and_overwrites_nothing(world, race, value):
    session_id, _, answer = race(
        {"x": value}, lambda s: s.update(x=1), lambda s: s.update(x=copy.deepcopy(value))
    )
    assert world.data(session_id) == {"x": 1}
    assert answer.action == "extend"


@pytest.mark.parametrize("value", [0, 2**70, "text", [0], {"a": {1, 2}}])
def test_an_equal_value_does_not_bring_a_deleted_key_back(world, race, value):
    session_id, *_ = race(
        {"x": value}, lambda s: s.pop("x"), lambda s: s.update(x=copy.deepcopy(value))
    )
    assert world.data(session_id) == {}


def test_a_read_overwrites_nothing(world, race):
    session_id, *_ = race({"x": [0]}, lambda s: s["x"].append(1), lambda s: (s["x"], s.update(y=1)))
    assert world.data(session_id) == {"x": [0, 1], "y": 1}


def test_a_nested_change_counts_for_its_top_level_key(world, race):
    session_id, *_ = race(
        {"cart": {"a": 1}, "other": {}},
        lambda s: s["cart"].update(b=2),
        lambda s: s["other"].update(c=3),
    )
    assert world.data(session_id) == {"cart": {"a": 1, "b": 2}, "other": {"c": 3}}


def test_a_nested_change_of_a_key_that_was_deleted_meanwhile_is_dropped(world, race):
    session_id, *_ = race({"x": {}}, lambda s: s.pop("x"), lambda s: s["x"].update(a=1))
    assert world.data(session_id) == {}


def test_an_assignment_to_a_key_that_was_deleted_meanwhile_is_kept(world, race):
    session_id, *_ = race({"x": {}}, lambda s: s.pop("x"), lambda s: s.update(x={"a": 1}))
    assert world.data(session_id) == {"x": {"a": 1}}


def test_deleting_a_key_that_was_changed_meanwhile_deletes_it(world, race):
    session_id, *_ = race({"x": 0, "y": 0}, lambda s: s.update(x=1), lambda s: s.pop("x"))
    assert world.data(session_id) == {"y": 0}


def test_what_was_opened_before_a_clear_is_dropped(world, race):
    session_id, _, answer = race({"x": 0}, lambda s: s.clear(), lambda s: s.update(y=1))
    assert world.data(session_id) == {}
    assert answer == Answer("nothing")


def test_a_clear_wipes_what_was_stored_meanwhile(world, race):
    session_id, *_ = race({"x": 0}, lambda s: s.update(y=1), lambda s: (s.clear(), s.update(z=2)))
    assert world.data(session_id) == {"z": 2}


def test_two_clears_are_both_kept(world, race):
    session_id, *answers = race(
        {"x": 0}, lambda s: (s.clear(), s.update(a=1)), lambda s: (s.clear(), s.update(b=2))
    )
    assert world.data(session_id) == {"b": 2}
    assert [answer.action for answer in answers] == ["extend", "extend"]


def test_a_dropped_write_is_an_event(world, race):
    race({"x": 0}, lambda s: s.clear(), lambda s: s.update(y=1))
    assert "write dropped" in world.names()


def test_after_a_drop_by_a_clear_the_request_can_still_log_out(world):
    session_id = world.stored(x=0)
    session = world.manager.open(session_id)
    session["y"] = 1
    world.request(session_id, lambda other: other.clear())
    session.session_save()
    session.session_logout()
    assert world.manager.open(session_id).session_gone


def test_after_a_drop_by_a_clear_a_login_still_ends_the_old_id(world):
    session_id = world.stored(x=0)
    session = world.manager.open(session_id)
    session["y"] = 1
    world.request(session_id, lambda other: other.clear())
    session.session_save()
    session.session_login("alice")
    answer = world.manager.commit(session)
    assert world.data(answer.session_id) == {"y": 1}
    assert world.manager.open(session_id).session_gone


def test_a_login_opened_before_a_clear_applies_its_own_sets(world):
    session_id = world.stored(x=0, n={})
    session = world.manager.open(session_id)
    session["y"] = 1
    session["n"]["late"] = 1
    session.session_login("alice")
    world.request(session_id, lambda other: (other.clear(), other.update(z=2)))
    answer = world.manager.commit(session)
    assert world.data(answer.session_id) == {"z": 2, "y": 1}


def test_three_writers_in_one_window_keep_everything(world):
    session_id = world.stored(a=0)
    session = world.manager.open(session_id)
    session["mine"] = 1
    world.store.before["replace"] = [
        lambda: world.store.before.update(replace=[None]) or world.request(
            session_id, lambda other: other.update(theirs=1)),
    ]  # fmt: skip
    world.manager.commit(session)
    assert world.data(session_id) == {"a": 0, "theirs": 1, "mine": 1}


def test_a_second_commit_in_one_request_keeps_what_others_wrote_between(world):
    session_id = world.stored(a=0, n=[])
    session = world.manager.open(session_id)
    session["x"] = 1
    session.session_save()
    world.request(session_id, lambda other: other.update(a=5, y=2))
    session["z"] = 3
    session["n"].append(1)
    session.session_save()
    world.request(session_id, lambda other: other.pop("x"))
    session["w"] = 4
    world.manager.commit(session)
    assert world.data(session_id) == {"a": 5, "n": [1], "y": 2, "z": 3, "w": 4}


def test_a_session_that_merged_does_not_undo_the_others_at_its_next_save(world):
    session_id = world.stored(a=0)
    session = world.manager.open(session_id)
    world.request(session_id, lambda other: other.update(a=1, b=1))
    session["x"] = 1
    session.session_save()
    session["x"] = 2
    world.manager.commit(session)
    assert world.data(session_id) == {"a": 1, "b": 1, "x": 2}


def test_the_envelope_of_a_parallel_login_is_kept_by_a_write_that_follows_it(world):
    session_id = world.stored(a=0)
    late = world.manager.open(session_id)
    answer = world.request(session_id, lambda s: s.session_login("alice"))
    late["b"] = 1
    assert world.manager.commit(late).action == "nothing"
    assert world.data(answer.session_id) == {"a": 0}
    assert world.manager.open(answer.session_id).session_owner == "alice"


# -- references --------------------------------------------------------------------------------


def test_references_to_nested_objects_stay_good_over_a_save(world):
    session_id = world.stored(cart={"a": 1})
    session = world.manager.open(session_id)
    cart = session["cart"]
    session["new"] = new = []
    session.session_save()
    cart["b"] = 2
    new.append(1)
    world.manager.commit(session)
    assert world.data(session_id) == {"cart": {"a": 1, "b": 2}, "new": [1]}


def test_references_to_nested_objects_stay_good_over_an_atomic(world):
    session_id = world.stored(cart={"a": 1}, n=0)
    session = world.manager.open(session_id)
    cart = session["cart"]
    world.request(session_id, lambda other: other.update(theirs=1))
    session.session_atomic(lambda data: data.update(n=data["n"] + 1))
    assert session == {"cart": {"a": 1}, "n": 1, "theirs": 1}
    assert session["cart"] is cart
    cart["b"] = 2
    world.manager.commit(session)
    assert world.data(session_id) == {"cart": {"a": 1, "b": 2}, "n": 1, "theirs": 1}


# -- atomic ------------------------------------------------------------------------------------


def test_atomic_sees_the_freshest_data_with_this_requests_changes(world):
    session_id = world.stored(a=0, n=1)
    session = world.manager.open(session_id)
    session["mine"] = 1
    world.request(session_id, lambda other: other.update(n=5))
    seen = []

    def add(data):
        seen.append((type(data), dict(data)))
        data["n"] += 1
        return "result", data["n"]

    assert session.session_atomic(add) == ("result", 6)
    assert seen[-1] == (dict, {"a": 0, "n": 5, "mine": 1})
    assert len(seen) == 2
    assert session == {"a": 0, "n": 6, "mine": 1}
    assert world.data(session_id) == session


def test_atomic_whose_function_raises_writes_nothing(world):
    session_id = world.stored(n=0)
    session = world.manager.open(session_id)

    def broken(data):
        data["n"] = 1
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        session.session_atomic(broken)
    assert world.store.took() == ["load"]
    assert session == {"n": 0}
    assert world.manager.commit(session).action == "nothing"
    assert world.data(session_id) == {"n": 0}


def test_atomic_on_a_gone_session_is_dropped_and_still_returns(world):
    session_id = world.stored(n=0)
    world.request(session_id, lambda s: s.session_delete())
    session = world.manager.open(session_id)
    assert session.session_atomic(lambda data: data.update(n=1) or len(data)) == 1
    assert world.names()[-1] == "write dropped"
    assert world.manager.commit(session) == Answer("nothing")


def test_atomic_creates_a_first_session(world):
    session = world.manager.open(None)
    session["a"] = 1
    assert session.session_atomic(lambda data: data.setdefault("n", 5)) == 5
    answer = world.manager.commit(session)
    assert answer.action == "issue"
    assert world.data(answer.session_id) == {"a": 1, "n": 5} == session


def test_eight_threads_count_exactly(world):
    world.new_manager(wait=20)
    session_id = world.stored(n=0)
    results = []

    def count():
        for _ in range(10):
            session = world.manager.open(session_id)
            results.append(session.session_atomic(_increment))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 81))
    assert world.data(session_id) == {"n": 80}


def _increment(data):
    data["n"] += 1
    return data["n"]


def test_threads_that_write_different_keys_lose_none(world):
    world.new_manager(wait=20)
    session_id = world.stored(start=0)

    def write(name):
        for number in range(10):
            world.request(
                session_id, lambda session, number=number: session.update({f"{name}{number}": 1})
            )

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.data(session_id)) == 81


# -- renewal -----------------------------------------------------------------------------------


def test_a_renewal_moves_the_data_and_ends_the_old_id(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session.session_regenerate()
    new_id = session.session_id
    assert new_id != session_id
    assert world.data(session_id) == {"a": 1}
    assert world.manager.commit(session) == Answer("issue", new_id, 300)
    assert world.names()[-1] == "renewed"
    assert world.data(new_id) == {"a": 1}
    late = world.manager.open(session_id)
    assert late.session_gone
    assert late == {}


def test_a_renewal_keeps_what_was_stored_meanwhile_and_leaves_one_live_id(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["b"] = 2
    session.session_regenerate()
    drawn = session.session_id
    world.request(session_id, lambda other: other.update(c=3))
    world.store.took()
    answer = world.manager.commit(session)
    assert world.store.took() == ["create", "replace", "delete", "load", "create", "replace"]
    assert world.data(answer.session_id) == {"a": 1, "c": 3, "b": 2}
    assert world.data(drawn) is None
    assert len(list(world.store.inner.scan())) == 2


def test_a_write_after_a_renewal_is_dropped_without_a_cookie(world):
    session_id = world.stored(a=1)
    late = world.manager.open(session_id)
    answer = world.request(session_id, lambda s: s.session_regenerate())
    late["b"] = 2
    assert world.manager.commit(late) == Answer("nothing")
    assert late.session_gone
    assert world.names()[-1] == "write dropped"
    assert world.data(answer.session_id) == {"a": 1}


def test_of_two_renewals_one_wins_and_the_other_is_gone(world, race):
    _, one, two = race({"a": 1}, lambda s: s.session_regenerate(), lambda s: s.session_regenerate())
    assert (one.action, two.action) == ("issue", "nothing")
    assert world.data(one.session_id) == {"a": 1}
    assert len(list(world.store.inner.scan())) == 2


def test_of_two_logins_both_have_a_session_and_the_second_only_what_it_set(world, race):
    session_id, one, two = race(
        {"a": 1, "n": {}},
        lambda s: (s.update(x=1), s.session_login("alice")),
        lambda s: (s.update(y=2), s["n"].update(z=1), s.session_login("bob")),
    )
    assert world.data(one.session_id) == {"a": 1, "n": {}, "x": 1}
    assert world.data(two.session_id) == {"y": 2}
    assert world.manager.open(one.session_id).session_owner == "alice"
    assert world.manager.open(two.session_id).session_owner == "bob"
    assert world.manager.open(session_id).session_gone


def test_a_login_on_a_gone_session_starts_afresh(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda s: s.session_logout())
    session = world.manager.open(session_id)
    session["b"] = 2
    session.session_login("alice")
    answer = world.manager.commit(session)
    assert answer.action == "issue"
    assert world.data(answer.session_id) == {"b": 2}
    assert not session.session_gone


def test_a_regenerate_on_a_gone_session_stays_gone(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda s: s.session_logout())
    session = world.manager.open(session_id)
    session.session_regenerate()
    session["a"] = 1
    assert world.manager.commit(session) == Answer("nothing")


def test_the_unknown_second_step_of_a_renewal_that_has_happened_counts(world, outage):
    session_id = world.stored(a=1)
    world.store.after["replace"] = [outage]
    answer = world.request(session_id, lambda s: s.session_regenerate())
    assert world.store.took() == ["load", "create", "replace", "load"]
    assert answer.action == "issue"
    assert world.data(answer.session_id) == {"a": 1}


def test_the_unknown_second_step_of_a_renewal_that_has_not_happened_is_a_fault(world, outage):
    session_id = world.stored(a=1)
    world.store.before["replace"] = [outage]
    with pytest.raises(StoreUnavailable):
        world.request(session_id, lambda s: s.session_regenerate())
    assert world.store.took() == ["load", "create", "replace", "load"]
    assert world.data(session_id) == {"a": 1}


def test_an_unknown_write_is_not_repeated(world, outage):
    session_id = world.stored(a=1)
    for where in (world.store.before, world.store.after):
        where["replace"] = [outage]
        with pytest.raises(StoreUnavailable):
            world.request(session_id, lambda s: s.update(b=1))
        assert world.store.took() == ["load", "replace"]
    world.store.after["create"] = [outage]
    with pytest.raises(StoreUnavailable):
        world.request(None, lambda s: s.update(b=1))
    assert world.store.took() == ["create"]


def test_a_second_try_in_the_same_request_after_an_unknown_write_applies_it_once(world, outage):
    session_id = world.stored(a=[])
    session = world.manager.open(session_id)
    session["a"].append(1)
    world.store.after["replace"] = [outage]
    with pytest.raises(StoreUnavailable):
        session.session_save()
    world.manager.commit(session)
    assert world.data(session_id) == {"a": [1]}


# -- logout ------------------------------------------------------------------------------------


def test_a_logout_is_final_for_a_write_that_comes_late(world, race):
    session_id, one, two = race(
        {"a": 1}, lambda s: s.session_logout(), lambda s: s.update(b=2, a=3)
    )
    assert (one, two) == (Answer("forget"), Answer("nothing"))
    assert world.manager.open(session_id).session_gone
    world.clock.advance(61)
    assert world.data(session_id) is None


@pytest.mark.parametrize("work", ["session_regenerate", "session_atomic"])
def test_a_logout_is_final_for_renewal_and_atomic(world, race, work):
    arguments = (len,) if work == "session_atomic" else ()
    _, _, answer = race(
        {"a": 1}, lambda s: s.session_logout(), lambda s: getattr(s, work)(*arguments)
    )
    assert answer == Answer("nothing")
    assert len(list(world.store.inner.scan())) == 1


def test_a_logout_ends_what_was_written_meanwhile(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    world.request(session_id, lambda other: other.update(b=2))
    session.session_logout()
    assert world.manager.open(session_id).session_gone


def test_a_logout_follows_renewals_to_the_live_successor(world):
    first = world.stored(a=1)
    session = world.manager.open(first)
    second = world.request(first, lambda s: s.session_regenerate()).session_id
    third = world.request(second, lambda s: s.session_login("alice")).session_id
    session.session_logout()
    assert world.manager.commit(session) == Answer("forget")
    assert world.manager.open(third).session_gone
    assert world.data(third) is None


def test_a_logout_on_a_session_that_was_gone_at_opening_follows_too(world):
    first = world.stored(a=1)
    second = world.request(first, lambda s: s.session_regenerate()).session_id
    session = world.manager.open(first)
    assert session.session_gone
    session.session_logout()
    assert world.manager.commit(session) == Answer("forget")
    assert world.manager.open(second).session_gone


def test_a_logout_of_what_has_ended_or_expired_is_done(world):
    session_id = world.stored(a=1)
    one, two = world.manager.open(session_id), world.manager.open(session_id)
    one.session_logout()
    two.session_logout()
    assert world.manager.commit(two) == Answer("forget")
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    world.clock.advance(400)
    session.session_logout()
    assert world.manager.commit(session) == Answer("forget")


def test_a_logout_after_a_renewal_in_the_same_request_ends_the_one_that_lives(world):
    for save in (True, False):
        first = world.stored(a=1)
        session = world.manager.open(first)
        session.session_regenerate()
        if save:
            session.session_save()
        new_id = session.session_id
        session.session_logout()
        assert world.manager.commit(session) == Answer("forget")
        assert world.data(new_id) is None
        assert world.data(first) is None


def test_after_the_dead_record_has_expired_a_late_write_still_finds_nothing(world):
    session_id = world.stored(a=1)
    late = world.manager.open(session_id)
    world.request(session_id, lambda s: s.session_logout())
    world.clock.advance(100)
    late["b"] = 1
    assert world.manager.commit(late) == Answer("nothing")
    assert world.data(session_id) is None


def test_a_dead_record_is_remembered_for_a_minute(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda s: s.session_logout())
    world.clock.advance(59)
    assert world.manager.open(session_id).session_gone
    world.clock.advance(2)
    assert not world.manager.open(session_id).session_gone


# -- gone --------------------------------------------------------------------------------------


def test_a_gone_session_keeps_nothing_and_says_nothing_to_the_client(world):
    session_id = world.stored(a=1)
    world.request(session_id, lambda s: s.session_logout())
    world.store.took()
    session = world.manager.open(session_id)
    session["a"] = 1
    session.session_save(force=True)
    assert world.manager.commit(session) == Answer("nothing")
    assert world.store.took() == ["load"]
    assert "write dropped" in world.names()


def test_an_evicted_session_is_gone_for_a_running_request(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    for key in list(world.store.inner.scan()):
        world.store.inner.delete(key)
    session["b"] = 1
    assert world.manager.commit(session) == Answer("nothing")
    assert session.session_gone
    assert world.data(session_id) is None


def test_a_login_after_the_loss_was_noticed_stores_only_what_this_request_set(world):
    session_id = world.stored(a=1, n={})
    session = world.manager.open(session_id)
    session["b"] = 1
    session["n"]["x"] = 1
    world.request(session_id, lambda s: s.session_logout())
    session.session_save()
    assert session.session_gone
    session["c"] = 1
    session.session_login("alice")
    answer = world.manager.commit(session)
    assert world.data(answer.session_id) == {"b": 1, "c": 1} == session


# -- the time bound ----------------------------------------------------------------------------


class Refusing:
    """A store in which somebody else is always faster."""

    def __init__(self, store):
        self.inner = store
        self.load, self.delete = store.load, store.delete

    def create(self, key, record, ttl):
        return False

    def replace(self, key, version, record, ttl):
        return False


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.update(a=2),
        lambda session: session.session_atomic(lambda data: data.update(a=2)),
        lambda session: session.session_regenerate(),
        lambda session: session.session_logout(),
    ],
)
def test_others_being_faster_is_a_named_error_after_the_time_bound(world, work):
    session_id = world.stored(a=1)
    world.store.replace = Refusing(world.store.inner).replace
    started = time.monotonic()
    with pytest.raises(ConflictTimeout) as caught:
        world.request(session_id, work)
    assert 0.05 <= time.monotonic() - started < 2
    assert isinstance(caught.value, StoreUnavailable)
    assert world.data(session_id) == {"a": 1}
    assert len(list(world.store.inner.scan())) == 1


def test_a_store_that_takes_no_new_key_is_a_named_error_after_the_time_bound(world):
    world.store.create = Refusing(world.store.inner).create
    with pytest.raises(ConflictTimeout):
        world.request(None, lambda session: session.update(a=1))


def test_an_id_that_is_taken_is_never_overwritten(world):
    session = world.manager.open(None)
    taken = session.session_id
    session["a"] = 1
    other = world.manager.open(None)
    other._candidate = taken  # no other way to make two random ids equal
    other["b"] = 2
    world.manager.commit(session)
    answer = world.manager.commit(other)
    assert answer.session_id != taken
    assert world.data(taken) == {"a": 1}
    assert world.data(answer.session_id) == {"b": 2}
