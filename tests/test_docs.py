"""The documentation does what it says.

Every fenced block of README.md, docs/*.md and the two Bottle packages' README.md is used, by its
language:

- python: the blocks of a page run from top to bottom, in one namespace and in a folder of their
  own. A block whose first line is a file name (# app.py) is saved as that file and imported.
- console: ``$ curl …`` lines are sent over real HTTP to the ``app`` that the page has defined by
  then; the lines below are the answer. With -i they are some of its lines, in this order, and
  ``…`` stands for anything.
- sh: what the commands name has to exist, and pytest is run.

The programs in examples/ are run as a reader would, with the curl lines that they print.
"""

from __future__ import annotations

import ast
import http.client
import importlib
import inspect
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import bottle
import pytest
from cachelib import FileSystemCache, SimpleCache

import BottleSessions
import session_core
from session_backends.testing import free_port

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "packages/session-bottle/README.md",
    ROOT / "packages/BottleSessions/README.md",
]
LINKED = sorted({*PAGES, *ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md")})
PACKAGES = {
    project["name"]: set(project.get("optional-dependencies", ()))
    for path in ROOT.glob("packages/*/pyproject.toml")
    for project in [tomllib.loads(path.read_text(encoding="utf-8"))["project"]]
}
VARIABLES = {"SESSION_COOKIE", "SESSION_LIFE", "SESSION_SECURE", "SESSION_PATH"}
DEMO_VARIABLES = {"CACHE_TYPE", "CACHE_DIR", "PORT", "REDIS_PORT", "MEMCACHED_PORT"}


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- curl ---------------------------------------------------------------------------------------


@dataclass
class Curl:
    """What the documentation uses of curl, for machines without it. Keeps jars as curl does."""

    jars: dict[str, dict[str, str]] = field(default_factory=dict)

    def __call__(self, arguments: list[str], port: int) -> str:
        method, data, show, follow, jar = "GET", None, False, False, {}
        cookies: dict[str, str] = {}
        words = iter(arguments)
        for word in words:
            if word == "-i":
                show = True
            elif word == "-L":
                follow = True
            elif word == "-X":
                method = next(words)
            elif word == "-d":
                method, data = "POST", next(words)
            elif word in ("-b", "-c"):
                name = next(words)
                if "=" in name:
                    cookies = dict([name.split("=", 1)])
                else:
                    jar = self.jars.setdefault(name, {})
            else:
                path = word.removeprefix(f"http://localhost:{port}")
                assert path.startswith("/"), f"curl {word}: not an option or address that is known"
        while True:
            text, location = self._ask(method, path, data, {**cookies, **jar}, jar, port, show)
            if not (follow and location):
                return text
            method, data = "GET", None
            path = location.removeprefix(f"http://localhost:{port}")

    def _ask(
        self,
        method: str,
        path: str,
        data: str | None,
        cookies: dict[str, str],
        jar: dict[str, str],
        port: int,
        show: bool,
    ) -> tuple[str, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Host": f"localhost:{port}"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            pair, _, attributes = line.partition("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes.split("; "):
                jar.pop(name, None)
            else:
                jar[name] = value
        if show:
            version = {10: "HTTP/1.0", 11: "HTTP/1.1"}[answer.version]
            lines = [f"{version} {answer.status} {answer.reason}"]
            lines += [f"{name}: {value}" for name, value in answer.getheaders()]
            body = "\n".join([*lines, "", body])
        return body, answer.getheader("Location")


def real_curl(arguments: list[str], port: int) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return done.stdout.replace("\r\n", "\n")


def knows_localhost() -> bool:
    """Whether there is a curl that sends Secure cookies to http://localhost, as from 7.79 on."""
    if shutil.which("curl") is None:
        return False
    text = subprocess.run(["curl", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.match(r"curl (\d+)\.(\d+)", text)
    return found is not None and (int(found[1]), int(found[2])) >= (7, 79)


def new_curl() -> Callable[[list[str], int], str]:
    return real_curl if knows_localhost() else Curl()


# --- blocks -------------------------------------------------------------------------------------


@dataclass
class Block:
    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{page_id(self.page)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    blocks = []
    block: Block | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if block is None:
                block = Block(page, number, line[3:], "")
            else:
                blocks.append(block)
                block = None
        elif block is not None:
            block.text += line + "\n"
    assert block is None, f"{page_id(page)}: a block is not closed"
    return blocks


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(app: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, handler_class=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Runner:
    """Uses the blocks of one page."""

    folder: Path
    ports: dict[str, int]
    namespace: dict[str, Any] = field(default_factory=dict)
    curl: Callable[[list[str], int], str] = field(default_factory=new_curl)

    def run(self, block: Block) -> None:
        use = {"python": self.python, "console": self.console, "sh": self.sh}.get(block.language)
        assert use is not None, f"{block.where}: nothing uses blocks of {block.language!r}"
        use(block)

    def python(self, block: Block) -> None:
        text = block.text
        for port, actual in self.ports.items():
            text = text.replace(port, str(actual))
        name = re.match(r"# (\w+)\.py\n", text)
        if name is None:
            # Blank lines in front, so that a traceback shows the line of the page.
            code = compile("\n" * block.line + text, str(block.page), "exec", dont_inherit=True)
            exec(code, self.namespace)
            return
        (self.folder / f"{name[1]}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        if not name[1].startswith("test_"):
            module = importlib.import_module(name[1])
            self.namespace.update(
                (key, value) for key, value in vars(module).items() if not key.startswith("__")
            )

    def console(self, block: Block) -> None:
        app = self.namespace.get("app")
        assert app is not None, f"{block.where}: the page has no app yet"
        first, *exchanges = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
        assert first == "", f"{block.where}: a console block begins with a $"
        with serving(app) as port:
            for exchange in exchanges:
                command, _, expected = exchange.partition("\n")
                program, *arguments = shlex.split(command)
                assert program == "curl", f"{block.where}: {command}"
                arguments = [
                    each.replace("localhost:8080", f"localhost:{port}") for each in arguments
                ]
                answer = self.curl(arguments, port)
                place = f"{block.where}: {command}\n{answer}"
                if "-i" in arguments:
                    check_some_lines(expected, answer, place)
                else:
                    assert answer.rstrip("\n") == expected.rstrip("\n"), place

    def sh(self, block: Block) -> None:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                variable = words.pop(0).partition("=")[0]
                assert variable in VARIABLES | DEMO_VARIABLES, f"{block.where}: {variable}"
            if words:
                self.check_command(words, f"{block.where}: {line}")

    def check_command(self, words: list[str], place: str) -> None:
        program, *arguments = words
        if program.startswith("scripts/"):
            assert os.access(ROOT / program, os.X_OK), place
        elif program == "pip":
            assert arguments[0] == "install", place
            for argument in arguments[1:]:
                found = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?", argument)
                assert found is not None, place
                assert found[1] in PACKAGES, place
                assert set((found[2] or "").split(",")) - {""} <= PACKAGES[found[1]], place
        elif program == "python" and arguments[0] == "-c":
            self.run_python(arguments)
        elif program == "python" and arguments[:2] == ["-m", "pytest"]:
            self.run_python([*arguments, "-p", "no:cacheprovider"])
        elif program == "python":
            (script,) = arguments
            assert any((folder / script).is_file() for folder in (ROOT, self.folder)) or (
                script == "app.py"  # the reader's own
            ), place
        else:
            raise AssertionError(f"{place}: the command is not known here")

    def run_python(self, arguments: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        assert done.stdout.strip() != ""


def check_some_lines(expected: str, answer: str, place: str) -> None:
    lines = iter(answer.splitlines())
    for wanted in expected.splitlines():
        pattern = ".+".join(map(re.escape, wanted.split("…")))
        assert any(re.fullmatch(pattern, line) for line in lines), f"{place}\nno line is {wanted}"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    for name in VARIABLES | {"SECURE_COOKIE", "SECURE_PATH"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    # What the blocks import from the page's own files must not be found by the next page.
    before = dict(sys.modules)
    yield Runner(tmp_path, {})
    for name in set(sys.modules) - set(before):
        path = getattr(sys.modules[name], "__file__", None)
        if path and Path(path).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_block_does_what_it_says(
    page: Path, runner: Runner, request: pytest.FixtureRequest
) -> None:
    blocks = blocks_of(page)
    for port, fixture in (("6379", "redis_port"), ("11211", "memcached_port")):
        if any(block.language == "python" and port in block.text for block in blocks):
            runner.ports[port] = request.getfixturevalue(fixture)
    for block in blocks:
        runner.run(block)


# --- links --------------------------------------------------------------------------------------


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        number = 1
        unique = anchor
        while unique in anchors:
            unique = f"{anchor}-{number}"
            number += 1
        anchors.add(unique)
    return anchors


@pytest.mark.parametrize("page", LINKED, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    text = re.sub(r"`[^`\n]*`", "code", without_blocks(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if (
            not file.is_relative_to(ROOT)
            or not file.exists()
            or (anchor and (file.suffix != ".md" or anchor not in anchors_of(file)))
        ):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_one_sentence_a_line(page: Path) -> None:
    for line in without_blocks(page).splitlines():
        if not line.startswith("|"):
            text = re.sub(r"`[^`]*`|\*\*[^*]*\*\*", "x", line)
            assert not re.search(r"[a-z)][.!?] [A-Z]", text), line


# --- what there is, is there ----------------------------------------------------------------------


def test_every_option_is_described_with_its_default() -> None:
    text = (ROOT / "docs/OPTIONS.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(#\1\) \| `([^`]+)` \|", text, re.MULTILINE))
    signature = inspect.signature(BottleSessions.BottleSessions)
    options = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert list(rows) == list(options)
    clock = options.pop("session_clock")
    assert (rows.pop("session_clock"), clock) == ("time.time", time.time)
    assert {name: ast.literal_eval(default) for name, default in rows.items()} == options
    headings = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert headings == [*options, "session_clock"]


def test_every_session_name_and_error_is_described() -> None:
    text = (ROOT / "docs/SESSIONS.md").read_text(encoding="utf-8")
    table = "".join(line for line in text.splitlines(keepends=True) if line.startswith("|"))
    names = [name for name in dir(session_core.Session) if name.startswith("session_")]
    errors = [
        name
        for name, kind in vars(session_core).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    missing = [name for name in names if f"`{name}" not in table]
    missing += [name for name in errors if f"`{name}`" not in text]
    assert missing == []


def test_the_readmes_example_is_the_classic_one() -> None:
    def shape(text: str) -> str:
        return ast.dump(ast.parse(text))

    (example,) = [block for block in blocks_of(ROOT / "README.md") if "# app.py" in block.text]
    assert shape(example.text) == shape((ROOT / "tests/seed_app.py").read_text(encoding="utf-8"))


# --- examples -------------------------------------------------------------------------------------


def wait_until_it_listens(port: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args} does not listen")


@contextmanager
def example(name: str, folder: Path, **environment: str) -> Iterator[tuple[int, list[list[str]]]]:
    """Run a program of examples/; yield its port and the arguments of its curl lines."""
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if k not in VARIABLES | DEMO_VARIABLES}
    with (folder / "stderr").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / name)],
            cwd=folder,
            env={**inherited, "PORT": str(port), **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    lines = []
    assert process.stdout is not None
    try:
        # The last line before it serves is the one without a curl below the curls.
        for line in process.stdout:
            lines.append(line.strip())
            if (
                line.strip()
                and any(each.startswith("curl ") for each in lines)
                and "curl" not in line
            ):
                break
        wait_until_it_listens(port, process)
        assert f"http://localhost:{port}/" in lines[0], lines
        yield port, [shlex.split(line)[1:] for line in lines if line.startswith("curl ")]
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


def answers(calls: list[list[str]], port: int, curl: Callable[[list[str], int], str]) -> list[str]:
    return [curl(arguments, port) for arguments in calls]


SAMPLE = [
    "The counter is now at 1.\n",
    "The counter is now at 2.\n",
    "Hello alice, your counter is at 2.\n",
    "Hello alice, your counter is at 2.\n",
    "Goodbye.\n",
    "Hello stranger, your counter is at 0.\n",
]


@pytest.fixture(params=["SimpleCache", "FileSystem", "Redis", "Memcached"])
def cache_type(request: pytest.FixtureRequest) -> dict[str, str]:
    environment = {"CACHE_TYPE": request.param}
    if request.param == "Redis":
        environment["REDIS_PORT"] = str(request.getfixturevalue("redis_port"))
    if request.param == "Memcached":
        environment["MEMCACHED_PORT"] = str(request.getfixturevalue("memcached_port"))
    return environment


def test_the_sample_app(
    cache_type: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the jar of the real curl
    curl = Curl()
    with example("sample_session_app.py", tmp_path, **cache_type) as (port, calls):
        assert answers(calls, port, curl) == SAMPLE
        if shutil.which("curl"):
            assert answers(calls, port, real_curl) == SAMPLE
        assert "Secure" not in curl(["-i", f"http://localhost:{port}/up"], port)
        up, other, root = f"http://localhost:{port}/up", "other.txt", f"http://localhost:{port}/"
        assert curl(["-b", other, "-c", other, up], port) == "The counter is now at 1.\n"
        assert curl(["-b", other, "-c", other, f"{root}down"], port) == "The counter is now at 0.\n"
        curl(["-b", other, "-c", other, up], port)
    with example("sample_session_app.py", tmp_path, **cache_type) as (port, _):
        count = 0 if cache_type["CACHE_TYPE"] == "SimpleCache" else 1
        text = curl(["-b", other, "-c", other, f"http://localhost:{port}/"], port)
        assert text == f"Hello stranger, your counter is at {count}.\n"


def test_the_sample_app_without_its_server(tmp_path: Path) -> None:
    environment = {"CACHE_TYPE": "Redis", "REDIS_PORT": str(free_port())}
    with example("sample_session_app.py", tmp_path, **environment) as (port, _):
        text = Curl()(["-i", f"http://localhost:{port}/up"], port)
        assert "503 Service Unavailable" in text
        assert "Set-Cookie" not in text


def test_the_sample_app_with_an_unknown_cache_type(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/sample_session_app.py")],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "CACHE_TYPE": "Punchcards"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "choose one of SimpleCache, FileSystem, Redis, Memcached" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plain_wsgi_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = ["Visit number 1.\n", "Visit number 2.\n", "Forgotten.\n", "Visit number 1.\n"]
    with example("plain_wsgi.py", tmp_path) as (port, calls):
        assert answers(calls, port, Curl()) == expected
        if shutil.which("curl"):
            assert answers(calls, port, real_curl) == expected
        assert Curl()([f"http://localhost:{port}/favicon.ico"], port) == "Not here.\n"


def test_the_plain_wsgi_app_needs_nothing_but_session_core() -> None:
    tree = ast.parse((ROOT / "examples/plain_wsgi.py").read_text(encoding="utf-8"))
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"session_core"}


# --- what the text says and no block shows --------------------------------------------------------


def counting_app(backing: Any, **options: Any) -> bottle.Bottle:
    app = bottle.Bottle()
    BottleSessions.BottleSessions(app, backing, **options)

    @app.route("/")
    def count() -> str:
        session = bottle.request.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.route("/save-and-fail")
    def save_and_fail() -> None:
        bottle.request.session["n"] = 100
        bottle.request.session.session_save()
        bottle.request.session["n"] = 200
        bottle.abort(503, "too busy")

    return app


def visit(curl: Curl, port: int, path: str = "/") -> str:
    return curl(["-i", "-b", "jar", "-c", "jar", f"http://localhost:{port}{path}"], port)


@pytest.mark.parametrize("on_outage", ["error", "anonymous"])
def test_an_outage_is_no_logout(on_outage: str) -> None:
    class Switch(session_core.MemoryStore):
        down = False

        def load(self, key: str) -> Any:
            if self.down:
                raise OSError("down")
            return super().load(key)

    store, curl = Switch(), Curl()
    with serving(counting_app(store, session_on_outage=on_outage)) as port:
        assert visit(curl, port).endswith("\n1")
        store.down = True
        answer = visit(curl, port)
        assert ("503" in answer, answer.endswith("\n1")) == (
            on_outage == "error",
            on_outage == "anonymous",
        )
        assert "Set-Cookie" not in answer
        store.down = False
        assert visit(curl, port).endswith("\n2")


def test_what_was_saved_before_a_failure_stands() -> None:
    curl = Curl()
    with serving(counting_app(None)) as port:
        answer = visit(curl, port, "/save-and-fail")
        assert "503" in answer
        assert "Set-Cookie" in answer
        assert visit(curl, port).endswith("\n101")


def test_clear_ends_sessions_in_a_cachelib_cache_and_not_in_a_backing(tmp_path: Path) -> None:
    for cache, kept in (
        (BottleSessions.Backing(), True),
        (BottleSessions.Backing("FileSystem", cache_dir=str(tmp_path / "backing")), True),
        (SimpleCache(), False),
        (FileSystemCache(str(tmp_path / "cache")), False),
    ):
        curl = Curl()
        with serving(counting_app(cache)) as port:
            assert visit(curl, port).endswith("\n1")
            assert cache.set("n", 7)
            assert visit(curl, port).endswith("\n2")
            cache.clear()
            assert not cache.has("n")
            assert visit(curl, port).endswith("\n3" if kept else "\n1")


def test_the_old_imports() -> None:
    from BottleSessions.backing import Backing
    from BottleSessions.BottleSessions import BottleSessions as Plugin
    from BottleSessions.Session import Session

    assert (Backing, Plugin, Session) == (
        BottleSessions.Backing,
        BottleSessions.BottleSession,
        BottleSessions.Session,
    )
