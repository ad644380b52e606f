"""Time that passes only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

START = 1_700_000_000.0
# More turns of the loop than any chain of steps in the plant needs; none of them waits for anything else.
_TURNS = 300


async def settle() -> None:
    """Lets every task run until all of them wait."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Lets the tasks run until the condition holds; time stands still meanwhile."""
    for _ in range(10 * _TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never came true")


class FakeClock:
    """Implements the Clock port. Sleepers wake in order, each at its own time."""

    def __init__(self) -> None:
        self._now = START
        self._jumped = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - START - self._jumped

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock; the monotonic one knows nothing of it, and nobody sleeps longer for it."""
        self._now += seconds
        self._jumped += seconds
        self._sleepers = [(at + seconds, order, wake) for at, order, wake in self._sleepers]

    def synchronized(self) -> bool:
        return True

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(seconds, 0.0), next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Lets ``seconds`` pass; whoever wakes on the way does what it has to do at its own time."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                self._now = at
                wake.set_result(None)
                await settle()
        self._now = end
        await settle()
