"""`make bench`: what daemon and site API cost, as ratios to a limit that was measured or computed in the same run.

`python -m tests.bench site` runs only the parts whose name begins so.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import idle, lan, page, push, site_broker, site_calls, site_pages, srp, start
from tests.bench.result import Result

PARTS: dict[str, Callable[[Path], list[Result]]] = {
    "push": lambda folder: asyncio.run(push.measure(folder)),
    "srp": lambda _: srp.measure(),
    "start": start.measure,
    "lan": lambda folder: asyncio.run(lan.measure(folder)),
    "idle": lambda folder: asyncio.run(idle.measure(folder)),
    "page": lambda folder: asyncio.run(page.measure(folder)),
    "site-calls": lambda folder: asyncio.run(site_calls.measure(folder)),
    "site-broker": lambda folder: asyncio.run(site_broker.measure(folder)),
    "site-pages": lambda folder: asyncio.run(site_pages.measure(folder)),
}


def main(wanted: list[str]) -> int:
    chosen = [part for part in PARTS if not wanted or part.startswith(tuple(wanted))]
    if not chosen:
        sys.exit(f"The parts are {', '.join(PARTS)}.")
    within = [_within(part) for part in chosen]  # all of them, whatever the first says
    return 0 if all(within) else 1


def _within(part: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        results = PARTS[part](Path(folder))
    for result in results:
        print(result.line(), flush=True)
    return all(result.within for result in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
