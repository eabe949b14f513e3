"""An app that was made and used before a fork: the parent and four children work at once.

As under a pre-forking server with the app loaded before. Each runs in a Python of its own, so
that nothing of pytest is forked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHILDREN = 4
THREADS = 2
ROUNDS = 60

PROGRAM = '''
import io, json, logging, os, sys, traceback
from concurrent.futures import ThreadPoolExecutor
from wsgiref.util import setup_testing_defaults

from bottle import Bottle, request
from BottleSessions import BottleSessions

options, folder, children, threads, rounds = json.loads(sys.argv[1])
warnings = []


class Keep(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())


logging.getLogger().addHandler(Keep(logging.WARNING))
app = Bottle()
BottleSessions(app, session_secure=False, session_max_bytes=4000, **options)


@app.route("/set/<key>/<value>")
def set_value(key, value):
    request.session[key] = value
    request.session.setdefault("seen", []).append(value)


@app.route("/get")
def get():
    return json.dumps(dict(request.session))


@app.route("/count")
def count():
    return str(request.session.session_atomic(add))


@app.route("/large")
def large():
    request.session["large"] = "x" * 3000  # has a warning, whose lock must be free in a child


def add(data):
    data["count"] = data.get("count", 0) + 1
    return data["count"]


def visit(path, cookie=None):
    environ = {"PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    errors = environ["wsgi.errors"] = io.StringIO()
    if cookie:
        environ["HTTP_COOKIE"] = f"bottlecookie={cookie}"
    started = []
    text = b"".join(app(environ, lambda *given: started.append(given))).decode()
    status, headers = started[-1][:2]
    assert status[:3] == "200", (path, status, errors.getvalue())
    for name, value in headers:
        if name == "Set-Cookie":
            cookie = value.partition(";")[0].partition("=")[2]
    return text, cookie


def work(name):
    """Check one's own data again and again; return the ids of one's own sessions."""
    ids = []
    for n in range(rounds):
        if n % 10 == 0:
            mine = None
            values = []
        values.append(f"{name}-{n}")
        _, mine = visit(f"/set/{name}/{values[-1]}", mine)
        text, _ = visit("/get", mine)
        assert json.loads(text) == {name: values[-1], "seen": values}, (name, text)
        if n % 10 == 0:
            ids.append(mine)
        if shared:
            visit("/count", shared)
    visit("/large", mine)
    return ids


def run(name):
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, [f"{name}.{n}" for n in range(threads)]), [])


def write(name, answer):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(answer, file)


shared = None
before = run("before")
assert not [line for line in warnings if "second process" in line]
if options["cache_type"] != "SimpleCache":
    _, shared = visit("/count")
inherited = visit("/set/a/inherited")[1]
warnings.clear()
waiting, go = os.pipe()
pids = []
for child in range(children):
    pid = os.fork()
    if not pid:
        try:
            os.close(go)
            os.read(waiting, 1)  # until the parent is ready, too
            _, ids = None, [visit("/set/first/visit")[1]]
            text, _ = visit("/get", inherited)
            assert json.loads(text)["a"] == "inherited"
            ids += run(f"child{child}")
            write(f"child{child}", {"ids": ids, "warnings": warnings})
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    pids.append(pid)
os.close(go)
ids = run("parent")
failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
assert not failed
answer = {"ids": before + ids, "warnings": warnings}
if shared:
    answer["count"] = json.loads(visit("/get", shared)[0])["count"]
write("parent", answer)
'''


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(
    "backend",
    [
        "SimpleCache",
        "FileSystem",
        pytest.param("Redis", marks=pytest.mark.servers),
        pytest.param("Memcached", marks=pytest.mark.servers),
    ],
)
def test_an_app_that_was_used_before_the_fork(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"cache_type": backend}
    if backend == "FileSystem":
        options["cache_dir"] = str(tmp_path / "sessions")
    elif backend == "Redis":
        options["port"] = request.getfixturevalue("redis_port")
    elif backend == "Memcached":
        options["servers"] = [f"127.0.0.1:{request.getfixturevalue('memcached_port')}"]
    arguments = json.dumps([options, str(tmp_path), CHILDREN, THREADS, ROUNDS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    answers = [
        json.loads((tmp_path / name).read_text())
        for name in ("parent", *(f"child{number}" for number in range(CHILDREN)))
    ]
    ids = [session_id for answer in answers for session_id in answer["ids"]]
    assert len(ids) == (CHILDREN + 2) * THREADS * ROUNDS // 10 + CHILDREN
    assert len(set(ids)) == len(ids)
    warned = [sum("second process" in line for line in answer["warnings"]) for answer in answers]
    if backend == "SimpleCache":
        assert warned == [0, 1, 1, 1, 1]
        (line,) = (line for line in answers[1]["warnings"] if "second process" in line)
        assert "visitors lose theirs" in line
        assert "use cache_type='FileSystem', 'Redis' or 'Memcached'" in line
    else:
        assert warned == [0] * 5
        assert answers[0]["count"] == 1 + (CHILDREN + 1) * THREADS * ROUNDS


WORST_MOMENT = """
import os, signal, threading
from session_core import SessionManager
from session_backends import Backing

manager = SessionManager(Backing().store, max_bytes=1000)
(lock,) = manager.large._locks.values()
held, done = threading.Event(), threading.Event()

def hold():
    with lock, manager.store._store._cache._lock:
        held.set()
        done.wait(30)

threading.Thread(target=hold, daemon=True).start()
held.wait(20)
try:
    if not os.fork():
        signal.alarm(20)
        session = manager.open(None)
        session["large"] = "x" * 700
        manager.commit(session)
        os._exit(0)
    raise SystemExit(os.wait()[1])
finally:
    done.set()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_fork_while_another_thread_holds_the_locks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORST_MOMENT], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
