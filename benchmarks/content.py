"""What is in the sessions that are measured."""

from __future__ import annotations

import json
from typing import Any, Final

NEW: Final = {"user": "alice@example.com", "csrf": "f" * 43, "count": 0}
"""What a first visit stores."""

SMALL: Final = {
    "name": "Alice Liddell",
    "user": "alice@example.com",
    "count": 41,
    "lang": "en-GB",
    "theme": "dark",
    "csrf": "f4c1" * 11,
    "seen": 1764000000.25,
    "roles": ["admin", "editor", "viewer"],
    "referrer": "https://www.example.com/products/tea?page=3&sort=price",
    "note": "Curiouser and curiouser! " * 7,
}
"""Ten keys, 500 bytes of JSON."""


class Content:
    """The data of a session of one size: ``small`` (500 bytes) or ``large`` (64 KiB)."""

    def __init__(self, size: str) -> None:
        self.size = size

    def values(self) -> dict[str, Any]:
        """Return the data, new objects at each call.

        The large one is what such sessions are in practice: a set of tokens (half of it, long
        texts) and records out of a database (half of it: a basket of short texts and numbers).
        """
        values: dict[str, Any] = json.loads(json.dumps(SMALL))
        if self.size == "large":
            for number in range(8):
                values[f"token{number}"] = f"eyJhbGciOiJSUzI1NiJ9{number}" * 195
            for number in range(8):
                values[f"basket{number}"] = [
                    {"id": number * 100 + line, "title": f"Article {line}", "price": 19.9, "n": 2}
                    for line in range(64)
                ]
        return values


def json_size(size: str) -> int:
    """Return how many bytes the content is as compact JSON."""
    return len(json.dumps(Content(size).values(), separators=(",", ":")))
