"""The composition root: builds every adapter, wires the engine, and runs it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from types import MappingProxyType

from ucm_provision import parts
from ucm_provision.cloud.gateway import GatewayApi, find_gateway
from ucm_provision.control.api import ControlApi
from ucm_provision.control.campaigns import CampaignRoutes
from ucm_provision.control.choice import ChoiceRoutes
from ucm_provision.control.decommission import DecommissionRoutes
from ucm_provision.control.events import News
from ucm_provision.control.inspection import InspectionRoutes
from ucm_provision.control.manifest import ManifestRoutes
from ucm_provision.control.orders import OrderRoutes
from ucm_provision.control.places import Place
from ucm_provision.control.wifi import WifiRoutes
from ucm_provision.core.errors import Code, UcmError, explain
from ucm_provision.core.model import GatewaySighting
from ucm_provision.core.ports import Clock
from ucm_provision.core.secret import Secret
from ucm_provision.core.wanted import Cause
from ucm_provision.discovery.mdns import LanBrowser
from ucm_provision.discovery.ports import watching
from ucm_provision.engine.attempt import Site
from ucm_provision.engine.engine import Engine
from ucm_provision.engine.gate import Pause
from ucm_provision.engine.views import timeline_entry
from ucm_provision.host import config
from ucm_provision.host.clock import SystemClock
from ucm_provision.host.network_manager import NetworkManager
from ucm_provision.link.timing import Timing
from ucm_provision.serving import Answering, answering
from ucm_provision.status_line import status_line
from ucm_provision.store.journal import Journal
from ucm_provision.telling import Sources, Telling
from ucm_provision.wire import API_VERSION, ApiChoice, ApiView, GatewayView, PauseView, StatusView, TimelineEntry

NOT_PASSED: Mapping[str, socket.socket] = MappingProxyType({})


class Daemon:
    """One running daemon, in this process. Made by :func:`start`.

    Attributes:
        places: Where its page is served.
    """

    def __init__(
        self,
        settings: config.Configuration,
        site: Site,
        kept: parts.Kept,
        witness: parts.AnyWitness,
        gateway: GatewayApi | None,
        *,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._plan = site.plan
        self._witness = witness
        self._gateway = gateway
        self._journal = journal
        self._clock = site.clock
        self._started_at = site.clock.now()
        self._expected = kept.expected
        follows = settings.values.policy.wifi_follow == "auto"
        self._engine = engine = Engine(site, kept, journal, parts.schedule(settings), follows=follows)
        self.feed, self.record, self.operator = engine.feed, engine.record, engine.operator
        lan = LanBrowser(settings.lan_addresses(), site.clock, self._is_known)
        self._lan = lan if settings.values.lan.mdns else None
        campaigns = CampaignRoutes(engine.campaigns, engine.selection, engine.record)
        # What the page has too. It never has the manifest, nor orders: their answers hold secrets.
        self._of_page = (
            WifiRoutes(kept.profiles),
            campaigns,
            InspectionRoutes(engine.inspection, engine.operator, kept.profiles, engine.record),
        )
        self._more = (
            *self._of_page,
            OrderRoutes(engine.orders, engine.book, engine.record, engine.gate.device, site.plan.protocol),
            ManifestRoutes(kept.expected, engine.manifest_imported),
            ChoiceRoutes(self._api_choice, self._accept_gateway),
            DecommissionRoutes(engine.decommission, engine.record),
        )
        beside = {"status": self.status, "campaign": campaigns.latest}
        self._news = News(engine.feed, engine.record.views, beside)
        self.places: list[Place] = []

        self._telling = Telling(Sources(settings, site.plan, engine, journal, site.clock, self.status))

    async def load(self) -> None:
        """Takes up what the journal holds."""
        await self._engine.load()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Finds modules and takes care of them until cancelled. Calls ``ready`` once it does."""
        by_udev, sight = self._settings.values.usb.udev, self._engine.supervisor.sight
        async with watching(self._settings.globs(), self._clock, by_udev=by_udev) as ports:
            # What is plugged in is known before anybody decides that something is not.
            await ports.look(sight)
            async with asyncio.TaskGroup() as group:
                self._engine.start(group)
                group.create_task(self._witness.run(), name="witness")
                group.create_task(self._telling.run(), name="telling")
                group.create_task(self._news.run(), name="news")
                group.create_task(ports.run(sight), name="ports")
                group.create_task(NetworkManager(self._clock).watch(self._engine.follower.moved), name="own network")
                if self._lan:
                    group.create_task(self._lan.run(sight), name="lan")
                ready()

    def _is_known(self, hardware_id: str) -> bool:
        return hardware_id in self._expected or self.record.latest_of(hardware_id) is not None

    def status_line(self) -> str:
        """How the site fares, for `systemctl status`."""
        pause = self._engine.supervisor.pause
        return status_line(self.record.counts(), self.record.open_sessions(), _pause_view(pause) if pause else None)

    async def prove_life(self) -> None:
        """Returns when journal and supervisor have answered. Raises UcmError(internal) when a session is stuck."""
        await self._journal.ping()
        await self._engine.supervisor.pulse()
        if stuck := self._engine.supervisor.stuck():
            raise UcmError(Code.INTERNAL, f"nothing was heard of session {stuck} for longer than any step takes")

    def answers(self) -> Answering:
        api = ControlApi(
            self.status,
            self.record,
            self._timeline,
            self.operator,
            self._news,
            more=self._more,
            readable=self._telling.routes,
        )
        return Answering(api, self._of_page)

    def status(self) -> StatusView:
        plan, engine, pause = self._plan, self._engine, self._engine.supervisor.pause
        return StatusView(
            version=version("ucm-provisiond"),
            api_version=API_VERSION,
            box_id=plan.box_id,
            started_at=self._started_at,
            api=ApiView(url=self._api_url(), site_id=plan.site_id),
            witness=self._witness.status,
            fleet=self._telling.fleet_status,
            wifi=[network.ssid for network in plan.wifi],
            box_wifi=engine.follower.network,
            campaign=campaign.id if (campaign := engine.campaigns.open()) else None,
            outdated=engine.upkeep.count(Cause.NETWORKS),
            paused=_pause_view(pause) if pause else None,
            modules=self.record.counts(),
            orders=dict(Counter(order.state.value for order in engine.book.orders())),
        )

    def _api_url(self) -> str:
        return self._gateway.url if self._gateway else self._settings.values.api.url

    def _api_choice(self) -> ApiChoice:
        accepted = self._gateway.name if self._gateway else ""
        return ApiChoice(
            url=self._api_url(),
            chosen_by="configuration" if self._gateway is None else "operator" if accepted else "nobody",
            accepted=accepted or None,
            gateways=[_gateway_view(gateway) for gateway in self._gateways()],
        )

    def _gateways(self) -> tuple[GatewaySighting, ...]:
        return self._lan.gateways if self._lan else ()

    async def _accept_gateway(self, wanted: str, token: Secret[str], ca: str) -> None:
        if self._gateway is None:
            raise UcmError(Code.GATEWAY_REFUSED, f'api.url is "{self._settings.values.api.url}", not "gateway"')
        await self._gateway.accept(find_gateway(self._gateways(), wanted), token, ca)
        self._engine.gate.replace(self._gateway)

    async def _timeline(self, session_id: str) -> list[TimelineEntry]:
        return [timeline_entry(entry.at, entry.event) for entry in await self._journal.history(session_id)]


def _gateway_view(gateway: GatewaySighting) -> GatewayView:
    return GatewayView(name=gateway.name, host=gateway.host, port=gateway.port, addresses=list(gateway.addresses))


def _pause_view(pause: Pause) -> PauseView:
    error = pause.error
    return PauseView(code=error.code.value, message=explain(error.code, error.detail), until=pause.until)


@asynccontextmanager
async def start(
    settings: config.Configuration,
    *,
    clock: Clock | None = None,
    timing: Timing | None = None,
    passed: Mapping[str, socket.socket] = NOT_PASSED,
) -> AsyncIterator[Daemon]:
    """A daemon that answers on its control socket. Call :meth:`Daemon.run` inside the context.

    ``passed``: listening sockets that systemd has opened, "control" and "web". ``clock`` and the link's ``timing`` are
    seams for tests, which have no minutes to wait.

    Raises:
        UcmError: with disposition FATAL, when the daemon cannot work like this.
    """
    clock = clock or SystemClock()
    witness = parts.broker_witness(settings, clock)
    async with AsyncExitStack() as stack:
        journal = await Journal.open(settings.file(settings.values.state.dir) / "journal.sqlite3")
        stack.push_async_callback(journal.close)
        api = await parts.provisioning_api(settings, stack)
        kept, routes = await parts.kept(settings), parts.Routes()
        links, plan = parts.device_links(settings, timing, routes), parts.site_plan(settings, kept)
        site = Site(links, api.client, parts.broker_check(settings), witness, clock, plan)
        daemon = Daemon(settings, site, kept, witness, api.gateway, journal=journal)
        routes.present = daemon.record.present
        await daemon.load()
        daemon.places = await stack.enter_async_context(answering(daemon.answers(), settings, clock, passed))
        yield daemon
