"""The daemon in a process of its own, with a clock that is so many times as fast: ``fast_daemon CONFIG FACTOR``."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.e2e.station import FastClock
from ucm_provision import app
from ucm_provision.host import config


async def run(path: Path, factor: float) -> None:
    async with app.start(config.load(path), clock=FastClock(factor)) as daemon:
        running = asyncio.ensure_future(daemon.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2])))
