"""Sessions in files: what a disk, a crash, a fork and a careless hand can do to them."""

import builtins
import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cachelib import FileSystemCache

from session_backends import CacheStore
from session_backends import folder as folder_module
from session_backends import sweep as sweep_module
from session_core.errors import ConfigurationError, StoreUnavailable
from session_core.testing import FakeClock, new_key, new_record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(path, clock):
    return CacheStore(FileSystemCache(str(path)), clock=clock)


def sessions(path):
    return [name for name in os.listdir(path) if name.endswith(".session")]


def only_file(path):
    (name,) = sessions(path)
    return path / name


def test_records_survive_a_restart(path, store):
    key, record = new_key(), new_record(b"kept")
    store.create(key, record, 60)
    assert CacheStore(FileSystemCache(str(path))).load(key)[0] == record


def test_only_the_owner_can_read_a_file(path, store):
    store.create(new_key(), new_record(), 60)
    assert stat.S_IMODE(only_file(path).stat().st_mode) == 0o600


def test_the_mode_of_the_cache_counts_whatever_the_umask(path):
    before = os.umask(0o077)
    try:
        store = CacheStore(FileSystemCache(str(path), mode=0o640))
        store.create(new_key(), new_record(), 60)
    finally:
        os.umask(before)
    assert stat.S_IMODE(only_file(path).stat().st_mode) == 0o640


def test_locks_are_outside_of_the_folder(path, store):
    store.create(new_key(), new_record(), 60)
    assert len(os.listdir(path)) == len(sessions(path)) + 1  # cachelib's counter
    assert os.listdir(f"{path}.locks")


def test_the_caches_own_values_stay(path, clock):
    cache = FileSystemCache(str(path))
    cache.set("mine", [1, 2])
    store = CacheStore(cache, clock=clock)
    clock.advance(200)
    store.create(new_key(), new_record(), 60)
    assert store.sweep() == 0
    assert cache.get("mine") == [1, 2]


def test_cachelib_takes_our_files_for_living(path):
    cache = FileSystemCache(str(path), threshold=2)
    store, key = CacheStore(cache, threshold=0), new_key()
    store.create(key, new_record(), 60)
    for number in range(3):
        cache.set(f"mine{number}", number)
    assert store.load(key)


# -- expiry ------------------------------------------------------------------------------------


def test_expired_files_are_freed_by_later_writes(path, store, clock):
    for _ in range(100):
        store.create(new_key(), new_record(), 1)
    clock.advance(2)
    key = new_key()
    store.create(key, new_record(), 600)
    for _ in range(60):
        clock.advance(1)
        store.replace(key, store.load(key)[1], new_record(), 600)
    assert len(sessions(path)) == 1


def test_a_sweep_opens_only_what_looks_expired(path, store, clock, monkeypatch):
    for number in range(200):
        store.create(new_key(), new_record(), 1 if number < 5 else 600)
    clock.advance(2)
    opened = []
    for module, name in ((os, "open"), (builtins, "open")):
        original = getattr(module, name)

        def counting(file, *arguments, original=original, **named):
            opened.append(str(file))
            return original(file, *arguments, **named)

        monkeypatch.setattr(module, name, counting)
    assert store.sweep() == 5
    assert len([file for file in opened if file.endswith(".session")]) == 5


def test_a_sweep_does_not_believe_the_time_of_a_copied_file(path, store, clock):
    key = new_key()
    store.create(key, new_record(), 60)
    os.utime(only_file(path), (1, 1))
    assert store.sweep() == 0
    assert store.load(key)
    assert abs(only_file(path).stat().st_mtime - clock() - 60) < 3


def test_what_a_killed_process_left_is_removed(path, store, monkeypatch):
    (path / f"{'a' * 64}-0{folder_module.TEMPORARY}").write_bytes(b"half")
    store.sweep()
    assert list(path.glob(f"*{folder_module.TEMPORARY}"))
    monkeypatch.setattr(sweep_module, "STALE", -10)
    store.sweep()
    assert not list(path.glob(f"*{folder_module.TEMPORARY}"))


def test_a_write_looks_at_a_few_files_only(path, store, monkeypatch):
    for _ in range(50):
        store.create(new_key(), new_record(), 600)
    visits = []
    original = sweep_module.Sweeper._visit
    monkeypatch.setattr(
        sweep_module.Sweeper, "_visit", lambda *given: visits.append(1) or original(*given)
    )
    for _ in range(10):
        store.create(new_key(), new_record(), 600)
    assert len(visits) <= 10 * sweep_module.STEPS


def test_a_sweep_that_fails_does_not_fail_the_write(store, monkeypatch, caplog):
    def fail(*_):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(store._sweeper, "step", fail)
    assert store.create(new_key(), new_record(), 60)
    assert "could not be removed" in caplog.text


# -- threshold ---------------------------------------------------------------------------------


def test_a_threshold_is_kept_and_every_eviction_is_logged(path, clock, caplog):
    store = CacheStore(FileSystemCache(str(path), threshold=10), clock=clock)
    keys = [new_key() for _ in range(12)]
    for number, key in enumerate(keys):
        store.create(key, new_record(), 300 - 10 * number)
    assert len(sessions(path)) == 10
    assert [key for key in keys if store.load(key) is None] == [keys[9], keys[10]]
    assert "threshold=10" in caplog.text


@pytest.mark.parametrize("share", [20, 0.01], ids=["counted anew", "from memory"])
def test_a_threshold_counts_what_is_there_already_and_what_others_extended(
    path, clock, monkeypatch, share
):
    monkeypatch.setattr("session_backends.limit.SHARE", share)
    first = CacheStore(FileSystemCache(str(path), threshold=3), clock=clock)
    keys = [new_key() for _ in range(3)]
    for number, key in enumerate(keys):
        first.create(key, new_record(), 100 + 10 * number)
    second = CacheStore(FileSystemCache(str(path), threshold=3), clock=clock)
    assert second.replace(keys[0], second.load(keys[0])[1], new_record(), 900)
    newest = new_key()
    first.create(newest, new_record(), 900)
    assert [key for key in keys if first.load(key) is None] == [keys[1]]
    assert len(sessions(path)) == 3


def test_without_a_threshold_of_the_users_nothing_is_dropped(path, store):
    for _ in range(700):
        store.create(new_key(), new_record(), 60)
    assert len(sessions(path)) == 700


# -- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"x", b"\xffSR", b"garbage " * 100, bytes(500)])
def test_a_damaged_file_is_a_record_and_stays_for_inspection(path, store, clock, damage):
    key = new_key()
    store.create(key, new_record(), 60)
    only_file(path).write_bytes(damage)
    record, version = store.load(key)
    assert record == damage
    assert version is not None
    clock.advance(86400)
    assert store.sweep() == 0
    assert not store.create(key, new_record(), 60)
    assert only_file(path).read_bytes() == damage


def test_a_truncated_record_is_handed_out_as_it_is(path, store):
    key, record = new_key(), new_record(b"x" * 100)
    store.create(key, record, 60)
    only_file(path).write_bytes(only_file(path).read_bytes()[:-50])
    assert store.load(key)[0] == record[:-50]


def test_a_planted_pickle_is_not_executed(path, store, bomb):
    key = new_key()
    store.create(key, new_record(), 60)
    planted = pickle.dumps(bomb)
    for damage in (planted, only_file(path).read_bytes()[:12] + planted):
        only_file(path).write_bytes(damage)
        assert planted in store.load(key)[0]


# -- faults ------------------------------------------------------------------------------------


def verbs(store, key):
    yield lambda: store.load(key)
    yield lambda: store.create(key, new_record(), 60)
    yield lambda: store.replace(key, b"0" * 16, new_record(), 60)
    yield lambda: store.delete(key)


def test_a_folder_that_is_gone_is_a_fault(path, store):
    shutil.rmtree(path)
    for verb in verbs(store, new_key()):
        with pytest.raises(StoreUnavailable, match="the folder is gone") as caught:
            verb()
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
    ],
)
def test_a_write_that_fails_is_a_fault_with_words(path, store, monkeypatch, number, words):
    key, record = new_key(), new_record(b"old")
    store.create(key, record, 60)
    version = store.load(key)[1]

    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "_write_all", fail)
        with pytest.raises(StoreUnavailable, match=words):
            store.replace(key, version, new_record(b"new"), 60)
        with pytest.raises(StoreUnavailable, match=words):
            store.create(new_key(), new_record(), 60)
    assert store.load(key)[0] == record
    assert not list(path.glob(f"*{folder_module.TEMPORARY}"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_real():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space"):
            folder_module._write_all(descriptor, b"x")
    finally:
        os.close(descriptor)


def test_a_write_in_pieces_is_complete(store, monkeypatch):
    original = os.write
    monkeypatch.setattr(os, "write", lambda where, data: original(where, data[:7]))
    key, record = new_key(), new_record(b"x" * 1000)
    store.create(key, record, 60)
    assert store.load(key)[0] == record


def test_a_folder_that_cannot_be_made_is_refused_at_the_start(tmp_path):
    cache = FileSystemCache(str(tmp_path / "cache"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="lock_dir"):
        CacheStore(cache, lock_dir=tmp_path / "file" / "locks")


def test_windows_is_given_a_moment(store, monkeypatch):
    monkeypatch.setattr(folder_module, "_PATIENCE", 1.0)
    original, refused = os.replace, []

    def busy(*paths):
        if len(refused) < 3:
            refused.append(paths)
            raise PermissionError(errno.EACCES, "somebody reads it")
        original(*paths)

    monkeypatch.setattr(os, "replace", busy)
    assert store.create(new_key(), new_record(), 60)
    assert len(refused) == 3


# -- locks -------------------------------------------------------------------------------------

HOLD = """
import sys
from cachelib import FileSystemCache
from session_backends import CacheStore
store = CacheStore(FileSystemCache(sys.argv[1]))
with store._locks.of(store._folder.name(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_wait_for_a_lock_is_bounded(path):
    store, key = CacheStore(FileSystemCache(str(path)), wait=0.2), new_key()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"held by somebody else for 0.2 s"):
            store.create(key, new_record(), 60)
        assert 0.15 < time.monotonic() - started < 1.5
        holder.stdin.close()
    assert store.create(key, new_record(), 60)


def test_a_thread_waits_no_longer_than_it_may(path):
    store, key = CacheStore(FileSystemCache(str(path)), wait=0.1), new_key()
    with store._locks.of(store._folder.name(key)):
        errors = []

        def write():
            try:
                store.create(key, new_record(), 60)
            except StoreUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(5)
    assert len(errors) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_lock_excludes_a_forked_child(path):
    store, key = CacheStore(FileSystemCache(str(path)), wait=0.2), new_key()
    store.create(key, new_record(), 60)  # opens the lock file, which the child inherits
    hold, held = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            os.read(hold, 1)
            store.create(key, new_record(), 60)
            os._exit(1)  # it got a lock that the parent holds
        except StoreUnavailable:
            os._exit(0)
        finally:
            os._exit(2)
    with store._locks.of(store._folder.name(key)):
        os.write(held, b"x")
        assert os.waitpid(child, 0)[1] == 0
    os.close(hold)
    os.close(held)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_lock_is_held_leaves_the_child_a_lock_of_its_own(path):
    store, key = CacheStore(FileSystemCache(str(path)), wait=20), new_key()
    stripe = store._locks.of(store._folder.name(key))
    stripe.acquire(1)
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            os._exit(0 if store.create(key, new_record(), 60) else 1)
        finally:
            os._exit(2)
    stripe.release()
    assert os.waitpid(child, 0)[1] == 0
    assert store.load(key)


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be removed there")
def test_a_lock_file_that_was_deleted_is_made_again(path):
    one, other = (CacheStore(FileSystemCache(str(path)), wait=0.2) for _ in range(2))
    key = new_key()
    assert one.create(key, new_record(), 60)
    for lock in os.scandir(f"{path}.locks"):
        os.remove(lock)
    with one._locks.of(one._folder.name(key)), pytest.raises(StoreUnavailable):
        other.delete(key)


def test_reading_waits_for_nobody(path):
    store, key = CacheStore(FileSystemCache(str(path))), new_key()
    store.create(key, new_record(), 60)
    with store._locks.of(store._folder.name(key)):
        assert store.load(key)


# -- crashes -----------------------------------------------------------------------------------

WRITE = """
import sys
from cachelib import FileSystemCache
from session_backends import CacheStore
from session_core.testing import new_record
store, key, number = CacheStore(FileSystemCache(sys.argv[1])), sys.argv[2], 0
print("ready", flush=True)
while True:
    number += 1
    record = new_record(b"%d " % number * 5000)
    if not store.replace(key, store.load(key)[1], record, 600):
        sys.exit(1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_after_kill_9_the_record_is_complete(path):
    store, key = CacheStore(FileSystemCache(str(path))), new_key()
    store.create(key, new_record(b"0 " * 5000), 600)
    for number in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(path), key], stdout=subprocess.PIPE
        )
        with writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.003 * number)
            writer.kill()
        words = store.load(key)[0][16:].split()
        assert len(words) == 5000
        assert len(set(words)) == 1
    assert store.replace(key, store.load(key)[1], new_record(), 600)


def _create(path, keys, results):
    store = CacheStore(FileSystemCache(path))
    results.put([store.create(key, new_record(), 600) for key in keys])


def test_only_one_process_creates_a_key(path):
    FileSystemCache(str(path))
    keys = [new_key() for _ in range(100)]
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=_create, args=(str(path), keys, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    answers = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 100
