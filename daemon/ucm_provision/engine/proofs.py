"""Which proof of possession is tried for which session."""

from __future__ import annotations

from collections.abc import Collection

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Carrier, ProofOfPossession
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import PopLookup
from ucm_provision.engine.ports import ProofStore


class Proofs:
    """What operators typed goes before the manifest: they stand at the module and read its label.

    Typed proofs are kept by session until the module is known, then by its hardware id.
    """

    def __init__(self, plan: SitePlan, store: ProofStore) -> None:
        self._plan = plan
        self._store = store
        self._announced: dict[str, str] = {}

    async def learn(self, session: Session, proof: ProofOfPossession) -> None:
        """Keeps what an operator typed, through restarts too."""
        await self._store.change_proofs({session.hardware_id or session.id: proof})

    async def superseded(self, hardware_ids: Collection[str]) -> None:
        """The manifest has a newer word on these modules than what was typed for them."""
        if outdated := [of for of in hardware_ids if of in self._store.proofs]:
            await self._store.change_proofs(dict.fromkeys(outdated))

    async def forget(self, session: Session) -> None:
        """Drops what was typed for the session's module."""
        if typed := [of for of in (session.id, session.hardware_id or "") if of in self._store.proofs]:
            await self._store.change_proofs(dict.fromkeys(typed))

    def lookup(self, session: Session) -> PopLookup:
        def pop_for(announced_id: str | None) -> ProofOfPossession | None:
            if announced_id:
                self._announced[session.id] = announced_id
            carrier, expected = session.endpoint.carrier, session.hardware_id or session.announced_id
            if carrier is Carrier.HTTP and announced_id not in (None, expected):
                raise UcmError(Code.IDENTITY_MISMATCH, f"{announced_id} answers where {expected} was announced")
            typed = self._store.proofs
            proof = typed.get(session.id) or typed.get(session.hardware_id or announced_id or expected)
            return proof or self._plan.pop_for(announced_id or expected, carrier)

        return pop_for

    def known(self, session: Session) -> bool:
        """Whether there is anything to try at an endpoint that has said who it is."""
        return self.lookup(session)(session.announced_id or None) is not None

    def knows(self, session: Session, carrier: Carrier) -> bool:
        """Whether a module that is known already can be spoken to over this carrier."""
        hardware_id = session.hardware_id or session.announced_id
        return hardware_id in self._store.proofs or self._plan.pop_for(hardware_id, carrier) is not None

    def announced(self, session_id: str) -> str:
        """Who the module at an endpoint said it is, in the last conversation about the session; or nothing."""
        return self._announced.pop(session_id, "")

    async def proved(self, session: Session, hardware_id: str) -> None:
        """The proof that was typed for an unknown endpoint turned out to be this module's."""
        self._announced.pop(session.id, None)
        if proof := self._store.proofs.get(session.id):
            await self._store.change_proofs({session.id: None, hardware_id: proof})
