"""Decides which sessions exist and which run now. Everything it knows comes from sightings and the record."""

from __future__ import annotations

import asyncio

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Cancelled, Failed, HoldCleared, Moved
from ucm_provision.core.machine import Milestone, Session, Waits, next_action
from ucm_provision.core.model import Endpoint, Sighting
from ucm_provision.core.ports import Clock
from ucm_provision.engine.gate import ApiGate, Pause
from ucm_provision.engine.record import Record
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.waking import changed_or_due


class Supervisor:
    """One door for every sighting; one task for every session that has something to do."""

    def __init__(self, record: Record, runner: SessionRunner, gate: ApiGate, clock: Clock) -> None:
        self._record = record
        self._runner = runner
        self._gate = gate
        self._clock = clock
        self._changed = asyncio.Event()
        self._running: set[str] = set()

    @property
    def pause(self) -> Pause | None:
        """Why no module is tried at the moment, if that is so."""
        return self._gate.pause

    async def sight(self, sighting: Sighting) -> None:
        """Takes note of an endpoint that appeared or vanished."""
        present, endpoint = self._record.present, sighting.endpoint
        if not sighting.present:
            self._record.vanished(endpoint)
        elif endpoint.key in present or len(present) < policy.SIGHTINGS_KEPT:
            self._record.appeared(endpoint)
        self._changed.set()

    def nudge(self) -> None:
        """Something outside of the sightings has changed what there is to do."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; the sessions are cancelled with it, each at a durable point."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                await self._reconcile()
                self._start_due(group)
                await self._wait()

    async def _reconcile(self) -> None:
        """Brings the sessions in line with what is plugged in."""
        for key, endpoint in tuple(self._record.present.items()):
            latest = self._record.latest_at(key)
            if latest is None or latest.milestone is Milestone.CANCELLED:
                await self._record.begin(endpoint)
        for session in self._record.open_sessions():
            if not self.works_on(session):
                await self._match_presence(session)

    async def _match_presence(self, session: Session) -> None:
        present = session.endpoint.key in self._record.present
        gone = session.hold is not None and session.hold.waits is Waits.DEVICE_GONE
        if not present and session.identity is None:
            await self._record.add(session.id, Cancelled("unplugged before it was identified"))
        elif not present and (elsewhere := self._still_at(session)):
            await self._record.add(session.id, Moved(elsewhere))
        elif not present and not gone:
            await self._record.add(session.id, Failed(Code.DEVICE_GONE, session.endpoint.address))
        elif present and gone and self._never_left(session):
            await self._record.add(session.id, HoldCleared("the port is still there"))

    def _still_at(self, session: Session) -> Endpoint | None:
        """Another endpoint on which the same module was met, and which is still there: its second cable."""
        return next((self._record.present[key] for key in session.formerly if key in self._record.present), None)

    def _never_left(self, session: Session) -> bool:
        hold = session.hold
        return hold is not None and hold.until is not None and self._clock.now() >= hold.until

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        for session in self._record.open_sessions():
            if len(self._running) >= self._slots(now):
                return
            if self._due(session, now):
                self._running.add(session.id)
                group.create_task(self._run(session.id), name=f"session {session.id}")

    def _slots(self, now: float) -> int:
        """How many sessions may run. After a pause a single one tries whether its cause is mended."""
        if self.pause is None:
            return policy.SESSIONS_AT_ONCE
        return 1 if now >= self.pause.until else 0

    def works_on(self, session: Session) -> bool:
        """Whether a conversation about the session is under way."""
        return session.id in self._running or self._runner.works_on(session.id)

    def _due(self, session: Session, now: float) -> bool:
        present = session.endpoint.key in self._record.present
        return present and not self.works_on(session) and next_action(session, now) is not None

    async def _run(self, session_id: str) -> None:
        try:
            await self._runner.run(session_id)
        finally:
            self._running.discard(session_id)
            self._changed.set()

    async def _wait(self) -> None:
        """Until something changes, or the next hold is over."""
        times = [s.hold.until for s in self._record.open_sessions() if s.hold and s.hold.until is not None]
        if self.pause:
            times.append(self.pause.until)
        await changed_or_due(self._changed, times, self._clock)
