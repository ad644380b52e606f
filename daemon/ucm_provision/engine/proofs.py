"""Which proof of possession is tried for which session."""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Carrier, ProofOfPossession
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import PopLookup


class Proofs:
    """What operators typed goes before the manifest: they stand at the module and read its label.

    Typed proofs are kept in memory only, by session until the module is known, then by its hardware id.
    """

    def __init__(self, plan: SitePlan) -> None:
        self._plan = plan
        self._typed: dict[str, ProofOfPossession] = {}
        self._announced: dict[str, str] = {}

    def learn(self, session: Session, proof: ProofOfPossession) -> None:
        self._typed[session.hardware_id or session.id] = proof

    def lookup(self, session: Session) -> PopLookup:
        def pop_for(announced_id: str | None) -> ProofOfPossession | None:
            if announced_id:
                self._announced[session.id] = announced_id
            carrier, expected = session.endpoint.carrier, session.hardware_id or session.announced_id
            if carrier is Carrier.HTTP and announced_id not in (None, expected):
                raise UcmError(Code.IDENTITY_MISMATCH, f"{announced_id} answers where {expected} was announced")
            typed = self._typed.get(session.id) or self._typed.get(session.hardware_id or announced_id or expected)
            return typed or self._plan.pop_for(announced_id or expected, carrier)

        return pop_for

    def known(self, session: Session) -> bool:
        """Whether there is anything to try at an endpoint that has said who it is."""
        return self.lookup(session)(session.announced_id or None) is not None

    def knows(self, session: Session, carrier: Carrier) -> bool:
        """Whether a module that is known already can be spoken to over this carrier."""
        hardware_id = session.hardware_id or session.announced_id
        return hardware_id in self._typed or self._plan.pop_for(hardware_id, carrier) is not None

    def announced(self, session_id: str) -> str:
        """Who the module at an endpoint said it is, in the last conversation about the session; or nothing."""
        return self._announced.pop(session_id, "")

    def proved(self, session: Session, hardware_id: str) -> None:
        """The proof that was typed for an unknown endpoint turned out to be this module's."""
        self._announced.pop(session.id, None)
        if proof := self._typed.pop(session.id, None):
            self._typed[hardware_id] = proof
