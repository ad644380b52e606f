"""The composition root: builds every adapter, wires the supervisor, runs until told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click
import structlog

from ucm_provision.broker.check import ConnectionCheck
from ucm_provision.broker.witness import BrokerWitness, NoWitness
from ucm_provision.cloud.provisioning import HttpProvisioningApi
from ucm_provision.control.api import ControlApi, serve
from ucm_provision.control.manifest import ManifestRoutes
from ucm_provision.control.orders import OrderRoutes
from ucm_provision.core.errors import Code, UcmError, explain
from ucm_provision.core.model import Overrides
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock
from ucm_provision.core.secret import Secret
from ucm_provision.discovery.ports import watching
from ucm_provision.engine.attempt import Site
from ucm_provision.engine.blueprints import Blueprints
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.gate import ApiGate, PatientApi, Pause
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.order_steps import ProvisionSteps, ReplacementSteps
from ucm_provision.engine.orders import Orders
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.supervisor import Supervisor
from ucm_provision.engine.views import timeline_entry
from ucm_provision.host import config, logs
from ucm_provision.host.clock import SystemClock
from ucm_provision.link.client import SerialLinks
from ucm_provision.link.timing import Timing
from ucm_provision.site import manifest
from ucm_provision.site.expected import ExpectedModules
from ucm_provision.store.journal import Journal
from ucm_provision.transports.serial import open_port
from ucm_provision.wire import API_VERSION, ApiView, PauseView, StatusView, TimelineEntry

log = structlog.get_logger()

AnyWitness = BrokerWitness | NoWitness

DEFAULT_CONFIG = Path("/etc/ucm-provision/ucm-provision.toml")


class Daemon:
    """One running daemon, in this process. Made by :func:`start`."""

    def __init__(
        self,
        settings: config.Configuration,
        site: Site,
        expected: ExpectedModules,
        witness: AnyWitness,
        *,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._site = site
        self._witness = witness
        self._journal = journal
        self._clock = clock
        self._started_at = clock.now()
        self.feed = Feed()
        self.record = Record(journal, self.feed, clock)
        gate = ApiGate(site.api, clock)
        site = replace(site, api=PatientApi(gate, clock))
        proofs = Proofs(site.plan)
        self._supervisor = Supervisor(self.record, SessionRunner(site, self.record, proofs), gate, site.plan, clock)
        self.operator = Operator(self.record, self._supervisor, proofs)
        self._book = OrderBook(journal, clock)
        self._orders = Orders(
            self._book,
            gate,
            clock,
            provision=ProvisionSteps(self._book, gate, site.plan).carry_out,
            replacement=ReplacementSteps(gate, expected, self.record, self.operator).carry_out,
        )
        self._blueprints = Blueprints(site.plan, self.record, self._book, self._orders, self.feed)
        self._more = (
            OrderRoutes(self._orders, self._book, self.record, gate.device, site.plan.protocol),
            ManifestRoutes(expected, self._manifest_imported),
        )

    async def load(self) -> None:
        """Takes up what the journal holds. Whoever asks earlier would take what is under way for unknown."""
        await self.record.load()
        await self._book.load()

    async def run(self) -> None:
        """Finds modules and takes care of them until cancelled."""
        by_udev = self._settings.values.usb.udev
        async with watching(self._settings.globs(), self._clock, by_udev=by_udev) as ports:
            # What is plugged in is known before anybody decides that something is not.
            await ports.look(self._supervisor.sight)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._witness.run(), name="witness")
                group.create_task(self._supervisor.run(), name="supervisor")
                group.create_task(self._orders.run(), name="orders")
                group.create_task(self._blueprints.run(), name="blueprints")
                group.create_task(ports.run(self._supervisor.sight), name="discovery")

    async def _manifest_imported(self, by: str) -> None:
        await self.operator.manifest_imported(by)
        await self._blueprints.look()

    def control(self) -> ControlApi:
        return ControlApi(self.status, self.record, self._timeline, self.operator, self.feed, more=self._more)

    def status(self) -> StatusView:
        plan, pause = self._site.plan, self._supervisor.pause
        return StatusView(
            version=version("ucm-provisiond"),
            api_version=API_VERSION,
            box_id=plan.box_id,
            started_at=self._started_at,
            api=ApiView(url=self._settings.values.api.url, site_id=plan.site_id),
            witness=self._witness.status,
            wifi=[network.ssid for network in plan.wifi],
            paused=_pause_view(pause) if pause else None,
            modules=dict(Counter(view["milestone"] for view in self.record.views())),
            orders=dict(Counter(order.state.value for order in self._book.orders())),
        )

    async def _timeline(self, session_id: str) -> list[TimelineEntry]:
        return [timeline_entry(entry.at, entry.event) for entry in await self._journal.history(session_id)]


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
    witness = _witness(settings, clock)
    async with AsyncExitStack() as stack:
        journal = await Journal.open(settings.file(settings.values.state.dir) / "journal.sqlite3")
        stack.push_async_callback(journal.close)
        api = await stack.enter_async_context(_api(settings))
        expected = _expected(settings)
        site = Site(_links(settings, timing), api, _check(settings), witness, clock, _plan(settings, expected))
        daemon = Daemon(settings, site, expected, witness, journal=journal, clock=clock)
        await daemon.load()
        await stack.enter_async_context(serve(daemon.control(), settings.file(settings.values.control.socket)))
        yield daemon


def _expected(settings: config.Configuration) -> ExpectedModules:
    values = settings.values
    configured = manifest.load(settings.file(values.site.manifest)) if values.site.manifest else {}
    return ExpectedModules(configured, settings.file(values.state.dir) / "manifest.csv")


def _plan(settings: config.Configuration, expected: ExpectedModules) -> SitePlan:
    values = settings.values
    return SitePlan(
        box_id=settings.box_id(),
        site_id=values.site.id or None,
        protocol=values.policy.protocol,
        wifi=settings.wifi(),
        trial_s=values.policy.trial_s,
        site_pop=settings.site_pop(),
        lan_site_pop=values.link.lan_site_pop,
        usb=values.policy.usb,
        lan=values.policy.lan,
        expected=expected,
    )


def _links(settings: config.Configuration, timing: Timing | None) -> SerialLinks:
    return SerialLinks(open_port, settings.values.usb.baud, timing)


def _api(settings: config.Configuration) -> HttpProvisioningApi:
    values = settings.values
    token_file = settings.token_file()
    _read_token(token_file, Code.TOKEN_MISSING)  # a site without a token is told so at once, not at the first module

    async def token() -> Secret[str]:
        return await asyncio.to_thread(_read_token, token_file, Code.API_UNAUTHORIZED)

    return HttpProvisioningApi(
        values.api.url,
        token,
        user=values.api.user or None,
        allow_http=values.api.allow_http,
        ca_file=settings.file(values.api.ca_file) if values.api.ca_file else None,
        overrides=Overrides(values.override.mqtt_host, values.override.mqtt_port, settings.time_source()),
    )


def _read_token(path: Path, missing: Code) -> Secret[str]:
    """Read anew for every call, so that a replaced token takes effect at once."""
    try:
        token = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise UcmError(missing, f"{path}: {why}") from error
    if not token:
        raise UcmError(missing, f"{path}: its first line is empty")
    return Secret(token)


def _check(settings: config.Configuration) -> ConnectionCheck:
    overridden = settings.values.override.time_sync is not None
    return ConnectionCheck(time_source_overridden=overridden, mode=settings.values.policy.check)


def _witness(settings: config.Configuration, clock: Clock) -> AnyWitness:
    file = settings.values.broker.witness
    return BrokerWitness(settings.file(file), clock) if file else NoWitness()


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
