"""Browsers that ask at the same time, and what is told about it."""

from __future__ import annotations

import http.client
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from http.cookiejar import CookieJar
from json import loads
from typing import Any, TypeVar
from urllib.request import Request

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a request counts as not answered."""

REUSE = 25
"""Requests on one connection: a new one may reach another process of the server."""


@dataclass
class Reply:
    """What came back for one request; status 0 if nothing came back."""

    path: str
    sent_cookie: str
    sent: float
    status: int = 0
    headers: Message = field(default_factory=Message)
    body: dict[str, Any] = field(default_factory=dict)
    arrived: float = 0.0
    order: int = 0
    """Its place among the replies of its browser, as they reached the cookie jar."""

    @property
    def cookie(self) -> str | None:
        """The cookie that it sets, as a browser sends it back, or None."""
        text: str | None = self.headers.get("Set-Cookie")
        return None if text is None else text.partition(";")[0]

    @property
    def kept(self) -> bool:
        """Whether it acknowledges a write."""
        return self.status == 200 and self.body.get("kept", False)

    @property
    def done(self) -> dict[str, Any]:
        """The body, of a request that nothing stands in the way of."""
        if self.status != 200:
            raise SystemExit(f"{self.path} was answered by {self.status}, without any reason")
        return self.body

    @property
    def seconds(self) -> float:
        return self.arrived - self.sent

    def info(self) -> Message:  # what a CookieJar asks for
        return self.headers


class Load:
    """A number of threads that ask one server, each on a connection of its own."""

    def __init__(self, port: int, threads: int) -> None:
        self.port = port
        self.threads = threads
        self._seconds: list[float] = []
        self._pool = ThreadPoolExecutor(threads)
        self._own = threading.local()
        self._era = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ask(self, path: str, cookie: str = "") -> Reply:
        """Send one POST with this cookie and return what came back."""
        connection = self._connection()
        reply = Reply(path, cookie, time.monotonic())
        try:
            connection.request("POST", path, headers={"Cookie": cookie} if cookie else {})
            answer = connection.getresponse()
            text = answer.read()
            reply.status, reply.headers = answer.status, answer.headers
            if answer.headers.get_content_type() == "application/json":
                reply.body = loads(text)
        except (OSError, http.client.HTTPException):
            connection.close()
        reply.arrived = time.monotonic()
        self._seconds.append(reply.seconds)
        return reply

    def take_seconds(self) -> list[float]:
        """Return how long each request took since the last call."""
        taken, self._seconds = self._seconds, []
        return taken

    def start_anew(self) -> None:
        """Open new connections from now on, because the server is a new one."""
        self._era += 1

    def start(self, functions: Iterable[Callable[[], T]]) -> Callable[[], list[T]]:
        """Call these functions, each in a thread; call the result to wait for what they return."""
        futures = [self._pool.submit(function) for function in functions]
        return lambda: [future.result() for future in futures]

    def each(self, function: Callable[..., T], items: Iterable[Any]) -> list[T]:
        """Call ``function`` with every item, as many at the same time as there are threads."""
        return list(self._pool.map(function, items))

    def together(self, *functions: Callable[[], T]) -> list[T]:
        """Call all these functions, at most one a thread, beginning at the same moment."""
        barrier = threading.Barrier(len(functions), timeout=PATIENCE)

        def run(function: Callable[[], T]) -> T:
            barrier.wait()
            return function()

        return self.each(run, functions)

    def _connection(self) -> http.client.HTTPConnection:
        own = self._own
        if getattr(own, "era", None) != self._era or own.uses >= REUSE:
            if hasattr(own, "connection"):
                own.connection.close()
            own.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            own.era, own.uses = self._era, 0
        own.uses += 1
        connection: http.client.HTTPConnection = own.connection
        return connection


class Browser:
    """One visitor: a cookie jar that any number of requests use at the same time.

    It is the jar of the standard library. Each request takes the cookie that is there when it is
    sent, and the cookies of the replies go in in the order in which these arrive.
    """

    def __init__(self, load: Load, kind: str) -> None:
        self._load = load
        self._kind = kind
        self._jar = CookieJar()
        self._lock = threading.Lock()
        self._order = itertools.count()

    @property
    def cookie(self) -> str:
        """What it would send now."""
        return self._sending("/").get_header("Cookie", "") or ""

    def send(self, path: str) -> Reply:
        request = self._sending(f"/{self._kind}/{path}")
        reply = self._load.ask(f"/{self._kind}/{path}", request.get_header("Cookie", "") or "")
        with self._lock:
            reply.order = next(self._order)
            self._jar.extract_cookies(reply, request)  # type: ignore[arg-type]
        return reply

    def send_with(self, cookie: str, path: str) -> Reply:
        """Send a request with a cookie that may be in the jar no longer, past the jar."""
        return self._load.ask(f"/{self._kind}/{path}", cookie)

    def _sending(self, path: str) -> Request:
        request = Request(f"http://127.0.0.1:{self._load.port}{path}", method="POST")
        self._jar.add_cookie_header(request)
        return request


class Report:
    """The counts of one scenario, and which of its promises do not hold."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken: list[str] = []
        self._counts: list[str] = []

    def count(self, number: float | str, words: str) -> None:
        self._counts.append(f"{_text(number)} {words}")

    def promise(self, number: float, words: str, wanted: float = 0) -> None:
        """Count, and expect this number."""
        self.count(number, words)
        if number != wanted:
            self.broken.append(f"{self.name}: {_text(number)} {words}, not {_text(wanted)}")

    def at_most(self, number: float, bound: float, words: str) -> None:
        self.count(number, f"{words} (at most {_text(bound)})")
        if number > bound:
            self.broken.append(f"{self.name}: {_text(number)} {words}, more than {_text(bound)}")

    def statuses(self, replies: list[Reply], *, healthy: bool = True) -> None:
        """Count the requests that were answered by 503, and expect no others but 200.

        ``healthy``: the store was there all the time. Then the one reason for a 503 is that
        others were faster until the time bound, and this should be rare.
        """
        refused = [reply for reply in replies if reply.status == 503]
        self.count(len(refused), "answered by 503")
        if healthy:
            late = sum(reply.body.get("cause") == "ConflictTimeout" for reply in refused)
            self.promise(len(refused) - late, "without a reason")
            if late > len(replies) / 10:
                self.broken.append(f"{self.name}: {late} of {len(replies)} answered by 503")
        self.promise(sum(reply.status not in (200, 503) for reply in replies), "by anything else")

    def line(self, seconds: list[float]) -> str:
        times = ""
        if seconds:
            median, longest = statistics.median(seconds) * 1000, max(seconds) * 1000
            times = f"; {len(seconds):,} requests, median {median:.1f} ms, max {longest:.0f} ms"
        return f"{self.name}: {', '.join(self._counts)}{times}"


def _text(number: float | str) -> str:
    return f"{number:.2f}" if isinstance(number, float) else f"{number:,}"
