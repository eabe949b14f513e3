"""memcached: a fixed server for each key, bounded waits, connections that are never mixed up."""

import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_backends import MemcachedStore
from session_backends.memcached_address import address_name, read_addresses
from session_backends.memcached_time import memcached_expiry
from session_backends.rendezvous import choose
from session_core.errors import ConfigurationError, RecordTooLarge, StoreUnavailable
from session_core.testing import new_key, new_record

WAIT = 0.3


@pytest.fixture
def addresses(memcached_servers):
    return [server.address for server in memcached_servers]


@pytest.fixture
def client(pymemcache, memcached_servers):
    client = pymemcache.Client(memcached_servers[0].address, default_noreply=False)
    yield client
    client.close()


def verbs(store, key):
    yield lambda: store.load(key)
    yield lambda: store.create(key, new_record(), 60)
    yield lambda: store.replace(key, b"1", new_record(), 60)
    yield lambda: store.delete(key)


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, read",
    [
        ("host", [("host", 11211)]),
        ("host:1", [("host", 1)]),
        ("a:1, b", [("a", 1), ("b", 11211)]),
        (("host", 1), [("host", 1)]),
        (["host", "1"], [("host", 11211), ("1", 11211)]),
        ([("host", "1")], [("host", 1)]),
        (["[::1]", "[::2]:3", "::4"], [("::1", 11211), ("::2", 3), ("::4", 11211)]),
        (["unix:/a", "/b", "unix:///c"], ["/a", "/b", "/c"]),
    ],
)
def test_an_address_can_be_written_in_many_ways(written, read):
    assert read_addresses(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "", [], [""], "host:port", "host:0", ("host", 70000), 5, None, b"host", [None], [("a",)],
        "[::1", "[::1]x", ":1", {"host": 1}, "http://host",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_help(written):
    with pytest.raises(ConfigurationError, match=r"host:11211"):
        read_addresses(written)


def test_the_same_server_twice_is_refused():
    with pytest.raises(ConfigurationError, match="host:11211 more than once"):
        read_addresses("host,host:11211")


# -- which server --------------------------------------------------------------------------------


class Server:
    def __init__(self, name):
        self.name = name


def test_the_server_of_a_key_depends_on_names_only():
    servers = [Server(address_name((f"host{number}", 11211))) for number in range(5)]
    keys = [new_key() for _ in range(2000)]
    homes = {key: choose(servers, key).name for key in keys}
    assert {key: choose(servers[::-1], key).name for key in keys} == homes
    counts = [list(homes.values()).count(server.name) for server in servers]
    assert min(counts) > 300
    fewer = {key: choose(servers[:4], key).name for key in keys}
    moved = [key for key in keys if fewer[key] != homes[key]]
    assert {homes[key] for key in moved} == {servers[4].name}


def test_this_choice_is_the_same_in_every_version():
    servers = [Server("a:11211"), Server("b:11211"), Server("c:11211")]
    homes = "".join(choose(servers, f"key{number}").name[0] for number in range(12))
    assert homes == "bacaaabcbacc"


@pytest.mark.servers
def test_a_dead_server_is_a_fault_for_its_keys_and_nothing_moves(start_memcached):
    servers = [start_memcached(), start_memcached()]
    store = MemcachedStore([server.address for server in servers], wait=WAIT)
    keys = [new_key() for _ in range(40)]
    for key in keys:
        assert store.create(key, new_record(key.encode()), 60)
    homes = {key: choose(store._nodes, key).name for key in keys}
    dead = servers[0].address
    servers[0].kill()
    for _ in range(2):
        for key in keys:
            if homes[key] == dead:
                with pytest.raises(StoreUnavailable, match=dead):
                    store.load(key)
                with pytest.raises(StoreUnavailable, match=dead):
                    store.create(key, new_record(), 60)
            else:
                assert store.load(key)[0].endswith(key.encode())
    servers[0].start()
    assert [key for key in keys if store.load(key) is None] == [
        key for key in keys if homes[key] == dead
    ]


# -- time ----------------------------------------------------------------------------------------


def test_expiry_is_whole_seconds_and_absolute_beyond_a_month():
    assert memcached_expiry(0.1) == 2
    assert memcached_expiry(300) == 301
    month = 30 * 86400
    assert memcached_expiry(month - 1) == month
    for ttl in (month - 0.5, month, 400 * 86400):
        assert 0 <= memcached_expiry(ttl) - time.time() - ttl <= 3


# -- clients -------------------------------------------------------------------------------------


@pytest.mark.servers
@pytest.mark.parametrize("kind", ["Client", "PooledClient", "HashClient"])
def test_a_ready_made_client_is_used_for_its_settings_only(
    pymemcache, memcached_servers, client, kind, caplog
):
    address = memcached_servers[0].address
    given = getattr(pymemcache, kind)(
        [address] if kind == "HashClient" else address,
        serde=pymemcache.serde.pickle_serde,
        key_prefix="app:",
    )
    store, key, record = MemcachedStore(given), new_key(), new_record()
    assert store.create(key, record, 60)
    assert store.replace(key, store.load(key)[1], record, 60)
    assert client.get(f"app:session:{key}") == record
    (line,) = [entry.getMessage() for entry in caplog.records]
    for words in ("waits for ever", "default_noreply", "pickle"):
        assert words in line
    assert ("HashClient" in line) is (kind == "HashClient")


@pytest.mark.servers
def test_a_client_of_good_settings_is_taken_without_a_word(pymemcache, caplog):
    given = pymemcache.PooledClient(
        "host", timeout=1, connect_timeout=9, default_noreply=False, no_delay=True
    )
    (node,) = MemcachedStore(given)._nodes
    assert not caplog.records
    assert (node.settings["timeout"], node.settings["connect_timeout"]) == (1, 2)


@pytest.mark.servers
def test_other_clients_are_refused(pymemcache):
    from pymemcache.client.retrying import RetryingClient

    class Other:
        get = set = delete = None

    for given in (RetryingClient(pymemcache.Client("host")), Other()):
        with pytest.raises(ConfigurationError, match="without retries"):
            MemcachedStore(given)
    with pytest.raises(ConfigurationError, match="no servers"):
        MemcachedStore(pymemcache.HashClient([]))


@pytest.mark.servers
@pytest.mark.parametrize("prefix", ["with blank", "ü", "x" * 51])
def test_an_unusable_prefix_is_refused(pymemcache, prefix):
    with pytest.raises(ConfigurationError, match="at most 50"):
        MemcachedStore("host", prefix=prefix)


# -- what is stored may be anything --------------------------------------------------------------


@pytest.mark.servers
def test_a_planted_pickle_is_not_executed(pymemcache, memcached_servers, bomb):
    address = memcached_servers[0].address
    planter = pymemcache.Client(address, serde=pymemcache.serde.pickle_serde)
    store, key = MemcachedStore(address), new_key()
    planter.set(f"session:{key}", bomb, noreply=False)
    planter.close()
    assert b"open" in store.load(key)[0]
    pickling = pymemcache.Client(address, serde=pymemcache.serde.pickle_serde)
    assert b"open" in MemcachedStore(pickling).load(key)[0]
    assert pickle.dumps(bomb)


# -- faults --------------------------------------------------------------------------------------


@pytest.mark.servers
def test_an_item_that_is_too_large_leaves_the_stored_one(addresses):
    store, key, record = MemcachedStore(addresses), new_key(), new_record(b"old")
    store.create(key, record, 60)
    version = store.load(key)[1]
    for verb in (
        lambda: store.replace(key, version, new_record(bytes(2**20)), 60),
        lambda: store.create(new_key(), new_record(bytes(2**20)), 60),
    ):
        with pytest.raises(RecordTooLarge, match="-I"):
            verb()
    assert store.load(key) == (record, version)


@pytest.mark.servers
def test_out_of_memory_is_said_in_words(start_memcached):
    server = start_memcached("-M", "-m", "8")
    store = MemcachedStore(server.address)
    with pytest.raises(StoreUnavailable, match="out of memory"):
        for _ in range(2000):
            store.create(new_key(), new_record(bytes(100_000)), 60)


@pytest.mark.servers
def test_a_server_that_is_silent_is_given_up_within_the_wait(pymemcache, silent_port):
    store = MemcachedStore(("127.0.0.1", silent_port), wait=WAIT)
    for verb in verbs(store, new_key()):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="in time"):
            verb()
        assert time.monotonic() - started < 2 * WAIT


@pytest.mark.servers
def test_nothing_is_sent_twice(pymemcache, serve):
    requests = []

    def drop(connected):
        requests.append(connected.recv(10_000))
        connected.close()

    store = MemcachedStore(("127.0.0.1", serve(drop)), wait=WAIT)
    for verb in verbs(store, new_key()):
        with pytest.raises(StoreUnavailable):
            verb()
    assert [request.split()[0] for request in requests] == [b"gets", b"add", b"cas", b"delete"]
    assert not any(b"noreply" in request for request in requests)


@pytest.mark.servers
def test_a_late_answer_is_never_taken_for_the_next_one(pymemcache, serve):
    def talk(connected):
        while True:
            data = connected.recv(10_000)
            if not data:
                return
            if b"first" in data:
                connected.sendall(b"VALUE session:first 0 20 1\r\n" + b"A" * 10)
                time.sleep(1.5 * WAIT)
                connected.sendall(b"A" * 10 + b"\r\nEND\r\n")
            else:
                connected.sendall(b"VALUE session:second 0 20 2\r\n" + b"B" * 20 + b"\r\nEND\r\n")

    store = MemcachedStore(("127.0.0.1", serve(talk)), wait=WAIT)
    with pytest.raises(StoreUnavailable):
        store.load("first")
    for _ in range(3):
        assert store.load("second") == (b"B" * 20, b"2")
        time.sleep(WAIT)


@pytest.mark.servers
def test_a_connection_whose_answer_was_not_awaited_is_closed(addresses):
    store = MemcachedStore(addresses[0])
    (node,) = store._nodes
    store.load(new_key())
    with pytest.raises(KeyboardInterrupt), node.connection() as client:
        client.sock.sendall(b"get unread\r\n")
        raise KeyboardInterrupt
    assert client.sock is None
    assert store.load(new_key()) is None


@pytest.mark.servers
def test_after_a_restart_the_next_call_works(start_memcached):
    server = start_memcached()
    store = MemcachedStore(server.address, wait=WAIT)
    barrier = threading.Barrier(4)

    def together(_):
        with store._nodes[0].connection() as client:
            client.version()
            barrier.wait(10)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(together, range(4)))
    assert len(store._nodes[0]._stack) == 4
    server.kill()
    server.start()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(store.load, [new_key() for _ in range(8)])) == {None}


@pytest.mark.servers
def test_a_frozen_server_is_given_up_within_the_wait(start_memcached):
    server = start_memcached()
    store, key = MemcachedStore(server.address, wait=WAIT), new_key()
    store.create(key, new_record(), 60)
    server.freeze()
    try:
        for verb in verbs(store, key):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                verb()
            assert time.monotonic() - started < 3 * WAIT
    finally:
        server.thaw()
    store.load(key)


@pytest.mark.servers
def test_a_name_with_several_addresses_is_tried_out(addresses, monkeypatch):
    import socket

    port = int(addresses[0].rpartition(":")[2])
    real = socket.getaddrinfo

    def both(host, wanted, *rest, **named):
        if host != "two.example":
            return real(host, wanted, *rest, **named)
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*stream, ("127.0.0.9", wanted)), (*stream, ("127.0.0.1", wanted))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert MemcachedStore(("two.example", port)).load(new_key()) is None


@pytest.mark.servers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(addresses):
    store, key = MemcachedStore(addresses[0]), new_key()
    store.create(key, new_record(), 60)
    (parents,) = store._nodes[0]._stack._idle.get().connections
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            right = store.load(key) is not None
            (own,) = store._nodes[0]._stack._idle.get().connections
            os._exit(0 if right and own is not parents and parents.sock is None else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert store.load(key)
    assert store._nodes[0]._stack.take() is parents


@pytest.mark.servers
def test_no_more_connections_are_kept_than_useful(addresses, monkeypatch):
    monkeypatch.setattr("session_backends.stack.IDLE", 2)
    store = MemcachedStore(addresses[0])
    node = store._nodes[0]
    with node.connection(), node.connection(), node.connection():
        pass
    assert len(node._stack) == 2
    node.close()
    assert len(node._stack) == 0
    assert store.load(new_key()) is None
