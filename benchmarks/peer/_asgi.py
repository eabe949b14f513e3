"""ASGI apps behind WSGI, so that benchmarks.timing can call them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..timing import App


def over_wsgi(app: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> App:
    """Return a WSGI app that runs one request of an ASGI app in the loop."""

    async def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": environ["REQUEST_METHOD"],
            "scheme": environ["wsgi.url_scheme"],
            "path": environ["PATH_INFO"],
            "raw_path": environ["PATH_INFO"].encode(),
            "query_string": environ["QUERY_STRING"].encode(),
            "root_path": "",
            "headers": [
                (key[5:].lower().replace("_", "-").encode(), environ[key].encode())
                for key in environ
                if key.startswith("HTTP_")
            ],
            "client": (environ["REMOTE_ADDR"], 0),
            "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        }
        body: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
                start_response(f"{message['status']} ", headers)
            else:
                body.append(message.get("body", b""))

        await app(scope, receive, send)
        return body

    return lambda environ, start_response: loop.run_until_complete(answer(environ, start_response))
