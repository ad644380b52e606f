"""What tests of the witness wait with."""

import asyncio
import time
from collections.abc import AsyncIterator

from ucm_provision.broker import BrokerWitness
from ucm_provision.core.model import Arrival


class WallClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def synchronized(self) -> bool:
        return True

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def until_status(witness: BrokerWitness, wanted: str) -> None:
    async with asyncio.timeout(5):
        while wanted not in witness.status:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def next_of(arrivals: AsyncIterator[Arrival]) -> Arrival:
    async with asyncio.timeout(5):
        return await anext(arrivals)
