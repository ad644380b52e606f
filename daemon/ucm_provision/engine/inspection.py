"""A look at a verified module: does it still hold what it was given, and is it online? Nothing is changed."""

from __future__ import annotations

import structlog

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Inspected
from ucm_provision.core.machine import Milestone, Session
from ucm_provision.core.model import Carrier, Endpoint, ModuleInfo, Phase, Reason
from ucm_provision.core.ports import ProvisioningApi
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor

log = structlog.get_logger()


class Inspection:
    """Looks over the LAN where the module is there, else through the API's eyes. A cable only if it is told to."""

    def __init__(self, record: Record, supervisor: Supervisor, api: ProvisioningApi) -> None:
        self._record = record
        self._supervisor = supervisor
        self._api = api

    async def look(self, session: Session, *, cables: bool = False) -> Inspected:
        """What is found. It is journalled only where it differs from the last time.

        Args:
            session: A module's latest session.
            cables: A serial port may be opened for it, which may reset the module.

        Raises:
            UcmError: module_at_work, or module_not_identified for a module that is not verified.
        """
        if session.milestone is not Milestone.VERIFIED:
            raise UcmError(Code.MODULE_NOT_IDENTIFIED, session.endpoint.address)
        if self._supervisor.works_on(session):
            raise UcmError(Code.MODULE_AT_WORK, session.endpoint.address)
        found = await self._found(session, cables=cables)
        if found != (session.trouble or Inspected()):
            await self._record.add(session.id, found)
            self._tell(session, found)
        return found

    async def _found(self, session: Session, *, cables: bool) -> Inspected:
        where = self._record.where(session)
        try:
            if where and (cables or where.carrier is Carrier.HTTP) and session.generation is not None:
                await self._ask_module(session, where)
            await self._ask_api(session)
        except UcmError as error:
            return Inspected(error.code, error.detail)
        return Inspected()

    async def _ask_module(self, session: Session, where: Endpoint) -> None:
        async with self._supervisor.meet(session, where) as (link, info):
            _demand_own_configuration(session, info)
            state = await link.state()
        if state.phase is not Phase.ONLINE:
            reason = "" if state.reason is Reason.NONE else f" {state.reason.value}"
            raise UcmError(Code.NOT_ONLINE, f"{state.phase.value}{reason}")

    async def _ask_api(self, session: Session) -> None:
        device = await self._api.device(session.device_id)
        if device is None:
            raise UcmError(Code.NOT_RECORDED, f"device {session.device_id}")
        if device.online is False:
            raise UcmError(Code.NOT_SEEN, "the API has it offline")

    def _tell(self, session: Session, found: Inspected) -> None:
        if found.code:
            log.warning("a module has dropped", UCM_HWID=session.hardware_id, UCM_ERROR=found.code, detail=found.detail)
        else:
            log.info("a module is well again", UCM_HWID=session.hardware_id)


def _demand_own_configuration(session: Session, info: ModuleInfo) -> None:
    active = info.active
    if active is None:
        raise UcmError(Code.CONFIGURATION_LOST, "it holds none")
    if active.device_id != session.device_id:
        raise UcmError(Code.CONFIGURATION_LOST, f"it holds one for device {active.device_id}, by {active.owner}")
