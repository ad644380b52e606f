"""Servers that kill themselves at a chosen statement: run as a process, told what to start by lines on its input.

It imports once and forks for each server, which is then there within a tenth of a second. A line is a JSON object:
`state`, a folder; `role`; and `at`, the number of the statement that is its last (counted from when it serves), 0 for
none, or "answer" for the moment after the last one. It answers with a line that has the server's URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import structlog

from ucm_site_api import Settings, SiteApi, routes

ANY = ("127.0.0.1", 0)


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("the signal comes first")


class Countdown:
    """Called with every statement of the writer; the last one is not begun."""

    def __init__(self, statements: int) -> None:
        self._left = statements

    def __call__(self, _: str) -> None:
        self._left -= 1
        if self._left == 0:
            die()


async def serve(order: dict[str, Any]) -> None:
    settings = Settings(Path(order["state"]), ANY, ANY, ANY, site_name="Plant", role=order["role"])
    async with SiteApi(settings) as site:
        if order["at"] == "answer":
            routes.answer = die
        elif order["at"]:
            site._registry._writer.set_trace_callback(Countdown(order["at"]))
        print(json.dumps({"url": site.url, "pid": os.getpid()}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead bury themselves
    for line in sys.stdin:
        if os.fork() == 0:
            asyncio.run(serve(json.loads(line)))


if __name__ == "__main__":
    main()
