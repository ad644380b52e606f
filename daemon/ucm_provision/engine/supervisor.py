"""Decides which sessions exist and which run now. Everything it knows comes from sightings and the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Cancelled, Failed, HoldCleared, Moved
from ucm_provision.core.machine import Milestone, Session, Waits, next_action
from ucm_provision.core.model import Carrier, Endpoint, ModuleInfo, Sighting, lan_key
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock, DeviceLink
from ucm_provision.engine.due import DueSessions
from ucm_provision.engine.gate import OUTAGES, ApiGate, Pause
from ucm_provision.engine.record import Record
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.waking import changed_or_due


class Supervisor:
    """One door for every sighting; one task for every session that has something to do.

    Only what has changed is looked at: with a thousand modules, a look at all of them for every change
    of one would be most of the work.
    """

    def __init__(self, record: Record, runner: SessionRunner, gate: ApiGate, plan: SitePlan, clock: Clock) -> None:
        self._record = record
        self._runner = runner
        self._gate = gate
        self._plan = plan
        self._clock = clock
        self._changed = asyncio.Event()
        self._looked = asyncio.Event()
        self._running: dict[str, Carrier] = {}
        self._due = DueSessions()
        self._met_as: dict[str, str] = {}
        self._outage_known = False
        self._probe = ""
        gate.changed = self.nudge

    @property
    def pause(self) -> Pause | None:
        """Why no module gets any further at the moment, if that is so."""
        return self._gate.pause or self._gate.outage

    async def sight(self, sighting: Sighting) -> None:
        """Takes note of an endpoint that appeared, moved or vanished."""
        if not sighting.present:
            self._record.vanished(sighting.endpoint)
        elif self._has_room_for(sighting.endpoint):
            self._record.appeared(sighting.endpoint, sighting.announced_id, sighting.state)
        self._changed.set()

    def _has_room_for(self, endpoint: Endpoint) -> bool:
        """Each kind of carrier has a bound of its own: what floods the LAN must not keep a cable out."""
        present = self._record.present
        if endpoint.key in present or len(present) < policy.SIGHTINGS_KEPT:
            return True
        return sum(each.carrier is endpoint.carrier for each in present.values()) < policy.SIGHTINGS_KEPT

    def nudge(self) -> None:
        """Something outside of the sightings has changed what there is to do."""
        self._changed.set()

    def works_on(self, session: Session) -> bool:
        """Whether a conversation about the session is under way."""
        return session.id in self._running or self._runner.works_on(session.id)

    @asynccontextmanager
    async def meet(self, session: Session, where: Endpoint) -> AsyncIterator[tuple[DeviceLink, ModuleInfo]]:
        """A conversation with a session's module where it is now, beside the session. Raises as the link does."""
        try:
            async with self._runner.meet(replace(session, endpoint=where)) as (link, info):
                yield link, info
        finally:
            self.nudge()

    def dismiss(self, session: Session) -> None:
        """Nothing more is done about a session that has ended, and what was held in memory for it is dropped."""
        self._met_as.pop(session.id, None)
        self._runner.drop(session.id)
        self._record.dismiss(session)
        self.nudge()

    async def run(self) -> None:
        """Until cancelled; the sessions are cancelled with it, each at a durable point."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                await self._reconcile()
                self._start_due(group)
                self._looked.set()
                await changed_or_due(self._changed, self._moments(), self._clock)

    async def pulse(self) -> None:
        """Returns when the supervisor has looked at what there is to do. For one caller at a time."""
        self._looked.clear()
        self.nudge()
        await self._looked.wait()

    def stuck(self) -> str | None:
        """A session at work of which nothing was heard for longer than any of its steps takes, or None."""
        silent_since = self._clock.monotonic() - policy.SESSION_SILENCE_LONGEST
        return next((each for each in self._running if self._record.heard_of(each) < silent_since), None)

    async def reconsider(self, why: str) -> None:
        """What may be provisioned without approval has changed: candidates and holds are looked at again."""
        for key, endpoint in tuple(self._record.present.items()):
            if endpoint.carrier is Carrier.HTTP:  # not the candidates alone: in a flood not everybody became one
                await self._look_at(key)
        for session in self._record.open_sessions():
            if not self.works_on(session) and self._is_permitted_now(session):
                await self._record.add(session.id, HoldCleared(why))
        self.nudge()

    def _is_permitted_now(self, session: Session) -> bool:
        waits = session.hold is not None and session.hold.code is Code.APPROVAL_NEEDED
        hardware_id = session.hardware_id or session.announced_id
        return waits and self._plan.permits(hardware_id, session.endpoint.carrier)

    # ---- what is there ---------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Brings the sessions in line with what is plugged in and announced."""
        for key in self._record.take_stirred():
            await self._look_at(key)
        await self._heed_outage()
        for session_id in self._due.over(self._clock.now()):
            self._record.touch(session_id)
        for session in self._record.take_touched():
            if not self.works_on(session):
                await self._match_presence(session)
                self._schedule(self._record.session(session.id))

    async def _look_at(self, key: str) -> None:
        endpoint = self._record.present.get(key)
        if endpoint is None or self._record.is_dismissed(key):
            self._record.withdraw(key)
        elif endpoint.carrier is Carrier.HTTP:
            await self._look_at_lan(endpoint)
        elif not _is_known(self._record.latest_at(key)):
            await self._record.begin(endpoint)

    async def _look_at_lan(self, endpoint: Endpoint) -> None:
        """A module that is known already is no news, wherever it was met; an unknown one may need approval."""
        announced = self._record.announced_at(endpoint.key)
        if mistaken := self._mistaken_at(endpoint, announced):
            await self._record.add(mistaken.id, HoldCleared("its announcement has changed"))
        elif self._is_known_on_lan(endpoint, announced):
            self._record.withdraw(endpoint.key)
        elif self._plan.permits(announced, Carrier.HTTP):
            self._record.withdraw(endpoint.key)
            await self._record.begin(endpoint)
        elif self._record.candidates.at(endpoint.key) is None:
            self._record.propose(endpoint)

    def _is_known_on_lan(self, endpoint: Endpoint, announced: str) -> bool:
        if self._record.claiming(announced, other_than="") or _is_known(self._record.latest_of(announced)):
            return True
        last = self._record.latest_at(endpoint.key)
        return last is not None and last.left_alone_by != ""

    def _mistaken_at(self, endpoint: Endpoint, announced: str) -> Session | None:
        """The session that met another module where this one was announced: perhaps by a stranger."""
        for session in self._record.claiming(announced, other_than=""):
            mistaken = session.hold is not None and session.hold.code is Code.IDENTITY_MISMATCH
            if mistaken and session.endpoint.key == endpoint.key and not self.works_on(session):
                return session
        return None

    async def _match_presence(self, session: Session) -> None:
        if session.appears_later:
            return  # it goes to its place: that its cable is gone is no news
        hold, endpoint = session.hold, session.endpoint
        gone = hold is not None and hold.waits is Waits.DEVICE_GONE
        if endpoint.key in self._record.present:
            if gone and self._never_left(session):
                await self._record.add(session.id, HoldCleared("it is still there"))
            elif self._is_released(session):
                await self._record.add(session.id, HoldCleared("it says that the other box has finished"))
        elif session.identity is None and endpoint.carrier is Carrier.SERIAL:
            await self._record.add(session.id, Cancelled("unplugged before it was identified"))
        elif elsewhere := self._still_at(session):
            await self._record.add(session.id, Moved(elsewhere))
        elif not gone and not _needs_operator_on_lan(session):
            await self._record.add(session.id, Failed(Code.DEVICE_GONE, endpoint.address))

    def _still_at(self, session: Session) -> Endpoint | None:
        """Another endpoint where the same module is: its second cable, or the LAN."""
        present = self._record.present
        cable = next((present[key] for key in session.formerly if key in present), None)
        return cable or self._permitted_on_lan(session)

    def _permitted_on_lan(self, session: Session) -> Endpoint | None:
        if session.hardware_id is None:
            return None
        wanted = session.approved or session.renew or self._plan.permits(session.hardware_id, Carrier.HTTP)
        return self._record.present.get(lan_key(session.hardware_id)) if wanted else None

    def _is_released(self, session: Session) -> bool:
        """Whether a module that another box had reserved announces that its configuration has been decided since.

        The reservation may run for minutes longer. That it is only a hint costs one conversation at most.
        """
        if session.hold is None or session.hold.code is not Code.MODULE_BUSY:
            return False
        state = self._record.announced_state(session)
        return state not in ("", "trial", self._met_as.get(session.id, state))

    def _never_left(self, session: Session) -> bool:
        hold = session.hold
        return hold is not None and hold.until is not None and policy.is_over(hold.until, self._clock.now())

    # ---- an API that is away ---------------------------------------------------------------------

    async def _heed_outage(self) -> None:
        """While the API is away one module alone asks for it; when it is back, all go on."""
        outage, known = self._gate.outage, self._outage_known
        self._outage_known = outage is not None
        if known and outage is None:
            for session in self._waiting_for_api():
                await self._record.add(session.id, HoldCleared("the provisioning API answers again"))
        elif outage and outage.is_over(self._clock.now()) and not self._is_probing():
            for session in self._waiting_for_api()[:1]:
                self._probe = session.id
                await self._record.add(session.id, HoldCleared("the provisioning API is asked again"))

    def _waiting_for_api(self) -> list[Session]:
        return [
            session
            for session in self._record.open_sessions()
            if _waits_for_api(session) and session.endpoint.key in self._record.present and not self.works_on(session)
        ]

    def _is_probing(self) -> bool:
        session = self._record.find(self._probe)
        return session is not None and not session.milestone.ended and not _waits_for_api(session)

    # ---- what runs -------------------------------------------------------------------------------

    def _schedule(self, session: Session) -> None:
        """Notes when the session is to run: now, at its time, or not before something changes."""
        self._due.forget(session.id)
        if session.milestone.ended:
            return
        until = session.hold.until if session.hold else None
        if until is not None and not policy.is_over(until, self._clock.now()):
            self._due.at(until, session.id)
        if self._is_due(session):
            self._due.now(session)

    def _is_due(self, session: Session) -> bool:
        if self.works_on(session) or session.endpoint.key not in self._record.present:
            return False
        waits_for_api = self._gate.outage is not None and _waits_for_api(session)
        return not waits_for_api and next_action(session, self._clock.now()) is not None

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        for carrier in Carrier:
            while self._free_slots(carrier) > 0 and (session_id := self._due.next(carrier)):
                session = self._record.session(session_id)
                if self._is_due(session):
                    self._met_as[session_id] = self._record.announced_state(session)
                    self._running[session_id] = carrier
                    group.create_task(self._run(session_id), name=f"session {session_id}")

    def _free_slots(self, carrier: Carrier) -> int:
        """How many more sessions may run. After a pause a single one tries whether its cause is mended."""
        pause = self._gate.pause
        if pause is not None:
            return int(pause.is_over(self._clock.now())) - len(self._running)
        most = policy.CABLE_SESSIONS_AT_ONCE if carrier is Carrier.SERIAL else policy.LAN_SESSIONS_AT_ONCE
        return most - sum(running is carrier for running in self._running.values())

    async def _run(self, session_id: str) -> None:
        try:
            await self._runner.run(session_id)
        finally:
            del self._running[session_id]
            if self._record.session(session_id).milestone.ended:
                self._met_as.pop(session_id, None)
            self._record.touch(session_id)
            self._changed.set()

    def _moments(self) -> list[float]:
        """The next times at which something is due without anything changing."""
        pauses = [pause.until for pause in (self._gate.pause, self._gate.outage) if pause]
        return [*self._due.moments(), *pauses]


def _is_known(session: Session | None) -> bool:
    """Whether there is nothing to begin. What was forgotten or left alone is begun with when it is plugged in anew."""
    if session is None:
        return False
    return session.milestone is not Milestone.CANCELLED or session.forgotten or session.left_alone_by != ""


def _waits_for_api(session: Session) -> bool:
    return session.hold is not None and session.hold.code in OUTAGES


def _needs_operator_on_lan(session: Session) -> bool:
    """What vanishes from the LAN and comes back is no operator's hand, so it must not lift such a hold."""
    hold = session.hold
    return session.endpoint.carrier is Carrier.HTTP and hold is not None and hold.waits is Waits.OPERATOR
