"""One process of the benchmark: a library with its framework, in its own environment.

    python -m benchmarks.worker MODULE BACKEND ADDRESS FOLDER

MODULE, one of `benchmarks`, has a function ``apps(backend, address, folder)`` that returns WSGI
apps by name; one of them is ``bare``. For each line ``WORK SECONDS`` on standard input it runs one
round and prints, as one line of JSON, the seconds of one request of each app. The first line that
it prints is a list of the versions that it runs with.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

from .timing import Race


def main() -> None:
    module, backend, address, folder = sys.argv[1:]
    apps = importlib.import_module(f"benchmarks.{module}").apps(backend, address, Path(folder))
    versions = sorted(f"{each.name} {each.version}" for each in metadata.distributions())
    print(json.dumps(versions), flush=True)
    races: dict[str, Race] = {}
    for line in sys.stdin:
        work, _, seconds = line.rpartition(" ")
        if work not in races:
            races[work] = Race(apps, work)
        print(json.dumps(races[work].round(float(seconds))), flush=True)


if __name__ == "__main__":
    main()
