"""Redis: one round trip, no repetition, bounded waits, faults in words."""

import logging
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_backends import RedisStore
from session_core.errors import ConfigurationError, StoreUnavailable
from session_core.testing import new_key, new_record

pytestmark = pytest.mark.servers

WAIT = 0.3


@pytest.fixture(autouse=True)
def needs_the_client_library(redis):
    pass


@pytest.fixture
def client(redis, redis_server):
    with redis.Redis(port=redis_server.port) as client:
        yield client


@pytest.fixture
def store(redis_server):
    return RedisStore.from_url(redis_server.url)


def calls(client):
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}


def verbs(store, key, version=b"0" * 16):
    yield lambda: store.load(key)
    yield lambda: store.create(key, new_record(), 60)
    yield lambda: store.replace(key, version, new_record(), 60)
    yield lambda: store.delete(key)


def test_every_verb_is_one_command(store, client):
    key = new_key()
    store.create(key, new_record(), 60)
    store.replace(key, store.load(key)[1], new_record(), 60)  # the script is known from here on
    client.config_resetstat()
    version = store.load(key)[1]
    store.replace(key, version, new_record(), 60)
    store.create(key, new_record(), 60)
    store.delete(key)
    seen = calls(client)
    assert {name: seen[name] for name in ("evalsha", "del")} == {"evalsha": 1, "del": 1}
    assert "eval" not in seen
    assert "script|load" not in seen


def test_a_script_that_redis_has_forgotten_is_sent_again(store, client):
    key = new_key()
    store.create(key, new_record(), 60)
    client.script_flush()
    assert store.replace(key, store.load(key)[1], new_record(b"new"), 60)
    assert store.load(key)[0].endswith(b"new")


def test_the_ttl_is_in_milliseconds_rounded_up(store, client):
    key = new_key()
    store.create(key, new_record(), 1.0001)
    assert 900 < client.pttl(f"session:{key}") <= 1001
    store.replace(key, store.load(key)[1], new_record(), 100)
    assert 99_000 < client.pttl(f"session:{key}") <= 100_000


def test_the_prefix_begins_every_key(redis_server, client):
    store, key = RedisStore(client, prefix="app*:"), new_key()
    store.create(key, new_record(), 60)
    assert client.exists(f"app*:{key}")


# -- what is stored may be anything --------------------------------------------------------------


def test_a_planted_pickle_is_not_executed(store, client, bomb):
    key = new_key()
    client.set(f"session:{key}", b"!" + pickle.dumps(bomb))
    assert store.load(key)[0] == b"!" + pickle.dumps(bomb)


def test_what_is_no_record_is_damaged_and_no_fault(store, client):
    key = new_key()
    client.rpush(f"session:{key}", "a", "b")
    record, version = store.load(key)
    assert record == b""
    assert not store.replace(key, version, new_record(), 60)
    assert not store.create(key, new_record(), 60)
    client.set(f"session:{new_key()}", b"")
    store.delete(key)
    assert store.load(key) is None


def test_an_empty_version_makes_no_key_exist(store):
    key = new_key()
    assert not store.replace(key, b"", new_record(), 60)
    assert store.load(key) is None


# -- clients -------------------------------------------------------------------------------------


def test_a_ready_made_client_is_used_for_its_settings_only(redis, redis_server, caplog):
    client = redis.Redis(
        port=redis_server.port,
        db=1,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 3),
        socket_timeout=None,
    )
    store, key = RedisStore(client), new_key()
    store.create(key, new_record(), 60)
    assert client.exists(f"session:{key}")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "repeats commands" in line
    assert "waits for ever" in line
    inner = store._client.connection_pool
    assert inner is not client.connection_pool
    connection = inner.make_connection()
    assert connection.retry._retries == 0
    assert connection.socket_timeout == connection.socket_connect_timeout == 2
    assert client.connection_pool.connection_kwargs["socket_timeout"] is None


def test_a_client_of_good_settings_is_taken_without_a_word(redis, redis_server, caplog):
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    client = redis.Redis(port=redis_server.port, retry=once, socket_timeout=1)
    store = RedisStore(client)
    assert not caplog.records
    assert store._client.connection_pool.connection_kwargs["socket_timeout"] == 1
    RedisStore.from_url(redis_server.url)
    assert not caplog.records


def test_settings_of_every_kind_of_connection_are_kept(redis):
    pool = redis.BlockingConnectionPool(
        connection_class=redis.UnixDomainSocketConnection, path="/nowhere", max_connections=7
    )
    inner = RedisStore(redis.Redis(connection_pool=pool))._client.connection_pool
    assert (type(inner), inner.max_connections) == (type(pool), 7)
    assert inner.make_connection().path == "/nowhere"
    secure = RedisStore.from_url("rediss://user:pw@host:1/3?ssl_cert_reqs=none")
    connection = secure._client.connection_pool.make_connection()
    assert type(connection) is redis.SSLConnection
    assert (connection.host, connection.port, connection.db) == ("host", 1, 3)
    if hasattr(redis, "sentinel"):
        sentinel = redis.sentinel.Sentinel([("127.0.0.1", 1)])
        RedisStore(sentinel.master_for("mine"))


def test_a_client_that_decodes_is_refused(redis):
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisStore(redis.Redis(decode_responses=True))


def test_an_asyncio_client_is_refused(redis):
    from redis import asyncio

    with pytest.raises(ConfigurationError, match="asyncio"):
        RedisStore(asyncio.Redis())


@pytest.mark.parametrize("given", [object(), 5, None, "localhost"])
def test_what_is_no_client_is_refused(redis, given):
    with pytest.raises(ConfigurationError, match="no Redis client"):
        RedisStore(given)


def test_an_object_that_executes_commands_is_a_client(store, redis_server, client, caplog):
    class Wrapper:
        def __getattr__(self, name):
            if name == "execute_command":
                return client.execute_command
            raise AttributeError(name)

    wrapped, key = RedisStore(Wrapper()), new_key()
    assert "cannot be read" in caplog.text
    assert wrapped.create(key, new_record(), 60)
    assert wrapped.replace(key, wrapped.load(key)[1], new_record(), 60)


@pytest.mark.parametrize("option", ["retry", "retry_on_error", "retry_on_timeout"])
def test_options_that_repeat_writes_are_refused(redis, option):
    with pytest.raises(ConfigurationError, match=option):
        RedisStore.from_url("redis://localhost", **{option: True})


@pytest.mark.parametrize("url", ["redis://:pass:word@host:port/0", "nonsense://x:pw@y"])
def test_an_address_that_cannot_be_read_is_refused_without_the_password(redis, url):
    with pytest.raises(ConfigurationError, match="address") as caught:
        RedisStore.from_url(url)
    assert "pw" not in str(caught.value)
    assert "pass:" not in str(caught.value)


@pytest.mark.parametrize("wait", [0, -1, float("inf"), float("nan"), "2", None, True])
def test_a_wait_must_have_a_bound(redis, wait):
    with pytest.raises(ConfigurationError, match="wait"):
        RedisStore(redis.Redis(), wait=wait)


def test_the_wait_for_a_free_connection_is_bounded(redis, redis_server):
    client = redis.Redis(port=redis_server.port, max_connections=1, socket_timeout=9)
    store = RedisStore(client, wait=WAIT)
    stack = store._execute.__self__._stack
    taken = stack.take()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="max_connections"):
        store.load(new_key())
    assert WAIT * 0.9 < time.monotonic() - started < 3 * WAIT
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(store.load, new_key())
        time.sleep(WAIT / 3)
        stack.give(taken)
        assert waiting.result() is None


def test_a_connection_whose_answer_was_not_awaited_is_closed(store, monkeypatch):
    key, record = new_key(), new_record()
    store.create(key, record, 60)
    stack = store._execute.__self__._stack
    connection = stack.take()
    stack.give(connection)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "read_response", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.load(new_key())
    assert connection._sock is None
    monkeypatch.undo()
    assert store.load(key)[0] == record


# -- faults --------------------------------------------------------------------------------------


def test_a_server_that_is_silent_is_given_up_within_the_wait(redis, silent_port):
    for store in (
        RedisStore.from_url(f"redis://127.0.0.1:{silent_port}", wait=WAIT),
        RedisStore(redis.Redis(port=silent_port), wait=WAIT),
    ):
        for verb in verbs(store, new_key()):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="in time") as caught:
                verb()
            assert time.monotonic() - started < 2 * WAIT
            assert isinstance(caught.value.__cause__, redis.TimeoutError)


def test_nothing_is_sent_twice(redis, serve):
    requests = []

    def drop(connected):
        while True:
            data = connected.recv(10_000)
            if not data:
                return
            if b"SETINFO" in data or b"HELLO" in data:
                connected.sendall(b"+OK\r\n" * data.count(b"*"))
                continue
            requests.append(data)
            connected.close()
            return

    port = serve(drop)
    store = RedisStore(redis.Redis(port=port, retry_on_error=[redis.ConnectionError]), wait=WAIT)
    for verb in verbs(store, new_key()):
        with pytest.raises(StoreUnavailable):
            verb()
    assert len(requests) == 4


def test_a_late_answer_is_never_taken_for_the_next_one(serve):
    late = b"$20\r\n" + b"A" * 20 + b"\r\n"
    good = b"$20\r\n" + b"B" * 20 + b"\r\n"

    def talk(connected):
        while True:
            data = connected.recv(10_000)
            if not data:
                return
            if b"SETINFO" in data or b"HELLO" in data:
                connected.sendall(b"+OK\r\n" * data.count(b"*"))
            elif b"first" in data:
                time.sleep(1.5 * WAIT)
                connected.sendall(late)
            else:
                connected.sendall(good)

    store = RedisStore.from_url(f"redis://127.0.0.1:{serve(talk)}", wait=WAIT)
    with pytest.raises(StoreUnavailable):
        store.load("first")
    for _ in range(3):
        assert store.load("second")[0] == b"B" * 20
        time.sleep(WAIT)


def test_after_a_restart_the_next_call_works(start_redis, redis):
    server = start_redis()
    store = RedisStore.from_url(server.url, wait=WAIT)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.load(new_key()), range(20)))
    server.kill()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.load(new_key())
    server.start()
    key = new_key()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: store.load(key), range(20))) == {None}
    assert store.create(key, new_record(), 60)
    assert store.replace(key, store.load(key)[1], new_record(), 60)


def test_a_frozen_server_is_given_up_within_the_wait(start_redis):
    server = start_redis()
    store = RedisStore.from_url(server.url, wait=WAIT)
    key = new_key()
    store.create(key, new_record(), 60)
    version = store.load(key)[1]
    server.freeze()
    try:
        for verb in verbs(store, key, version):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                verb()
            assert time.monotonic() - started < 3 * WAIT
    finally:
        server.thaw()
    store.load(key)


def test_out_of_memory_is_said_in_words(start_redis, redis):
    server = start_redis("--maxmemory-policy", "noeviction")
    store, key, record = RedisStore.from_url(server.url), new_key(), new_record(b"old")
    store.create(key, record, 60)
    version = store.load(key)[1]
    store.replace(key, version, record, 60)
    redis.Redis(port=server.port).config_set("maxmemory", "1kb")
    for verb in (
        lambda: store.create(new_key(), new_record(), 60),
        lambda: store.replace(key, record[:16], new_record(), 60),
    ):
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            verb()
    assert store.load(key)[0] == record


def test_a_read_only_replica_is_said_in_words(start_redis, redis, redis_server):
    server = start_redis()
    redis.Redis(port=server.port).replicaof("127.0.0.1", redis_server.port)
    store = RedisStore.from_url(server.url)
    with pytest.raises(StoreUnavailable, match="read-only replica"):
        store.create(new_key(), new_record(), 60)


def test_a_missing_right_is_said_in_words(start_redis, redis):
    server = start_redis()
    admin = redis.Redis(port=server.port)
    admin.execute_command("ACL SETUSER alice on >secret ~* +@all -@scripting")
    store = RedisStore.from_url(f"redis://alice:secret@127.0.0.1:{server.port}")
    key = new_key()
    store.create(key, new_record(), 60)
    with pytest.raises(StoreUnavailable, match=r"lacks a right.*evalsha") as caught:
        store.replace(key, store.load(key)[1], new_record(), 60)
    assert key not in str(caught.value)
    wrong = RedisStore.from_url(f"redis://alice:wrong@127.0.0.1:{server.port}")
    with pytest.raises(StoreUnavailable, match="user name or password") as caught:
        wrong.load(key)
    assert "wrong" not in str(caught.value)


def test_a_disk_that_redis_cannot_save_to_is_said_in_words(store, monkeypatch, redis):
    def refuse(*_, **__):
        raise redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but ...")

    monkeypatch.setattr(store, "_execute", refuse)
    with pytest.raises(StoreUnavailable, match="cannot save to its disk"):
        store.create(new_key(), new_record(), 60)


def test_no_key_and_no_record_is_in_a_message_or_a_log(store, monkeypatch, redis, caplog):
    caplog.set_level(logging.DEBUG)
    key, secret = new_key(), new_record(b"secret-data")

    def refuse(*given, **named):
        raise redis.ResponseError(f"ERR unknown command 'SET', with args: {given} {named}")

    monkeypatch.setattr(store, "_execute", refuse)
    with pytest.raises(StoreUnavailable) as caught:
        store.create(key, secret, 60)
    for text in (str(caught.value), caplog.text, repr(store)):
        assert key not in text
        assert "secret-data" not in text
