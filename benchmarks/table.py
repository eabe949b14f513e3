"""Markdown tables, and the numbers in them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

DASH = "–"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table: the first column is text, the others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows])


def spread(values: list[float], digits: int) -> str:
    """Return the median and, in brackets, the quartiles."""
    if not values:
        return DASH
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle} ({low:.{digits}f}…{high:.{digits}f})"


def micro(seconds: Iterable[float]) -> list[float]:
    return [value * 1e6 for value in seconds]
