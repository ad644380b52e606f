"""How late the event loop is, told while it lasts and forgotten after a while."""

from __future__ import annotations

import asyncio
import time

from ucm_provision.core import policy
from ucm_provision.host.loop_lag import LoopLag

BLOCKED = 0.2


async def until_looked(lag: LoopLag, times: int) -> None:
    """Until it has been woken so often more."""
    looked = 0
    before = list(lag._late)
    async with asyncio.timeout(10):
        while looked < times:
            await asyncio.sleep(0.001)
            now = list(lag._late)
            looked, before = looked + (now != before), now


async def test_a_loop_that_was_kept_busy_was_late_for_a_minute() -> None:
    lag = LoopLag()
    assert lag.worst == 0.0
    task = asyncio.create_task(lag.run(every=0.005))
    await until_looked(lag, 1)
    time.sleep(BLOCKED)  # noqa: ASYNC251 -- what must never happen, happens
    await until_looked(lag, 1)
    assert BLOCKED / 2 < lag.worst < 10
    late = lag.worst
    await until_looked(lag, policy.LOOP_LAG_KEPT + 1)
    assert lag.worst < late
    task.cancel()
    await asyncio.wait({task})
