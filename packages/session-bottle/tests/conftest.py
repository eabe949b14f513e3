"""A browser and a server in one process: WSGI calls with a cookie jar."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import bottle
import pytest

from session_core.testing import FakeClock


@dataclass
class Reply:
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    errors: str

    @property
    def code(self) -> int:
        return int(self.status.split()[0])

    @property
    def text(self) -> str:
        return self.body.decode()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None


@dataclass
class Browser:
    """Keeps cookies as a browser does: path, removal by Max-Age=0."""

    app: Any
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self, path: str, method: str = "GET", **environ: Any) -> Reply:
        fixed = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
        environ = {**fixed, **environ}
        setup_testing_defaults(environ)
        environ["wsgi.errors"] = errors = io.StringIO()
        sent = [f"{n}={v}" for n, (v, scope) in self.cookies.items() if path.startswith(scope)]
        if sent:
            environ.setdefault("HTTP_COOKIE", "; ".join(sent))
        started: list[Any] = []
        chunks: list[bytes] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            started[:] = [status, list(headers)]
            return chunks.append

        body = self.app(environ, start_response)
        try:
            chunks.extend(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        reply = Reply(started[0], started[1], b"".join(chunks), errors.getvalue())
        for text in reply.all("Set-Cookie"):
            pair, _, attributes = text.partition("; ")
            name, _, value = pair.partition("=")
            attributes = dict(each.partition("=")[::2] for each in attributes.split("; "))
            if attributes.get("Max-Age") == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = (value, attributes.get("Path", "/"))
        return reply


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app() -> bottle.Bottle:
    return bottle.Bottle()


@pytest.fixture
def browse() -> Any:
    def make(app: Any, *, validated: bool = True) -> Browser:
        return Browser(validator(app) if validated else app)

    return make


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COOKIE", "LIFE", "SECURE", "PATH", "SECRET"):
        monkeypatch.delenv(f"SESSION_{name}", raising=False)
    for name in ("SECURE_COOKIE", "SECURE_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bottle_12() -> bool:
    return bottle.__version__.startswith("0.12")
