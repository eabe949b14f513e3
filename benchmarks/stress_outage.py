"""The scenario in which the server of the store is killed, frozen and restarted under load."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from math import inf

from .server import Program
from .stress_app import KINDS
from .stress_client import Browser, Load, Reply, Report

STORE_WAIT = 1.0
"""The session_wait of the app, in seconds."""

MARGIN = 0.9
"""Seconds that the machine may add; less than a second wait, which would be a defect."""

DOWN = 0.6
FROZEN = 2.5  # longer than a request that waits twice
CALM = 1.2  # longer than the second in which service has to be back
BACK_WITHIN = 1.0


@dataclass
class Customer:
    """A visitor who writes without a pause, and keeps account of what was acknowledged."""

    browser: Browser
    token: str
    durable: bool
    """Whether the server has after a restart what it acknowledged before."""
    replies: list[Reply] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    counted: int = 0
    uncertain: int = 0
    writes: int = 0
    changes: int = 0
    """How often the session was a new one."""
    mixed: int = 0
    gone: int = 0
    wrong: int = 0

    def run(self, done: threading.Event) -> None:
        deadline = time.monotonic() + 300
        while not done.is_set() and time.monotonic() < deadline:
            number = len(self.replies)
            before = self.browser.cookie
            verb = {4: "put", 9: "count"}.get(number % 10, "keep")
            path = verb if verb == "count" else f"{verb}/{self.token}-{number}"
            reply = self.browser.send(path)
            self.replies.append(reply)
            if self.browser.cookie != before:  # a new session, with nothing in it yet
                self.kept.clear()
                self.counted = self.uncertain = 0
                self.changes += 1
            self.note(reply)
            if reply.status != 200:
                time.sleep(0.02)

    def note(self, reply: Reply) -> None:
        self.mixed += not set(reply.body.get("owners", ())) <= {self.token}
        verb, _, key = reply.path.removeprefix("/").partition("/")[2].partition("/")
        if reply.status != 200:
            self.uncertain += verb == "count"
        elif verb == "put" and not self.durable:
            return  # it does not say whether the session was lost between its load and its commit
        elif verb != "put" and not reply.kept:
            self.gone += 1
        elif verb == "count":
            number = reply.body["number"]
            self.wrong += not self.counted < number <= self.counted + self.uncertain + 1
            self.counted, self.uncertain = number, 0
        else:
            self.writes += 1
            self.kept.add(key)

    def lost(self) -> int:
        """Read the session; return how much of what was acknowledged is not there."""
        data = self.browser.send("read").done["data"]
        keys = {key for key in data if "-" in key}
        self.mixed += any(not key.startswith(f"{self.token}-") for key in keys)
        number = data.get("number", 0)
        self.wrong += not self.counted <= number <= self.counted + self.uncertain
        return len(self.kept - keys)


@dataclass
class Fault:
    name: str
    began: float
    back: float
    """When the server answered again."""


def strike(engine: Program, name: str) -> Fault:
    """Let one thing happen to the server, and wait until it answers again."""
    began = time.monotonic()
    if name == "frozen":
        engine.signal(signal.SIGSTOP)
        time.sleep(FROZEN)
        engine.signal(signal.SIGCONT)
        return Fault(name, began, engine.wait())
    engine.end(signal.SIGKILL if name == "killed" else signal.SIGTERM)
    time.sleep(DOWN if name == "killed" else 0)
    return Fault(name, began, engine.start())


def outage(load: Load, rounds: int, engine: Program, *, durable: bool) -> Report:
    """The server of the store is killed, frozen and restarted under load.

    ``durable``: whether it still has afterwards what it acknowledged. If not, sessions are new
    ones after a restart, and what counts is what was written since.
    """
    report = Report("outage")
    customers = [
        Customer(Browser(load, KINDS[n % 2]), f"c{n}", durable) for n in range(load.threads)
    ]
    assert all(load.each(lambda c: c.browser.send(f"keep/{c.token}-first").kept, customers))
    done = threading.Event()
    finish = load.start([partial(customer.run, done) for customer in customers])
    faults = []
    try:
        for name in ("killed", "frozen", "restarted") * rounds:
            time.sleep(CALM)
            faults.append(strike(engine, name))
        time.sleep(CALM)
    finally:
        done.set()
        finish()

    replies = [reply for customer in customers for reply in customer.replies]
    refused = [reply for reply in replies if reply.status == 503]
    report.count(len(faults), "faults")
    report.count(sum(customer.writes for customer in customers), "writes acknowledged")
    report.promise(sum(customer.lost() for customer in customers), "lost")
    report.promise(sum(customer.wrong for customer in customers), "counters wrong")
    report.promise(sum(customer.mixed for customer in customers), "sessions mixed up")
    new = sum(customer.changes for customer in customers)
    if durable:
        report.promise(new, "sessions replaced")
        report.promise(sum(customer.gone for customer in customers), "sessions gone")
    else:
        restarts = sum(fault.name != "frozen" for fault in faults)
        report.at_most(new, restarts * len(customers), "sessions begun anew")
    report.promise(sum(not r.headers["Retry-After"] for r in refused), "503 without Retry-After")
    report.promise(sum(reply.cookie is not None for reply in refused), "503 with a cookie")
    report.promise(sum(not within(reply, faults) for reply in refused), "503 without a fault")
    report.at_most(max(r.seconds for r in replies), STORE_WAIT + MARGIN, "s the longest answer")
    report.at_most(max(slowest(customers, faults)), BACK_WITHIN, "s until service was back")
    report.statuses(replies, healthy=False)
    return report


def within(reply: Reply, faults: list[Fault]) -> bool:
    """Whether a refusal belongs to a fault, or to the second after it."""
    return any(f.began <= reply.arrived and reply.sent <= f.back + BACK_WITHIN for f in faults)


def slowest(customers: list[Customer], faults: list[Fault]) -> list[float]:
    """Return, for each fault, how long the last customer waited to be served again."""
    return [
        max(
            next((r.arrived for r in c.replies if r.status == 200 and r.arrived > f.back), inf)
            for c in customers
        )
        - f.back
        for f in faults
    ]
