"""Which proof of possession is tried for which session."""

from __future__ import annotations

from ucm_provision.core.machine import Session
from ucm_provision.core.model import ProofOfPossession
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
            typed = self._typed.get(session.id) or self._typed.get(session.hardware_id or announced_id or "")
            return typed or self._plan.pop_for(announced_id)

        return pop_for

    def announced(self, session_id: str) -> str:
        """Who the module at an endpoint said it is, in the last conversation about the session; or nothing."""
        return self._announced.pop(session_id, "")

    def proved(self, session: Session, hardware_id: str) -> None:
        """The proof that was typed for an unknown endpoint turned out to be this module's."""
        self._announced.pop(session.id, None)
        if proof := self._typed.pop(session.id, None):
            self._typed[hardware_id] = proof
