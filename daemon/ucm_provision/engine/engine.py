"""The engine's parts, joined: what the daemon runs, and what its control socket speaks to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from ucm_provision.engine.appearing import Appearing
from ucm_provision.engine.attempt import Site
from ucm_provision.engine.blueprints import Blueprints
from ucm_provision.engine.campaigns import Campaigns
from ucm_provision.engine.decommission import Decommission
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.follow import Follower
from ucm_provision.engine.gate import ApiGate, PatientApi
from ucm_provision.engine.inspection import Inspection
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.order_steps import ProvisionSteps, ReplacementSteps
from ucm_provision.engine.orders import Orders
from ucm_provision.engine.ports import (
    CampaignJournal,
    Expectations,
    OrderJournal,
    ProfileChanges,
    ProofStore,
    SessionJournal,
)
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.selection import Selection
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.supervisor import Supervisor
from ucm_provision.engine.upkeep import Schedule, Upkeep


class EngineJournal(SessionJournal, OrderJournal, CampaignJournal, Protocol):
    """The whole journal."""


class Told(Protocol):
    """What operators told the daemon, over what the configuration says."""

    @property
    def expected(self) -> Expectations: ...

    @property
    def profiles(self) -> ProfileChanges: ...

    @property
    def proofs(self) -> ProofStore: ...


class Engine:
    """One for each daemon.

    Args:
        site: Everything outside. Its API is asked through a gate from here on.
        follows: The modules follow the box to another network without being asked.
    """

    def __init__(self, site: Site, told: Told, journal: EngineJournal, schedule: Schedule, *, follows: bool) -> None:
        plan, clock = site.plan, site.clock
        self.feed = Feed()
        self.record = Record(journal, self.feed, clock)
        self.gate = ApiGate(site.api, clock)
        site = replace(site, api=PatientApi(self.gate, clock))
        self._site = site
        self._proofs = Proofs(plan, told.proofs)
        runner = SessionRunner(site, self.record, self._proofs)
        self.supervisor = Supervisor(self.record, runner, self.gate, plan, clock)
        self.operator = Operator(self.record, self.supervisor, self._proofs, self.gate)
        self._join_campaigns(told, journal, follows=follows)
        self.decommission = Decommission(
            self.record, self.supervisor, self._proofs, self.campaigns, plan=plan, clock=clock
        )
        self._join_upkeep(schedule)
        self._join_orders(told, journal)

    def _join_campaigns(self, told: Told, journal: CampaignJournal, *, follows: bool) -> None:
        plan = self._site.plan
        self.selection = Selection(self.record, self.supervisor, plan, self._proofs)
        self.campaigns = Campaigns(
            journal,
            self.record,
            self.supervisor,
            self.selection,
            profiles=told.profiles,
            feed=self.feed,
            clock=self._site.clock,
        )
        self.follower = Follower(self.campaigns, self.selection, plan, auto=follows)

    def _join_upkeep(self, schedule: Schedule) -> None:
        site = self._site
        self.inspection = Inspection(self.record, self.supervisor, site.api)
        self.upkeep = Upkeep(
            self.record,
            self.supervisor,
            self.inspection,
            site.plan,
            site.clock,
            schedule=schedule,
            campaign=self.campaigns.open,
        )
        self._appearing = Appearing(self.record, site.api, site.witness, site.clock)

    def _join_orders(self, told: Told, journal: OrderJournal) -> None:
        plan, clock = self._site.plan, self._site.clock
        self.book = OrderBook(journal, clock)
        self.orders = Orders(
            self.book,
            self.gate,
            clock,
            provision=ProvisionSteps(self.book, self.gate, plan).carry_out,
            replacement=ReplacementSteps(self.gate, told.expected, self.record, self.operator).carry_out,
        )
        self._blueprints = Blueprints(plan, self.record, self.book, self.orders, self.feed)

    async def load(self) -> None:
        """Takes up what the journal holds. Whoever asks earlier would take what is under way for unknown."""
        await self.record.load()
        await self.book.load()
        await self.campaigns.load()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Runs everything in the group, until that is cancelled."""
        parts = {
            "supervisor": self.supervisor.run(),
            "orders": self.orders.run(),
            "blueprints": self._blueprints.run(),
            "campaigns": self.campaigns.run(),
            "upkeep": self.upkeep.run(),
            "appearing": self._appearing.run(),
        }
        for name, running in parts.items():
            group.create_task(running, name=name)

    async def manifest_imported(self, new_proofs: Collection[str], by: str) -> None:
        """Whoever waited for what it says goes on. ``new_proofs``: the hardware ids that got another proof."""
        await self._proofs.superseded(new_proofs)
        await self.operator.manifest_imported(by)
        await self._blueprints.look()
