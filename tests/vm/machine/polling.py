"""Waiting for what has no event: a machine seen from outside can only be looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def polled(look: Callable[[], Awaitable[T | None]], within: float, every: float = 0.05) -> T:
    """What ``look`` returns as soon as that is something. Raises TimeoutError after so many seconds.

    A look that runs a program in the guest takes time from what is waited for there; with ``every`` it is rarer.
    """
    async with asyncio.timeout(within):
        while (seen := await look()) is None:  # noqa: ASYNC110 -- see above
            await asyncio.sleep(every)
        return seen
