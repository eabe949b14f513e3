"""Timing WSGI apps against each other in one process."""

from __future__ import annotations

import gc
import io
import time
from collections.abc import Callable
from typing import Any, Final

from .content import SMALL

App = Callable[..., Any]

CHUNKS: Final = 10
"""How many times each app is timed in a round; the fastest counts."""

WORKS: Final = {
    "untouched": ("/plain", "small"),
    "read": ("/read", "small"),
    "write": ("/write", "small"),
    "large write": ("/write", "large"),
    "large read": ("/read", "large"),
    "new": ("/new", ""),
}
"""Each workload with its path and the session that its requests belong to."""

NAME: Final = str(SMALL["name"]).encode()


def environ(path: str, cookie: str = "") -> dict[str, Any]:
    """Return the environment of one GET request, as a server would make it."""
    made: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.com",
        "HTTP_ACCEPT": "text/html",
        "HTTP_USER_AGENT": "Mozilla/5.0",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if cookie:
        made["HTTP_COOKIE"] = cookie
    return made


class WrongAnswer(Exception):
    """An app did not do its work, so that its time would mean nothing."""


class Client:
    """Calls one app as a server would, and keeps what it answered."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> None:
        self.status = status
        self.headers = headers

    def get(self, path: str, cookie: str = "") -> bytes:
        self.status = ""
        sent = environ(path, cookie)
        body = self.app(sent, self.start_response)
        content = b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        self._check(path, sent)
        return content

    def _check(self, path: str, sent: dict[str, Any]) -> None:
        if not self.status.startswith("200"):
            reason = sent["wsgi.errors"].getvalue().strip().rpartition("\n")[2]
            raise WrongAnswer(f"{path} was answered by {self.status.strip()!r} {reason}".strip())

    def fill(self, size: str) -> str:
        """Make a session of this size and return the ``Cookie`` header that belongs to it."""
        self.get(f"/fill/{size}")
        return "; ".join(
            value.partition(";")[0] for name, value in self.headers if name.lower() == "set-cookie"
        )

    def time(self, path: str, cookie: str, times: int) -> float:
        """Return the seconds that so many requests took."""
        app, start_response, base = self.app, self.start_response, environ(path, cookie)
        self.status = ""
        started = time.perf_counter()
        for _ in range(times):
            body = app(base.copy(), start_response)
            for _chunk in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()
        taken = time.perf_counter() - started
        self._check(path, base)
        return taken


class Race:
    """Apps that take turns at one workload."""

    def __init__(self, apps: dict[str, App], work: str) -> None:
        self.path, self.size = WORKS[work]
        self.clients = {name: Client(app) for name, app in apps.items()}

    def round(self, seconds: float) -> dict[str, float]:
        """Return the seconds of one request of each app. Lasts about ``seconds``."""
        # New sessions for each round: they live 300 seconds.
        cookies = {name: self._fill(client) for name, client in self.clients.items()}
        times = {name: self._calibrate(name, cookies[name], seconds) for name in self.clients}
        best: dict[str, float] = {}
        gc.collect()
        for _ in range(CHUNKS):
            for name, client in self.clients.items():
                taken = client.time(self.path, cookies[name], times[name]) / times[name]
                best[name] = min(taken, best.get(name, taken))
        return best

    def _fill(self, client: Client) -> str:
        if not self.size:
            return ""
        cookie = client.fill(self.size)
        # An app without sessions sets no cookie, and answers "ok" to everything.
        found = client.get("/read", cookie)
        if found != (NAME if cookie else b"ok"):
            raise WrongAnswer(f"/read returned {found[:80]!r}")
        return cookie

    def _calibrate(self, name: str, cookie: str, seconds: float) -> int:
        taken = self.clients[name].time(self.path, cookie, 5) / 5
        return max(3, int(seconds / CHUNKS / len(self.clients) / taken))
