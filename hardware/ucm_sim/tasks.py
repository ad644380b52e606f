"""Ending a task that was started without a group around it."""

import asyncio


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it is over; raises what it had failed with before."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
