"""What an operator may ask of a module. ``by`` names the operator in the journal."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Approved, Cancelled, HoldCleared, Named, ReprovisionAsked
from ucm_provision.core.machine import Session, Waits
from ucm_provision.core.model import HeardNetwork, ProofOfPossession
from ucm_provision.core.ports import DeviceLink, ProvisioningApi
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor


class Operator:
    """Every request is journalled before it takes effect, and none interrupts work that is under way."""

    def __init__(self, record: Record, supervisor: Supervisor, proofs: Proofs, api: ProvisioningApi) -> None:
        self._record = record
        self._supervisor = supervisor
        self._proofs = proofs
        self._api = api

    async def retry(self, session_id: str, by: str) -> str:
        """The module goes on now, whatever it waits for. Nothing happens to one that does not wait.

        One that was left alone begins anew. Returns the session that goes on.

        Raises:
            UcmError: module_at_work; approval_needed where only an approval helps; device_gone where there is nothing
                to begin with.
        """
        session = self._idle(session_id)
        if session.left_alone_by:
            return await self._begin_again(session, by)
        if session.hold is not None and session.hold.code is Code.APPROVAL_NEEDED:
            raise UcmError(Code.APPROVAL_NEEDED, session.endpoint.address)
        if session.hold is not None and not session.milestone.ended:
            await self._record.add(session_id, HoldCleared(f"{by} asked"))
            self._supervisor.nudge()
        return session_id

    async def _begin_again(self, session: Session, by: str) -> str:
        where = self._record.where(session)
        if where is None:
            raise UcmError(Code.DEVICE_GONE, session.endpoint.address)
        fresh = await self._record.begin(where)
        await self._record.add(fresh.id, Approved(by))
        await self._record.add(session.id, Absorbed(fresh.id))
        self._supervisor.nudge()
        return fresh.id

    async def approve(self, session_id: str, proof: ProofOfPossession | None, by: str, *, name: str = "") -> None:
        """The module may be provisioned, with the proof of possession from its label and a name, if they are given.

        Raises:
            UcmError: module_at_work, or as :meth:`name`.
        """
        session = self._idle(session_id)
        if proof is not None:
            await self._proofs.learn(session, proof)
            session = self._idle(session_id)  # it may have gone on while the proof was written
        if self._record.find(session_id) is None:
            await self._record.admit(session, by, named=name)
        elif not session.milestone.ended:
            if name:
                await self.name(session_id, name, by)
            await self._record.add(session_id, Approved(by))
        self._supervisor.nudge()

    async def name(self, session_id: str, name: str, by: str) -> None:
        """Calls the module something, now and whenever it is provisioned anew. A device that it has is renamed.

        Raises:
            UcmError: module_at_work; approval_needed, where it is named as it is approved; or whatever the API fails
                with. The name is journalled by then, so that the same call again only tells the API.
        """
        session = self._idle(session_id)
        if self._record.find(session_id) is None:
            raise UcmError(Code.APPROVAL_NEEDED, session.endpoint.address)
        if session.name != name or not session.named:
            await self._record.add(session_id, Named(name, by))
        if session.device_id:
            await self._api.rename(session.device_id, name=name)

    async def cancel(self, session_id: str, by: str) -> None:
        """The module is left alone, until an operator retries it or provisions it anew, or it is plugged in again.

        What it holds stays as it is.

        Raises:
            UcmError: module_at_work, or nothing_to_cancel.
        """
        session = self._idle(session_id)
        if self._record.find(session_id) is None or session.milestone.ended:
            raise UcmError(Code.NOTHING_TO_CANCEL, session.endpoint.address)
        await self._record.add(session_id, Cancelled(f"{by} wants it left alone", by))

    async def identify(self, session_id: str, seconds: int) -> None:
        """Makes the module blink, 1 to 60 s.

        Raises:
            UcmError: as :meth:`_meeting`; module_refused by a module that has no lamp.
        """
        async with self._meeting(session_id) as link:
            await link.identify(seconds)

    async def scan(self, session_id: str) -> tuple[HeardNetwork, ...]:
        """The Wi-Fi networks that the module hears, the strongest first; takes some seconds.

        Raises:
            UcmError: as :meth:`_meeting`; module_refused by a module that cannot scan.
        """
        async with self._meeting(session_id) as link:
            return await link.scan()

    @asynccontextmanager
    async def _meeting(self, session_id: str) -> AsyncIterator[DeviceLink]:
        """A conversation with the module in which nothing is changed.

        Raises:
            UcmError: module_at_work; approval_needed for one on the LAN that nobody has approved; device_gone;
                or whatever the link fails with.
        """
        session = self._idle(session_id)
        if self._record.find(session_id) is None:
            raise UcmError(Code.APPROVAL_NEEDED, session.endpoint.address)
        where = self._record.where(session)
        if where is None:
            raise UcmError(Code.DEVICE_GONE, session.endpoint.address)
        async with self._supervisor.meet(session, where) as (link, _):
            yield link

    async def manifest_imported(self, by: str) -> None:
        """Lets those go on that waited for what a manifest may say."""
        for session in self._record.open_sessions():
            if not self._supervisor.works_on(session) and self._waited_for_the_manifest(session):
                await self._record.add(session.id, HoldCleared(f"{by} imported a manifest"))
        await self._supervisor.reconsider(f"{by} imported a manifest")

    def _waited_for_the_manifest(self, session: Session) -> bool:
        if session.hold is None or session.hold.waits is not Waits.OPERATOR:
            return False
        if session.hold.code is Code.POP_MISSING:
            return self._proofs.known(session)
        return session.hold.code is Code.KIND_MISMATCH

    async def reprovision(self, session_id: str, by: str) -> str:
        """The module is provisioned anew: same device, fresh credentials. Returns the session that does it.

        Raises:
            UcmError: module_at_work, or module_not_identified for an endpoint that nobody knows yet.
        """
        session = self._idle(session_id)
        if session.identity is None:
            raise UcmError(Code.MODULE_NOT_IDENTIFIED, session.endpoint.address)
        working = secrets.token_hex(6) if session.milestone.ended else session_id
        endpoint = self._record.where(session) or session.endpoint
        await self._record.add(working, ReprovisionAsked(endpoint, session.identity, by))
        self._supervisor.nudge()
        return working

    def _idle(self, session_id: str) -> Session:
        session = self._record.session(session_id)
        if self._supervisor.works_on(session):
            raise UcmError(Code.MODULE_AT_WORK, session.endpoint.address)
        return session
