"""Scenarios in which requests of one visitor race: writes, counters, logout, renewal."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from .stress_app import KINDS
from .stress_client import Browser, Load, Reply, Report


def distinct(load: Load, writes: int) -> Report:
    """Distinct keys of shared sessions: what is acknowledged is there afterwards.

    All threads work on the same session, one session after another. Every other write is saved
    by the handler, and tells how often it was merged; the others at the end of the request.
    """
    report = Report("distinct")
    sessions = max(1, writes // 200)
    browsers = [Browser(load, KINDS[number % 2]) for number in range(sessions)]
    assert all(load.each(lambda browser: browser.send("keep/first").kept, browsers))
    cookies = {browser.cookie for browser in browsers}

    def write(number: int) -> tuple[int, Reply]:
        owner = number * sessions // writes
        verb = "keep" if number % 2 else "put"
        return owner, browsers[owner].send(f"{verb}/{owner}-{number}")

    written = load.each(write, range(writes))
    found = [browser.send("read").done["data"] for browser in browsers]
    acknowledged = [
        (owner, key_of(reply))
        for owner, reply in written
        if (reply.kept if "/keep/" in reply.path else reply.status == 200)
    ]
    replies = [reply for _, reply in written]
    report.count(writes, f"writes to {sessions} sessions")
    report.count(len(acknowledged), "acknowledged")
    report.promise(sum(key not in found[owner] for owner, key in acknowledged), "lost")
    strays = [
        key
        for owner, data in enumerate(found)
        for key in data
        if key != "first" and not key.startswith(f"{owner}-")
    ]
    report.promise(len(strays), "keys in a wrong session")
    report.promise(sessions - len(cookies), "ids given twice")
    report.count(sum(reply.body.get("merged", 0) for reply in replies), "merges seen")
    report.count(len({reply.body["process"] for reply in replies if reply.kept}), "processes")
    report.statuses(replies)
    return report


def counter(load: Load, calls: int) -> Report:
    """Counters by session_atomic: each acknowledged call counts once, no other one does."""
    report = Report("counter")
    counters = max(1, calls // 400)
    wrong = 0
    replies: list[Reply] = []
    for number in range(counters):
        browser = Browser(load, KINDS[number % 2])
        assert browser.send("keep/first").kept
        answers = load.each(browser.send, ["count"] * (calls // counters))
        counted = sorted(reply.body["number"] for reply in answers if reply.kept)
        total = browser.send("read").done["data"].get("number", 0)
        wrong += counted != list(range(1, total + 1))
        replies += answers
    report.count(len(replies), f"calls on {counters} counters")
    report.count(sum(reply.kept for reply in replies), "acknowledged")
    report.promise(wrong, "counters wrong")
    report.count(sum(reply.body.get("merged", 0) for reply in replies), "repetitions")
    report.statuses(replies)
    return report


def writer(browser: Browser, name: int) -> list[Reply]:
    return [browser.send(f"keep/{name}-{turn}") for turn in range(3)]


def after_a_moment(browser: Browser, path: str) -> list[Reply]:
    time.sleep(random.random() * 0.006)
    return [browser.send(path)]


def race(load: Load, browser: Browser, path: str) -> tuple[str, Reply, list[Reply]]:
    """Let ``path`` race against writes in all other threads.

    Returns the cookie of before, the reply for ``path``, and those for the writes.
    """
    assert browser.send("keep/first").kept
    old = browser.cookie
    racers: list[Callable[[], list[Reply]]] = [partial(after_a_moment, browser, path)]
    racers += [partial(writer, browser, name) for name in range(max(1, load.threads - 1))]
    (ended,), *written = load.together(*racers)
    return old, ended, [reply for replies in written for reply in replies]


def key_of(reply: Reply) -> str:
    return reply.path.rpartition("/")[2]


def logout(load: Load, rounds: int) -> Report:
    """Logout against writes: the session is over, whatever arrives late."""
    report = Report("logout")
    resurrected = visible = revived = kept_late = refused = 0
    replies: list[Reply] = []
    ended_cookies = []
    before = after = 0
    for number in range(rounds):
        browser = Browser(load, KINDS[number % 2])
        old, ended, written = race(load, browser, "logout")
        replies += [ended, *written]
        if ended.status != 200:
            refused += 1
            continue
        before += sum(reply.kept and reply.sent_cookie == old for reply in written)
        after += sum(not reply.kept and reply.sent_cookie == old for reply in written)
        resurrected += bool(browser.send_with(old, "read").done["data"])
        late = browser.send_with(old, "keep/late")
        kept_late += late.kept or late.cookie is not None
        revived += bool(browser.send_with(old, "read").done["data"])
        # What was sent without the old cookie is a new visit, and may be seen.
        news = {key_of(reply) for reply in written if reply.sent_cookie != old}
        visible += not set(browser.send("read").done["data"]) <= news
        ended_cookies.append((browser, old))
    resurrected += sum(
        bool(browser.send_with(old, "read").done["data"]) for browser, old in ended_cookies
    )
    report.count(rounds, "rounds")
    report.count(before, "writes before the logout")
    report.count(after, "too late")
    report.promise(resurrected + revived, "sessions resurrected")
    report.promise(kept_late, "late writes accepted")
    report.promise(visible, "times old data visible")
    report.count(refused, "logouts refused")
    report.statuses(replies)
    return report


def renewal(load: Load, rounds: int) -> Report:
    """Login and new ids against writes: the old id is dead, nothing is lost, nobody is out."""
    report = Report("renewal")
    alive = lost = thrown_out = late_sends = strangers = refused = 0
    written_keys = 0
    replies: list[Reply] = []
    for number in range(rounds):
        kind = KINDS[number % 2]
        path = ("login", "renew")[number // 2 % 2]
        browser = Browser(load, kind)
        old, ended, written = race(load, browser, path)
        replies += [ended, *written]
        if ended.status != 200 or ended.cookie is None:
            refused += 1
            continue
        new = ended.cookie
        stranger = {reply.cookie for reply in written} - {None, old, new}
        strangers += bool(stranger)
        kept = {key_of(reply) for reply in written if reply.kept} | {"first"}
        written_keys += len(kept)
        renewed = browser.send_with(new, "read").done
        lost += len(kept - set(renewed["data"]))
        alive += bool(browser.send_with(old, "read").done["data"])
        now = browser.send("read").done
        in_charge = now["data"] and now["owner"] == ("user" if path == "login" else None)
        if browser.cookie == new and in_charge:
            continue
        last = max((r for r in [ended, *written] if r.cookie is not None), key=lambda r: r.order)
        if kind == "lasting" and is_late_send(last, ended, old, renewed["data"]):
            late_sends += 1
        else:
            thrown_out += 1
    report.count(rounds, "rounds")
    report.count(written_keys, "writes acknowledged")
    report.promise(lost, "lost")
    report.promise(alive, "old ids alive")
    report.promise(thrown_out, "users thrown out")
    report.count(late_sends, "out by a response with Max-Age sent before and delivered after")
    report.promise(strangers, "sessions out of nowhere")
    report.count(refused, "renewals refused")
    report.statuses(replies)
    return report


def is_late_send(last: Reply, ended: Reply, old: str, data: dict[str, object]) -> bool:
    """Whether the last cookie is the old one, in the answer to a write that was committed before
    the renewal (else it would not be in the new session) and arrived after it."""
    return last.cookie == old and last.kept and key_of(last) in data and last.order > ended.order
