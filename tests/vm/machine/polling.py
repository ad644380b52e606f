"""Waiting for what has no event: a machine seen from outside can only be looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_EVERY = 0.05


async def polled(look: Callable[[], Awaitable[T | None]], within: float) -> T:
    """What ``look`` returns as soon as that is something. Raises TimeoutError after that many seconds."""
    async with asyncio.timeout(within):
        while (seen := await look()) is None:  # noqa: ASYNC110 -- see above
            await asyncio.sleep(_EVERY)
        return seen
