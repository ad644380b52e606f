"""Waiting for a change, or for the next moment that matters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ucm_provision.core.ports import Clock


async def changed_or_due(changed: asyncio.Event, times: Iterable[float], clock: Clock) -> None:
    """Until ``changed`` is set or the first of the ``times`` (seconds since the epoch) that are still to come."""
    now = clock.now()
    timeout = min((time - now for time in times if time > now), default=None)
    if timeout is None:
        await changed.wait()
        return
    sleeper = asyncio.ensure_future(clock.sleep(timeout))
    change = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait((sleeper, change), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeper.cancel()
        change.cancel()
        await asyncio.gather(sleeper, change, return_exceptions=True)
