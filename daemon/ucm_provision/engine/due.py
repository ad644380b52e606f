"""Which sessions are due, in the order in which they became so, and when the others will be."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ucm_provision.core.machine import Session
from ucm_provision.core.model import Carrier


class DueSessions:
    """A queue for each kind of carrier, and the times of those that wait for one."""

    def __init__(self) -> None:
        self._ready: dict[Carrier, dict[str, None]] = {carrier: {} for carrier in Carrier}
        self._timers: list[tuple[float, str]] = []
        self._time_of: dict[str, float] = {}
        self._looked_at = 0.0

    def now(self, session: Session) -> None:
        self._ready[session.endpoint.carrier][session.id] = None

    def at(self, moment: float, session_id: str) -> None:
        """Seconds since the epoch; a later call for the same session replaces the earlier one."""
        self._time_of[session_id] = moment
        heapq.heappush(self._timers, (moment, session_id))

    def forget(self, session_id: str) -> None:
        self._time_of.pop(session_id, None)
        for ready in self._ready.values():
            ready.pop(session_id, None)

    def next(self, carrier: Carrier) -> str | None:
        """Takes the session that has been due for longest."""
        ready = self._ready[carrier]
        if not ready:
            return None
        session_id = next(iter(ready))
        del ready[session_id]
        return session_id

    def over(self, now: float) -> Iterator[str]:
        """Takes those whose time has come, or all when the clock was put back: their times mean nothing then."""
        was_put_back, self._looked_at = now < self._looked_at, now
        while self._timers and (was_put_back or self._timers[0][0] <= now):
            moment, session_id = heapq.heappop(self._timers)
            if self._time_of.get(session_id) == moment:
                del self._time_of[session_id]
                yield session_id

    def moments(self) -> list[float]:
        """The next time at which one is due, if there is any."""
        while self._timers and self._time_of.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)  # replaced since
        return [moment for moment, _ in self._timers[:1]]
