"""What importing costs, and that the examples of the README run."""

import re
import subprocess
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

import session_core

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

HEAVY = {
    "_hashlib", "asyncio", "base64", "concurrent", "ctypes", "dataclasses", "decimal", "email",
    "hashlib", "hmac", "html", "http", "importlib.metadata", "inspect", "multiprocessing", "pickle",
    "random", "secrets", "selectors", "socket", "sqlite3", "ssl", "subprocess", "tempfile",
    "unittest", "urllib", "uuid", "xml", "zoneinfo",
}  # fmt: skip


def loaded_by(statement):
    """Return the names of the modules that a bare interpreter has after the statement."""
    source = Path(session_core.__file__).parents[1]
    code = (
        # The extra, which may be installed beside it, is another matter.
        "import sys; sys.modules['msgspec'] = None; before = set(sys.modules); "
        f"sys.path.insert(0, {str(source)!r}); {statement}; "
        "print('\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["session_core", "session_core.wsgi"])
def test_importing_needs_the_standard_library_only_and_nothing_heavy(module):
    modules = loaded_by(f"import {module}")
    tops = {name.partition(".")[0] for name in modules}
    assert tops - {"session_core", "__mp_main__"} <= sys.stdlib_module_names
    assert not {name for name in HEAVY if name in modules}
    assert "session_core.testing" not in modules


def test_the_package_itself_loads_nothing_until_a_name_is_used():
    assert loaded_by("import session_core") - {"__future__", "__mp_main__"} == {"session_core"}
    assert "session_core.codec" not in loaded_by("from session_core import StoreError")
    with pytest.raises(AttributeError, match="SessionManger"):
        session_core.SessionManger
    assert set(session_core.__all__) <= set(dir(session_core))


def test_importing_the_kit_needs_the_standard_library_only():
    tops = {name.partition(".")[0] for name in loaded_by("import session_core.testing")}
    assert tops - {"session_core", "__mp_main__"} <= sys.stdlib_module_names


def test_every_public_name_is_there():
    for name in session_core.__all__:
        assert getattr(session_core, name) is not None


# -- the README --------------------------------------------------------------------------------


def run(block):
    namespace = {}
    exec(compile(block, "README.md", "exec"), namespace)
    return namespace


def call(app, cookie):
    environ = {"HTTP_COOKIE": cookie}
    setup_testing_defaults(environ)
    sent = []
    body = b"".join(app(environ, lambda status, headers: sent.extend(headers)))
    return body.decode(), dict(sent).get("Set-Cookie", "").partition(";")[0] or cookie


def test_every_block_of_the_readme_runs():
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        run(block)


def test_the_wsgi_example_counts_each_visitor():
    app = run(BLOCKS[1])["application"]
    first, cookie = call(app, "")
    second, cookie = call(app, cookie)
    other, _ = call(app, "")
    assert [first, second, other] == ["Visit 1", "Visit 2", "Visit 1"]
