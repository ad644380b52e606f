"""What the engine asks of the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ucm_provision.core.campaign import Campaign
from ucm_provision.core.events import Event
from ucm_provision.core.machine import Session
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.orders import Order
from ucm_provision.core.plan import ExpectedModule


class SessionJournal(Protocol):
    async def append(self, session: Session, event: Event, at: float) -> int: ...

    async def sessions(self) -> list[Session]: ...


class OrderJournal(Protocol):
    async def keep_order(self, order: Order) -> None:
        """The order as it is now, on disk when this returns."""

    async def orders(self) -> list[Order]:
        """Every order that is kept, oldest first."""


class CampaignJournal(Protocol):
    async def keep_campaign(self, campaign: Campaign) -> None:
        """The campaign as it is now, on disk when this returns."""

    async def campaigns(self) -> list[Campaign]:
        """Every campaign that was ever kept, oldest first."""


class ProfileChanges(Protocol):
    """The site's Wi-Fi profiles, as far as the engine changes them. On disk when a call returns."""

    async def prefer(self, ssid: str, /) -> None: ...

    async def drop(self, ssid: str, /) -> None: ...


class Expectations(Protocol):
    """The manifest, as far as the engine changes it."""

    def get(self, hardware_id: str, /) -> ExpectedModule | None: ...

    async def put(self, *modules: ExpectedModule) -> None:
        """These lines in place of what the manifest said of the same modules, on disk when this returns."""


class ProofStore(Protocol):
    """The proofs of possession that operators typed."""

    @property
    def proofs(self) -> Mapping[str, ProofOfPossession]:
        """By hardware id, or by session while that is unknown."""

    async def change_proofs(self, changes: Mapping[str, ProofOfPossession | None], /) -> None:
        """Keeps these and forgets those of None, on disk when this returns. Raises UcmError: secrets_not_kept."""
