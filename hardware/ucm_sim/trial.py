"""Keeps the time of a trial: seconds of uptime, across boots."""

from collections.abc import Callable

from ucm_sim.clock import Clock
from ucm_sim.slots import Progress, Slots

# How much of a trial a loss of power can lose. Flash wears, so it is not every second.
_SAVE_EVERY_S = 5.0


class TrialTimer:
    """Runs from Commit, or from a boot within the trial, until the trial's time is over.

    `progress()` tells how far the connection on trial came; `expired()` is called once, at the end.
    """

    def __init__(
        self, slots: Slots, clock: Clock, progress: Callable[[], Progress], expired: Callable[[], None]
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._progress = progress
        self._expired = expired

    async def run(self) -> None:
        trial = self._slots.trial
        assert trial is not None  # it is started for one
        began = self._clock.monotonic() - trial.spent_ms / 1000
        ends = began + trial.limit_ms / 1000
        while (left := ends - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, _SAVE_EVERY_S))
            spent_ms = min(round((self._clock.monotonic() - began) * 1000), trial.limit_ms)
            self._slots.keep_progress(spent_ms, self._progress())
        self._expired()
