"""The conformance kit: every sentence of the store contract as a check.

    from session_core.testing import StoreConformance

    class TestMyStore(StoreConformance):
        def new_store(self):
            return MyStore(clock=self.clock)

Run it with pytest. Keys are random, so one running engine serves all checks. What an engine cannot
do, it says by overriding: see the methods under "for you to override".
"""

# ruff: noqa: S101 -- checks are asserts
from __future__ import annotations

import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .store import HEAD, Store, SupportsScan, SupportsSweep

__all__ = ["FakeClock", "StoreConformance", "new_key", "new_record"]


class FakeClock:
    """A clock that stands still until it is advanced. Call it for seconds since the epoch."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def new_key() -> str:
    """Return a random key of the shape that session_core uses."""
    return secrets.token_hex(32)


def new_record(payload: bytes = b"") -> bytes:
    """Return a record: a fresh random head and ``payload``."""
    return secrets.token_urlsafe(12).encode() + payload


class StoreConformance:
    """Checks of one store. Subclass it and give it at least `new_store`."""

    clock: FakeClock

    # -- for you to override ---------------------------------------------------------------

    def new_store(self) -> Store:
        """Return a store, on the same engine at every call within one check if that has a state
        outside of the process. Give it ``self.clock`` if it takes one."""
        raise NotImplementedError("StoreConformance needs new_store()")

    def new_broken_store(self) -> Store | None:
        """Return a store whose engine cannot be asked, or None if that cannot happen to it."""
        return None

    def process_store(self) -> Callable[[], Store] | None:
        """Return a picklable callable that makes the store in another process, on the same engine.

        None (the default) says that the store does not reach beyond its process.
        """
        return None

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the engine; sleep if it has a clock of its own."""
        self.clock.advance(seconds)

    # -- the checks ------------------------------------------------------------------------

    def setup_method(self) -> None:
        self.clock = FakeClock()

    def test_has_the_four_verbs(self) -> None:
        assert isinstance(self.new_store(), Store)

    def test_what_is_not_there_is_none(self) -> None:
        assert self.new_store().load(new_key()) is None

    def test_create_then_load(self) -> None:
        store, key, record = self.new_store(), new_key(), new_record(b"one")
        assert store.create(key, record, 60) is True
        assert _load(store, key)[0] == record

    def test_create_never_overwrites(self) -> None:
        store, key, first = self.new_store(), new_key(), new_record(b"first")
        store.create(key, first, 60)
        assert store.create(key, new_record(b"second"), 60) is False
        assert _load(store, key)[0] == first

    def test_replace_with_the_version_that_was_read(self) -> None:
        store, key, second = self.new_store(), new_key(), new_record(b"second")
        store.create(key, new_record(b"first"), 60)
        assert store.replace(key, _load(store, key)[1], second, 60) is True
        assert _load(store, key)[0] == second

    def test_replace_with_an_older_version_is_refused(self) -> None:
        store, key, second = self.new_store(), new_key(), new_record(b"second")
        store.create(key, new_record(b"first"), 60)
        old = _load(store, key)[1]
        store.replace(key, old, second, 60)
        assert store.replace(key, old, new_record(b"third"), 60) is False
        assert _load(store, key)[0] == second

    def test_the_same_payload_again_is_another_version(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(b"same"), 60)
        old = _load(store, key)[1]
        for _ in range(2):
            assert store.replace(key, _load(store, key)[1], new_record(b"same"), 60) is True
        assert store.replace(key, old, new_record(b"same"), 60) is False

    def test_replace_never_makes_a_key_exist(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(), 60)
        version = _load(store, key)[1]
        store.delete(key)
        assert store.replace(key, version, new_record(), 60) is False
        assert store.load(key) is None

    def test_a_version_does_not_outlive_its_record(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(b"same"), 60)
        version = _load(store, key)[1]
        store.delete(key)
        again = new_record(b"same")
        store.create(key, again, 60)
        assert store.replace(key, version, new_record(b"late"), 60) is False
        assert _load(store, key)[0] == again

    def test_delete(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(), 60)
        store.delete(key)
        assert store.load(key) is None
        store.delete(key)
        assert store.create(key, new_record(), 60) is True

    def test_keys_do_not_mix(self) -> None:
        store = self.new_store()
        records = {new_key(): new_record(bytes([number])) for number in range(20)}
        for key, record in records.items():
            store.create(key, record, 60)
        assert {key: _load(store, key)[0] for key in records} == records

    def test_every_allowed_key(self) -> None:
        store, record = self.new_store(), new_record()
        for key in (secrets.choice("abcXYZ019_-"), "-" + new_key() + "_", secrets.token_hex(100)):
            store.delete(key)
            assert store.create(key, record, 60) is True
            assert _load(store, key)[0] == record

    def test_records_are_any_bytes(self) -> None:
        store = self.new_store()
        for payload in (b"", b"\r\n\0" * 3, bytes(range(256)), bytes(range(256)) * 1024):
            key, record = new_key(), new_record(payload)
            assert store.create(key, record, 60) is True
            loaded = _load(store, key)[0]
            assert type(loaded) is bytes
            assert loaded == record

    def test_a_record_lives_for_its_ttl_and_no_longer(self) -> None:
        store = self.new_store()
        kept, lost, version_lost, taken = new_key(), new_key(), new_key(), new_key()
        for key in (kept, lost, version_lost, taken):
            assert store.create(key, new_record(b"short"), 2) is True
        self.pass_time(1)
        versions = {key: _load(store, key)[1] for key in (kept, version_lost)}
        longer = new_record(b"long")
        assert store.replace(kept, versions[kept], longer, 60) is True
        self.pass_time(3.1)
        assert _load(store, kept)[0] == longer
        assert store.load(lost) is None
        assert store.replace(version_lost, versions[version_lost], new_record(), 60) is False
        assert store.load(version_lost) is None
        assert store.create(taken, new_record(b"new"), 60) is True

    def test_a_shorter_ttl_counts_too(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(), 3600)
        store.replace(key, _load(store, key)[1], new_record(), 0.5)
        self.pass_time(2.6)
        assert store.load(key) is None

    def test_a_ttl_of_many_days_and_of_a_fraction(self) -> None:
        store, month, fraction = self.new_store(), new_key(), new_key()
        assert store.create(month, new_record(), 40 * 86400) is True
        assert store.create(fraction, new_record(), 0.9) is True
        assert store.load(month) is not None
        assert store.load(fraction) is not None

    def test_sweep_frees_what_has_expired(self) -> None:
        store, key, other = self.new_store(), new_key(), new_key()
        if isinstance(store, SupportsSweep):
            store.create(key, new_record(), 1)
            store.create(other, new_record(), 60)
            self.pass_time(3.1)
            assert store.sweep() >= 1
            assert store.load(other) is not None

    def test_scan_lists_what_lives(self) -> None:
        store, key, other = self.new_store(), new_key(), new_key()
        if isinstance(store, SupportsScan):
            store.create(key, new_record(), 1)
            store.create(other, new_record(), 60)
            self.pass_time(3.1)
            keys = set(store.scan())
            assert other in keys
            assert key not in keys

    def test_only_one_of_many_creates_wins(self) -> None:
        store = self.new_store()
        for _ in range(20):
            key = new_key()
            won = _race(8, lambda key=key: store.create(key, new_record(), 60))  # type: ignore[misc]
            assert won.count(True) == 1, won

    def test_only_one_of_many_replaces_wins(self) -> None:
        store = self.new_store()
        for _ in range(20):
            key = new_key()
            store.create(key, new_record(), 60)
            version = _load(store, key)[1]
            won = _race(
                8,
                lambda key=key, version=version: store.replace(  # type: ignore[misc]
                    key, version, new_record(), 60
                ),
            )
            assert won.count(True) == 1, won

    def test_threads_lose_no_acknowledged_write(self) -> None:
        store, key = self.new_store(), new_key()
        store.create(key, new_record(), 600)
        with ThreadPoolExecutor(4) as pool:
            acknowledged = list(pool.map(lambda name: _append(store, key, name, 50), "abcd"))
        _check_appended(store, key, acknowledged)

    def test_processes_lose_no_acknowledged_write(self) -> None:
        factory = self.process_store()
        if factory is not None:
            store, key = factory(), new_key()
            store.create(key, new_record(), 600)
            context = multiprocessing.get_context("spawn")
            with context.Pool(4) as pool:
                acknowledged = pool.starmap(
                    _append_in_process, [(factory, key, name, 200) for name in "abcd"]
                )
            _check_appended(store, key, acknowledged)

    def test_a_fault_raises_and_is_never_an_answer(self) -> None:
        store = self.new_broken_store()
        if store is not None:
            for verb in (
                lambda: store.load(new_key()),
                lambda: store.create(new_key(), new_record(), 60),
                lambda: store.replace(new_key(), b"0" * HEAD, new_record(), 60),
                lambda: store.delete(new_key()),
            ):
                started = time.monotonic()
                try:
                    answer = verb()
                except Exception:
                    assert time.monotonic() - started < 10, "the wait is not bounded"
                else:
                    raise AssertionError(f"answered {answer!r} though the engine cannot be asked")


def _load(store: Store, key: str) -> tuple[bytes, Any]:
    found = store.load(key)
    assert found is not None, "a record that was just stored is not there"
    assert found[1] is not None, "a version must not be None"
    return found


def _race(contestants: int, run: Callable[[], bool]) -> list[bool]:
    barrier = threading.Barrier(contestants)

    def start(_: int) -> bool:
        barrier.wait()
        return run()

    with ThreadPoolExecutor(contestants) as pool:
        return list(pool.map(start, range(contestants)))


def _append(store: Store, key: str, name: str, times: int) -> list[str]:
    """Append to the record by conditional writes; return what was acknowledged."""
    acknowledged = []
    for number in range(times):
        word = f"{name}{number}"
        while True:
            record, version = _load(store, key)
            if store.replace(key, version, new_record(record[HEAD:] + f" {word}".encode()), 600):
                acknowledged.append(word)
                break
    return acknowledged


def _append_in_process(factory: Callable[[], Store], key: str, name: str, times: int) -> list[str]:
    return _append(factory(), key, name, times)


def _check_appended(store: Store, key: str, acknowledged: list[list[str]]) -> None:
    stored = _load(store, key)[0][HEAD:].decode().split()
    expected = [word for words in acknowledged for word in words]
    assert sorted(stored) == sorted(expected), "an acknowledged write is lost or doubled"
