"""What verified modules need by themselves: another look, their lost configuration back, a fresh certificate."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ucm_provision.core import policy
from ucm_provision.core.campaign import Campaign
from ucm_provision.core.errors import UcmError
from ucm_provision.core.events import ReprovisionAsked
from ucm_provision.core.machine import Milestone, Session
from ucm_provision.core.maintenance import ClockGuard, Window, is_open, local_time
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock
from ucm_provision.core.wanted import Cause, Wishes, wanted
from ucm_provision.engine.inspection import Inspection
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor

log = structlog.get_logger()

_NEW = "new"  # what a module announces that holds no configuration


@dataclass(frozen=True, slots=True)
class Schedule:
    """When what can wait is done.

    Attributes:
        window: The maintenance window, in local time.
        rotate_before: How many seconds before its end a certificate is renewed.
        rotate_at_once: How many modules get a new one in one window.
        verify_every: Seconds between two looks at a verified module; None: only when somebody asks.
    """

    window: Window
    rotate_before: float
    rotate_at_once: int
    verify_every: float | None = None


@dataclass(slots=True)
class _Rotated:
    """Which modules the present window has seen to. One window is told from the next by its being closed between."""

    modules: set[str] = field(default_factory=set)


class Upkeep:
    """Looks now and then. A port is never opened for it, and one module after the other is looked at."""

    def __init__(
        self,
        record: Record,
        supervisor: Supervisor,
        inspection: Inspection,
        plan: SitePlan,
        clock: Clock,
        *,
        schedule: Schedule,
        campaign: Callable[[], Campaign | None],
    ) -> None:
        self._record = record
        self._supervisor = supervisor
        self._inspection = inspection
        self._plan = plan
        self._clock = clock
        self._schedule = schedule
        self._campaign = campaign
        self._guard = ClockGuard()
        self._rotated = _Rotated()
        self._looked: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(policy.UPKEEP_EVERY)

    async def look(self) -> None:
        """Once at every module that is due for it, and then at what each should be."""
        wishes = self.wishes()
        for session in self._record.latest():
            if self._is_due_for_a_look(session):
                await self._inspect(session)
        for session in self._record.latest():
            await self._heed(session, wanted(session, wishes))

    def wishes(self) -> Wishes:
        believed = self._guard.believes(self._clock)
        networks = tuple(network.ssid for network in self._plan.wifi)
        now = self._clock.now() if believed else None
        return Wishes(self._plan.box_id, networks, self._campaign(), self._schedule.rotate_before, now)

    def count(self, cause: Cause) -> int:
        """How many modules are not as they should be for that cause."""
        wishes = self.wishes()
        return sum(wanted(session, wishes) is cause for session in self._record.latest())

    # ---- looking ---------------------------------------------------------------------------------

    def _is_due_for_a_look(self, session: Session) -> bool:
        if session.milestone is not Milestone.VERIFIED or session.hold or self._supervisor.works_on(session):
            return False
        last = self._looked.get(session.hardware_id or "", session.updated_at)
        since = self._clock.now() - last
        if self._record.announced_state(session) == _NEW:  # a hint: it may have been reset
            return since >= policy.UPKEEP_EVERY
        return self._schedule.verify_every is not None and since >= self._schedule.verify_every

    async def _inspect(self, session: Session) -> None:
        self._looked[session.hardware_id or ""] = self._clock.now()
        try:
            await self._inspection.look(session)
        except UcmError as error:
            log.info("a module could not be looked at", UCM_HWID=session.hardware_id, why=str(error))

    # ---- mending ---------------------------------------------------------------------------------

    async def _heed(self, session: Session, cause: Cause | None) -> None:
        if cause is Cause.LOST:
            await self._restore(session)
        elif cause is Cause.CERTIFICATE:
            await self._rotate(session)

    async def _restore(self, session: Session) -> None:
        """Once by itself. Two tools that configure the same module would never end, so then an operator decides."""
        found_at, restored_at = session.updated_at, session.restored_at
        if restored_at is None or found_at - restored_at >= policy.RESTORE_ONCE_IN:
            await self._begin(session, "the box, to restore its configuration", restores=True)

    async def _rotate(self, session: Session) -> None:
        if not is_open(self._schedule.window, local_time(self._clock.now())):
            self._rotated.modules.clear()
            return
        if len(self._rotated.modules) >= self._schedule.rotate_at_once:
            return
        if await self._begin(session, "the box, because its certificate ends"):
            self._rotated.modules.add(session.hardware_id or "")

    async def _begin(self, session: Session, by: str, *, restores: bool = False) -> bool:
        """A session that asks the API for just what was asked before; False where the module is not there."""
        where = self._record.where(session)
        if where is None or session.identity is None or self._supervisor.works_on(session):
            return False
        asked = ReprovisionAsked(
            where, session.identity, by, arguments=session.arguments, device_id=session.device_id, restores=restores
        )
        await self._record.add(secrets.token_hex(6), asked)
        self._supervisor.nudge()
        return True
