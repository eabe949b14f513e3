"""Everything that is measured about the speed and the size of sessions: run by `scripts/bench`.

    scripts/bench                   about twelve minutes
    scripts/bench --quick           few rounds, two minutes, for trying
    scripts/bench --only goals      some parts; RESULTS.md stays as it is

It starts what it needs on loopback; redis-server and memcached have to be on PATH, or what needs
them is left out. It prints Markdown, and writes it to benchmarks/RESULTS.md unless --only is given.

========  ========================================================================================
goals     the workloads beside code by hand, on every backend, with the goals
peers     the same workloads of other libraries, in turn with ours
visitors  read and write where each request is that of another visitor
growth    one write with 100 to 100,000 live sessions
served    requests per second over real sockets
imports   time and memory of an import
stored    bytes of a record, and of 100,000 sessions
========  ========================================================================================
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from . import parts
from .environments import NoEnvironment, find_peers, make_fast
from .machine import describe

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- begin: scripts/bench -->", "<!-- end: scripts/bench -->"
PARTS = ("goals", "peers", "visitors", "growth", "served", "imports", "stored")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, for trying")
    parser.add_argument("--rounds", type=int, help="of the workloads; default 9, quick 2")
    parser.add_argument("--only", choices=PARTS, nargs="+", metavar="PART", default=PARTS)
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 2 if options.quick else 9
    if options.rounds < 1:
        parser.error("--rounds: one at least")
    return options


def run(options: argparse.Namespace) -> str:
    """Run the parts and return their Markdown."""
    quick, only = options.quick, options.only
    texts: list[str] = []
    notes: list[str] = []
    peers = find_peers() if "peers" in only or "imports" in only else []
    workloads = "goals" in only or "peers" in only
    fast = None
    if workloads:
        try:
            fast = make_fast()
        except NoEnvironment as error:
            notes.append(f"Ours with msgspec could not be measured: {error}")
    # Now, because the packages may be edited meanwhile.
    head = describe(options.rounds, quick, fast, peers)
    if workloads:
        racing = peers if "peers" in only else []
        overhead = parts.Overhead(options.rounds, 0.5 if quick else 1.0, fast, racing)
        texts += [overhead.goals()] if "goals" in only else []
        texts += [overhead.beside_peers()] if "peers" in only else []
        notes.append(overhead.failures())
    if "visitors" in only:
        texts.append(parts.visitors(100 if quick else 300))
    if "growth" in only:
        sizes = [100, 1_000, 10_000] if quick else [100, 1_000, 10_000, 100_000]
        texts.append(parts.growth(100 if quick else 300, sizes))
    if "served" in only:
        texts.append(parts.serve(2 if quick else 7, 0.3 if quick else 0.6))
    if "imports" in only:
        texts.append(parts.imports(3 if quick else 11, peers))
    if "stored" in only:
        texts.append(parts.stored(10_000 if quick else 100_000))
    return "\n\n".join(text for text in [head, *texts, *notes] if text)


def write(text: str) -> None:
    """Put the text between the marks of the results."""
    before, begin, rest = RESULTS.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{RESULTS.name} has lost its marks: {BEGIN} and {END}")
    RESULTS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the servers, too
    started = time.monotonic()
    text = run(options)
    print(text)
    if set(options.only) == set(PARTS):
        write(text)
    parts.say(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
