"""What an operator may ask of a module. ``by`` names the operator in the journal."""

from __future__ import annotations

import secrets

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import HoldCleared, ReprovisionAsked
from ucm_provision.core.machine import Session, Waits
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor


class Operator:
    """Every request is journalled before it takes effect, and none interrupts work that is under way."""

    def __init__(self, record: Record, supervisor: Supervisor, proofs: Proofs) -> None:
        self._record = record
        self._supervisor = supervisor
        self._proofs = proofs

    async def retry(self, session_id: str, by: str) -> None:
        """The module goes on now, whatever it waits for. Nothing happens to one that does not wait."""
        session = self._idle(session_id)
        if session.hold is not None and not session.milestone.ended:
            await self._record.add(session_id, HoldCleared(f"{by} asked"))
            self._supervisor.nudge()

    async def approve(self, session_id: str, proof: ProofOfPossession | None, by: str) -> None:
        """As retry, with the proof of possession from the module's label, if one is given."""
        session = self._idle(session_id)
        if proof is not None:
            self._proofs.learn(session, proof)
        await self.retry(session_id, by)

    async def manifest_imported(self, by: str) -> None:
        """Lets those go on that waited for what a manifest may say."""
        for session in self._record.open_sessions():
            if not self._supervisor.works_on(session) and self._waited_for_the_manifest(session):
                await self._record.add(session.id, HoldCleared(f"{by} imported a manifest"))
        self._supervisor.nudge()

    def _waited_for_the_manifest(self, session: Session) -> bool:
        if session.hold is None or session.hold.waits is not Waits.OPERATOR:
            return False
        if session.hold.code is Code.POP_MISSING:
            return self._proofs.lookup(session)(session.announced_id or None) is not None
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
        await self._record.add(working, ReprovisionAsked(session.endpoint, session.identity, by))
        self._supervisor.nudge()
        return working

    def _idle(self, session_id: str) -> Session:
        session = self._record.session(session_id)
        if self._supervisor.works_on(session):
            raise UcmError(Code.MODULE_AT_WORK, session.endpoint.address)
        return session
