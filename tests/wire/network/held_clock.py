"""Time that stands still until a test lets somebody wake."""

from __future__ import annotations

import asyncio
from collections import defaultdict

_DEADLINE = 20.0


class HeldClock:
    """Implements the Clock port. Sleepers are told apart by how long they mean to sleep."""

    def __init__(self) -> None:
        self._sleepers: defaultdict[float, list[asyncio.Future[None]]] = defaultdict(list)
        self._lain_down = asyncio.Event()

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    def synchronized(self) -> bool:
        return True

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers[seconds].append(wake)
        self._lain_down.set()
        try:
            await wake
        finally:
            if wake.cancelled():
                self._sleepers[seconds].remove(wake)

    def sleeps(self, seconds: float) -> bool:
        return bool(self._sleepers[seconds])

    async def asleep(self, seconds: float) -> None:
        """Until somebody means to sleep that long."""
        async with asyncio.timeout(_DEADLINE):
            while not self._sleepers[seconds]:
                self._lain_down.clear()
                await self._lain_down.wait()

    async def wake(self, seconds: float) -> None:
        """Waits for somebody who sleeps that long, and lets him go on until he waits for something else."""
        await self.asleep(seconds)
        self._sleepers[seconds].pop(0).set_result(None)
        await asyncio.sleep(0)
