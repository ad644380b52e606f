"""Credentials end by themselves: somebody has to tell the broker when."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Never

import structlog

from ucm_site_api.brokers import Broker
from ucm_site_api.registry import Registry

log = structlog.get_logger(__name__)

# How late an end may be that nobody saw coming: the clock was set, or a grace is shorter than this.
_LONGEST_WAIT = 60.0

# Timers and the wall clock differ by less, so this is the least that is worth to wait.
_SHORTEST_WAIT = 0.05


async def keep_ends(broker: Broker, registry: Registry, now: Callable[[], datetime]) -> Never:
    """Enforce ends as they come, at least once a minute, and when the broker asks for it."""
    while True:
        broker.attention.clear()
        begun = now()
        try:
            await broker.enforce_ends()
            # As seen before: an end may have come while ends were enforced.
            wait = _until(await registry.next_end(begun), now())
        except Exception:
            # The next round may succeed, and a server that cannot read its registry says so in every answer.
            log.exception("ending credentials failed")
            wait = _LONGEST_WAIT
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await broker.attention.wait()


def _until(end: datetime | None, moment: datetime) -> float:
    if end is None:
        return _LONGEST_WAIT
    return min(_LONGEST_WAIT, max(_SHORTEST_WAIT, (end - moment).total_seconds()))


async def cancelled(task: asyncio.Task[Never]) -> None:
    """Cancel a task that never ends by itself, and wait until it has."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
