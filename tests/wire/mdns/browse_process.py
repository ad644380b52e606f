"""A browser in a process of its own: ``browse_process.py [NAME=VALUE | KNOWN-ID | ADDRESS]…``.

Prints one JSON object a line: what it sees, and for each line that it reads how it is doing. NAME is
one of core.policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import resource
import signal
import sys
import time
from pathlib import Path

import structlog

from ucm_provision.core import policy
from ucm_provision.core.model import GatewaySighting, Sighting
from ucm_provision.discovery.mdns import LanBrowser
from ucm_provision.host.clock import SystemClock

_BEAT = 0.01


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def see(sighting: Sighting) -> None:
    say(id=sighting.announced_id, present=sighting.present, routes=sighting.endpoint.routes)


def see_gateways(gateways: tuple[GatewaySighting, ...]) -> None:
    say(gateways=[dataclasses.asdict(gateway) for gateway in gateways])


class Lag:
    """How late the event loop's timers were at most since it was last asked, seconds."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT)
            self.worst = max(self.worst, time.monotonic() - before - _BEAT)

    def take(self) -> float:
        worst, self.worst = self.worst, 0.0
        return worst


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _tell(lag: Lag) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        say(memory=_memory(), cpu=time.process_time(), lag=lag.take())


async def _browse(addresses: list[str], known: set[str], *, beat: bool) -> None:
    browser, lag = LanBrowser(addresses, SystemClock(), known.__contains__, see_gateways), Lag()
    async with asyncio.TaskGroup() as group:
        group.create_task(browser.run(see))
        group.create_task(_tell(lag))
        if beat:
            group.create_task(lag.watch())
        await browser.listening.wait()
        say(listening=True)


async def main(arguments: list[str]) -> None:
    settings = dict(each.split("=") for each in arguments if "=" in each)
    for name, value in settings.items():
        if name != "BEAT":
            setattr(policy, name, type(getattr(policy, name))(value))
    rest = [each for each in arguments if "=" not in each]
    addresses = [each for each in rest if "." in each or ":" in each]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    say(started=True)
    with contextlib.suppress(asyncio.CancelledError):
        await _browse(addresses, set(rest) - set(addresses), beat="BEAT" in settings)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1:]))
