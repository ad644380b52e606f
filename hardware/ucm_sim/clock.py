"""Time as the module sees it, injectable so that a trial of minutes can be tested in moments."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the simulated hardware asks of time. All values are in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, never running backwards."""

    def time(self) -> float:
        """Seconds since 1970 by the host's clock, the reference of the module's own clock."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for a span of the module's time."""


class SystemClock:
    """The host's clock as it is."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ScaledClock:
    """Runs the module `factor` times faster than real time.

    Spans scale: trials, back-off, boot, the wire. The wall clock does not, because certificates and
    time sources belong to the real world; nor do the deadlines of real network traffic.
    """

    def __init__(self, factor: float) -> None:
        if factor <= 0:
            raise ValueError("a clock's factor must be positive")
        self._factor = factor

    def monotonic(self) -> float:
        return time.monotonic() * self._factor

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)


class RealTimeClock:
    """The module's own clock chip: unset until something tells it the time.

    Kept as a difference to the host's clock. It survives a software reset and is lost with the power.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms: int | None = None

    @property
    def is_set(self) -> bool:
        return self._offset_ms is not None

    def now_ms(self) -> int:
        """Milliseconds since 1970, or 0 while the clock was never set."""
        return 0 if self._offset_ms is None else self._host_ms() + self._offset_ms

    def set_ms(self, unix_ms: int) -> None:
        self._offset_ms = unix_ms - self._host_ms()

    def lose(self) -> None:
        self._offset_ms = None

    def _host_ms(self) -> int:
        return round(self._clock.time() * 1000)
