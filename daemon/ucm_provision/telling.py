"""What the daemon tells those who do not operate it: a commissioning report, metrics, and messages for a fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ucm_provision.broker.announcer import Announcer, Place
from ucm_provision.broker.witness import CONNECTED, NO_WITNESS
from ucm_provision.control.metrics import BoxSigns, MetricsRoutes
from ucm_provision.control.report import ReportRoutes
from ucm_provision.control.routes import Routes
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock
from ucm_provision.documents import ReportedSite
from ucm_provision.engine.engine import Engine
from ucm_provision.engine.fleet import Box, FleetReporter
from ucm_provision.engine.order_views import order_view
from ucm_provision.engine.vital_signs import VitalSigns, take_vital_signs
from ucm_provision.host.config import Configuration
from ucm_provision.host.loop_lag import LoopLag
from ucm_provision.site.report import Facts
from ucm_provision.store.journal import Journal, look_at_room
from ucm_provision.wire import StatusView


@dataclass(frozen=True, slots=True)
class Sources:
    """Where what is told comes from."""

    settings: Configuration
    plan: SitePlan
    engine: Engine
    journal: Journal
    clock: Clock
    status: Callable[[], StatusView]


class Telling:
    """One for each daemon.

    Attributes:
        routes: Parts of the control API. They change nothing and hold no secret.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lag = LoopLag()
        self._announcer = _announcer(sources)
        self.routes: tuple[Routes, ...] = (ReportRoutes(self._facts), MetricsRoutes(self._signs))

    @property
    def fleet_status(self) -> str | None:
        """Whether the fleet's broker is connected, or why not; None: none is configured."""
        return self._announcer.status if self._announcer else None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lag.run(), name="loop lag")
            if announcer := self._announcer:
                group.create_task(announcer.run(), name="fleet's broker")
                group.create_task(self._reporter(announcer).run(), name="fleet")

    # ---- the report ----------------------------------------------------------------------------------

    async def _facts(self) -> Facts:
        sources, engine = self._sources, self._sources.engine
        modules = engine.record.known_views()
        return Facts(
            now=sources.clock.now(),
            site=self._site(),
            status=sources.status(),
            modules=modules,
            unapproved=len(engine.record.candidates.all()),
            failures=await sources.journal.past_failures(module["session"] for module in modules),
            orders=[order_view(order) for order in engine.book.orders()],
        )

    def _site(self) -> ReportedSite:
        return ReportedSite(name=self._sources.settings.values.site.name or None, id=self._site_id())

    def _site_id(self) -> str | None:
        """As configured; else the one that the API's devices were added to."""
        record = self._sources.engine.record
        added = (session.arguments.site_id for session in record.latest() if session.arguments)
        return self._sources.plan.site_id or next(filter(None, added), None)

    # ---- metrics -------------------------------------------------------------------------------------

    async def _signs(self) -> tuple[VitalSigns, BoxSigns]:
        sources, announcer = self._sources, self._announcer
        status, folder = sources.status(), sources.settings.file(sources.settings.values.state.dir)
        room = await asyncio.to_thread(look_at_room, folder)
        box = BoxSigns(
            version=status["version"],
            journal_bytes=room.journal,
            free_bytes=room.free,
            loop_lag=self._lag.worst,
            clock_synchronized=sources.clock.synchronized(),
            witness_up=None if status["witness"] == NO_WITNESS else status["witness"] == CONNECTED,
            fleet_up=announcer.status == CONNECTED if announcer else None,
            fleet_dropped=announcer.dropped if announcer else 0,
        )
        return take_vital_signs(sources.engine), box

    # ---- the fleet -----------------------------------------------------------------------------------

    def _reporter(self, announcer: Announcer) -> FleetReporter:
        sources, engine = self._sources, self._sources.engine
        box = Box(
            name=sources.settings.fleet_name(),
            site=self._site,
            status=sources.status,
            modules=engine.record.known_views,
            signs=lambda: take_vital_signs(engine),
        )
        return FleetReporter(box, engine.feed, announcer, sources.clock)


def _announcer(sources: Sources) -> Announcer | None:
    settings = sources.settings
    fleet = settings.values.fleet
    if not fleet.mqtt:
        return None
    place = Place(f"{fleet.topic}/{settings.fleet_name()}", sources.plan.box_id)
    return Announcer(settings.file(fleet.mqtt), place, sources.clock)
