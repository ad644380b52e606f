"""How late the event loop is: what keeps it busy keeps everything else waiting."""

from __future__ import annotations

import asyncio
from collections import deque

from ucm_provision.core import policy


class LoopLag:
    """Sleeps, and looks by how much it was woken too late."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=policy.LOOP_LAG_KEPT)

    @property
    def worst(self) -> float:
        """Of the last minute, in seconds."""
        return max(self._late, default=0.0)

    async def run(self, every: float = policy.LOOP_LAG_EVERY) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            self._late.append(max(loop.time() - due, 0.0))
