"""The composition root: builds every adapter, wires the supervisor, runs until told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import click
import structlog

from ucm_provision import parts
from ucm_provision.cloud.gateway import GatewayApi, find_gateway
from ucm_provision.control.api import ControlApi, serve
from ucm_provision.control.campaigns import CampaignRoutes
from ucm_provision.control.choice import ChoiceRoutes
from ucm_provision.control.inspection import InspectionRoutes
from ucm_provision.control.manifest import ManifestRoutes
from ucm_provision.control.orders import OrderRoutes
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
from ucm_provision.host import config, logs
from ucm_provision.host.clock import SystemClock
from ucm_provision.host.network_manager import NetworkManager
from ucm_provision.link.timing import Timing
from ucm_provision.store.journal import Journal
from ucm_provision.wire import API_VERSION, ApiChoice, ApiView, GatewayView, PauseView, StatusView, TimelineEntry

log = structlog.get_logger()

DEFAULT_CONFIG = Path("/etc/ucm-provision/ucm-provision.toml")


class Daemon:
    """One running daemon, in this process. Made by :func:`start`."""

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
        self._more = (
            OrderRoutes(engine.orders, engine.book, engine.record, engine.gate.device, site.plan.protocol),
            ManifestRoutes(kept.expected, engine.manifest_imported),
            ChoiceRoutes(self._api_choice, self._accept_gateway),
            WifiRoutes(kept.profiles),
            CampaignRoutes(engine.campaigns, engine.selection, engine.record),
            InspectionRoutes(engine.inspection, engine.operator, kept.profiles, engine.record),
        )

    async def load(self) -> None:
        """Takes up what the journal holds."""
        await self._engine.load()

    async def run(self) -> None:
        """Finds modules and takes care of them until cancelled."""
        by_udev, sight = self._settings.values.usb.udev, self._engine.supervisor.sight
        async with watching(self._settings.globs(), self._clock, by_udev=by_udev) as ports:
            # What is plugged in is known before anybody decides that something is not.
            await ports.look(sight)
            async with asyncio.TaskGroup() as group:
                self._engine.start(group)
                group.create_task(self._witness.run(), name="witness")
                group.create_task(ports.run(sight), name="ports")
                group.create_task(NetworkManager(self._clock).watch(self._engine.follower.moved), name="own network")
                if self._lan:
                    group.create_task(self._lan.run(sight), name="lan")

    def _is_known(self, hardware_id: str) -> bool:
        return hardware_id in self._expected or self.record.latest_of(hardware_id) is not None

    def control(self) -> ControlApi:
        return ControlApi(self.status, self.record, self._timeline, self.operator, self.feed, more=self._more)

    def status(self) -> StatusView:
        plan, engine, pause = self._plan, self._engine, self._engine.supervisor.pause
        return StatusView(
            version=version("ucm-provisiond"),
            api_version=API_VERSION,
            box_id=plan.box_id,
            started_at=self._started_at,
            api=ApiView(url=self._api_url(), site_id=plan.site_id),
            witness=self._witness.status,
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
    settings: config.Configuration, *, clock: Clock | None = None, timing: Timing | None = None
) -> AsyncIterator[Daemon]:
    """A daemon that answers on its control socket. Call :meth:`Daemon.run` inside the context.

    ``clock`` and the link's ``timing`` are seams for tests, which have no minutes to wait.

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
        await stack.enter_async_context(serve(daemon.control(), settings.file(settings.values.control.socket)))
        yield daemon


async def serve_until_stopped(settings: config.Configuration) -> None:
    """Runs the daemon until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    async with start(settings) as daemon:
        running = asyncio.ensure_future(daemon.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        usb = settings.values.usb
        log.info("daemon started", config=str(settings.path), udev=usb.udev, globs=usb.globs)
        try:
            await running
        except asyncio.CancelledError:
            log.info("daemon stopped")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
@click.version_option(package_name="ucm-provisiond")
def command(path: Path) -> None:
    """Provisions the UCMs that are plugged into this box, from a serial port to verified on the broker.

    Example: ucm-provisiond --config ./ucm-provision.toml
    """
    try:
        settings = config.load(path)
        logs.configure(settings.values.log.level)
        asyncio.run(serve_until_stopped(settings))
    except* UcmError as group:
        error = next(_leaves(group))
        click.echo(str(error), err=True)
        sys.exit(error.failure.exit_status)


def _leaves(group: BaseExceptionGroup[UcmError]) -> Iterator[UcmError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def main() -> None:
    command()
