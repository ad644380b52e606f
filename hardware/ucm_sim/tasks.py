"""Tasks without a group around them: how they end, and how they run side by side."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it is over; raises what it had failed with before."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def until_one_fails(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until one raises, and raise that; at least one of them never returns.

    Not a task group: one that is cancelled in the moment of a failure reports the failure alone, and here
    a failure is followed by the next attempt, so the cancellation would be lost.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
