"""Modules that leave the site: forgotten here and, if wanted, wiped. Their devices stay in the provisioning API."""

from __future__ import annotations

from dataclasses import dataclass

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Event, Forgotten, ResetIntended
from ucm_provision.core.machine import Session
from ucm_provision.core.model import ModuleInfo
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock
from ucm_provision.engine.attempt import ReservedModule
from ucm_provision.engine.campaigns import Campaigns
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Wipe:
    """``force``: also a module that another box has configured."""

    force: bool = False


class Decommission:
    """A module that is met again is a new one, and policy decides about it. Where it is now, it is left alone."""

    def __init__(
        self,
        record: Record,
        supervisor: Supervisor,
        proofs: Proofs,
        campaigns: Campaigns,
        *,
        plan: SitePlan,
        clock: Clock,
    ) -> None:
        self._record = record
        self._supervisor = supervisor
        self._proofs = proofs
        self._campaigns = campaigns
        self._plan = plan
        self._clock = clock

    async def forget(self, session: Session, by: str, wipe: Wipe | None = None) -> None:
        """The module vanishes from everything that is shown, counted, moved and looked after.

        Raises:
            UcmError: module_at_work. With ``wipe`` also approval_needed for a module on the LAN that nobody has
                approved, device_gone for one out of reach, module_not_ours, module_busy, or whatever the link fails
                with. Nothing is forgotten then.
        """
        self._demand_idle(session)
        if wipe:
            await self._wipe(session, by, wipe)
        elif self._record.find(session.id) is not None:
            await self._part_with(session, Forgotten(by))
        self._supervisor.dismiss(session)
        await self._proofs.forget(session)

    def is_listed(self, session: Session) -> bool:
        """Whether the manifest still expects the module."""
        return (session.hardware_id or session.announced_id) in self._plan.expected

    async def _wipe(self, session: Session, by: str, wipe: Wipe) -> None:
        if self._record.find(session.id) is None:
            raise UcmError(Code.APPROVAL_NEEDED, session.endpoint.address)
        where = self._record.where(session)
        if where is None:
            raise UcmError(Code.DEVICE_GONE, session.endpoint.address)
        async with self._supervisor.meet(session, where) as (link, info):
            if not wipe.force:
                self._demand_ours(info)
            reserved = ReservedModule(link, self._plan.box_id, self._clock)
            await reserved.keep()
            await self._record.add(session.id, ResetIntended(by))
            try:
                await link.reset()
            except UcmError:
                await reserved.release()
                raise
            await self._part_with(session, Forgotten(by, wiped=True))

    async def _part_with(self, session: Session, farewell: Event) -> None:
        """The campaign first: a member that nobody knows could never be done."""
        hardware_id = session.hardware_id or session.announced_id
        if session.hardware_id:
            await self._campaigns.forget(session.hardware_id)
        for other in self._record.claiming(hardware_id, other_than=session.id) if hardware_id else ():
            await self._record.add(other.id, Absorbed(session.id))
        await self._record.add(session.id, farewell)

    def _demand_idle(self, session: Session) -> None:
        """Neither the session nor another one that says it is of the same module is worked on."""
        hardware_id = session.hardware_id or session.announced_id
        others = self._record.claiming(hardware_id, other_than=session.id) if hardware_id else []
        if any(self._supervisor.works_on(each) for each in (session, *others)):
            raise UcmError(Code.MODULE_AT_WORK, session.endpoint.address)

    def _demand_ours(self, info: ModuleInfo) -> None:
        configured = [state.owner for state in (info.active, info.trial) if state]
        if theirs := [owner for owner in configured if owner != self._plan.box_id]:
            raise UcmError(Code.MODULE_NOT_OURS, f'by "{theirs[0]}"')
