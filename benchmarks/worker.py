"""One process of the benchmark: a library with its framework, in its own environment.

    python -m benchmarks.worker MODULE BACKEND ADDRESS FOLDER

MODULE, one of `benchmarks`, has a function ``apps(backend, address, folder)`` that returns WSGI
apps by name; one of them is ``bare``. For each line ``WORK SECONDS`` on standard input it runs one
round and prints one line of JSON: the seconds of one request of each app, or ``failed`` with the
reason. The first line that it prints is empty: it is ready.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from .timing import Race


def main() -> None:
    module, backend, address, folder = sys.argv[1:]
    # Only the answers go there: some libraries print.
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    apps = importlib.import_module(f"benchmarks.{module}").apps(backend, address, Path(folder))
    print(file=answers, flush=True)
    races: dict[str, Race] = {}
    for line in sys.stdin:
        work, _, seconds = line.rpartition(" ")
        if work not in races:
            races[work] = Race(apps, work)
        answer: dict[str, float | str]
        try:
            answer = {**races[work].round(float(seconds))}
        except Exception as error:  # of any library: it is reported, and the others go on
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
