"""The box's own clocks."""

from __future__ import annotations

import asyncio
import ctypes
import time
from pathlib import Path

# From <sys/timex.h>: adjtimex() returns TIME_ERROR while nothing disciplines the clock.
_TIME_ERROR = 5
# What systemd-timesyncd leaves behind once it has synchronised the clock.
_TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")


class SystemClock:
    """Implements :class:`ucm_provision.core.ports.Clock`."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def synchronized(self) -> bool:
        """Whether the kernel or systemd-timesyncd says that the wall clock is disciplined.

        A hardened service may not be allowed to ask the kernel; then the file decides alone.
        """
        return _TIMESYNCD_MARK.exists() or _kernel_clock_is_synchronized()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _kernel_clock_is_synchronized() -> bool:
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _TIME_ERROR
