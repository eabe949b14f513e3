"""Every Python block of the README runs, from top to bottom in one namespace."""

import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def run_blocks():
    namespace = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), namespace)
    return namespace


def call(app, cookie):
    environ = {"HTTP_COOKIE": cookie}
    setup_testing_defaults(environ)
    sent = []
    body = b"".join(app(environ, lambda status, headers: sent.extend(headers)))
    return body.decode(), dict(sent).get("Set-Cookie")


def test_all_blocks_run():
    assert len(BLOCKS) == 3
    run_blocks()


def test_the_example_knows_its_visitor_again():
    app = run_blocks()["app"]
    body, cookie = call(app, "")
    assert body == "Welcome, guest-17"
    pair = cookie.partition(";")[0]
    assert call(app, f'junk="; {pair}') == (body, None)
    assert call(app, pair.replace("17", "18"))[1] is not None
