"""`ucm-sim` in a process of its own."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

COMMAND = [sys.executable, "-m", "ucm_sim.main"]


class Running:
    """A simulator in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def says(self, text: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            while not self.said or text not in self.said[-1]:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.said
                self.said.append(line)

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(10):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@contextlib.asynccontextmanager
async def running(*arguments: str | int | Path) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
