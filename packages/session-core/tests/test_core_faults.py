"""What goes wrong around a session, and what it must not do to the session."""

import pytest

from session_core import RecordTooLarge, SessionManager, StoreUnavailable
from session_core.cookie import IdCookie
from session_core.request import RequestOptions, RequestSession


def new_request(world, session_id=None, **options):
    environ = {"HTTP_COOKIE": f"session={session_id}"} if session_id else {}
    return RequestSession(RequestOptions(world.manager, IdCookie(), **options), environ)


def test_a_request_waits_once_also_when_the_handler_catches_the_fault(world, outage):
    session_id = world.stored(a=1)
    request = new_request(world, session_id)
    request.get()["a"] = 2
    world.store.before["replace"] = [outage]
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            request.get().session_save()
    with pytest.raises(StoreUnavailable):
        request.get().session_delete()
    with pytest.raises(StoreUnavailable):
        request.start("200 OK", [])
    assert world.store.took() == ["load", "replace"]
    assert request.start("503 Service Unavailable", []) == [("Vary", "Cookie")]
    assert world.data(session_id) == {"a": 1}


def test_a_session_outside_of_a_request_asks_again(world, outage):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["a"] = 2
    world.store.before["replace"] = [outage]
    with pytest.raises(StoreUnavailable):
        session.session_save()
    session.session_save()
    assert world.data(session_id) == {"a": 2}


def test_an_event_hook_that_raises_decides_nothing(world, caplog):
    def hook(event):
        raise RuntimeError("in the hook")

    world.new_manager(on_event=hook)
    session_id = world.request(None, lambda s: s.update(a=1)).session_id
    assert "the event hook failed" in caplog.text
    assert "in the hook" in caplog.text
    assert world.data(session_id) == {"a": 1}


def test_the_absolute_timeout_may_pass_while_a_request_runs(world):
    world.new_manager(absolute_timeout=100)
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    session["a"] = 2
    world.clock.advance(100)
    answer = world.manager.commit(session)
    assert answer.action == "nothing"
    assert session.session_gone
    assert world.names() == ["write dropped"]
    assert world.data(session_id) is None


def test_a_login_starts_afresh_when_the_absolute_timeout_passes_meanwhile(world):
    world.new_manager(absolute_timeout=100)
    session = world.manager.open(world.stored(a=1))
    world.clock.advance(100)
    session["b"] = 2
    session.session_login("alice")
    answer = world.manager.commit(session)
    assert (answer.action, answer.seconds) == ("issue", 100)
    assert world.data(answer.session_id)["b"] == 2


def test_reading_a_session_that_is_too_large_by_now_still_works(world):
    session_id = world.stored(a="x" * 1000)
    world.clock.advance(100)
    world.manager = SessionManager(world.store, clock=world.clock, max_bytes=500, rolling=True)
    session = world.manager.open(session_id)
    assert world.manager.commit(session).action == "extend"
    again = world.manager.open(session_id)
    again["b"] = 1
    with pytest.raises(RecordTooLarge, match="max_bytes is 500"):
        world.manager.commit(again)
    assert world.data(session_id) == {"a": "x" * 1000}


def test_anonymous_is_also_for_the_first_commit_of_a_visitor(world, outage):
    request = new_request(world, on_outage="anonymous")
    request.get()["seen"] = True
    world.store.before["create"] = [outage]
    assert request.start("200 OK", []) == [("Vary", "Cookie")]
    assert world.names() == ["unavailable", "write dropped"]


@pytest.mark.parametrize("work", ["nothing", "login", "renewal"])
def test_anonymous_is_for_nobody_else(world, outage, work):
    cookie = world.stored(a=1) if work == "nothing" else None
    request = new_request(world, cookie, on_outage="anonymous")
    request.get()["seen"] = True
    if work == "login":
        request.get().session_login("alice")
    elif work == "renewal":
        request.get().session_regenerate()
    world.store.before["create"] = [outage]
    world.store.before["replace"] = [outage]
    with pytest.raises(StoreUnavailable):
        request.start("200 OK", [])


def test_a_record_that_is_damaged_meanwhile_does_not_hold_up_a_logout(world):
    session_id = world.stored(a=1)
    session = world.manager.open(session_id)
    (key,) = world.store.inner.scan()
    world.store.inner.delete(key)
    world.store.inner.create(key, b"cut", 300)
    world.store.inner.replace = lambda *args: False  # as Redis, which compares the head
    session.session_delete()
    assert world.manager.commit(session).action == "forget"
    assert world.names() == ["damaged"]
    assert world.data(session_id) is None
