"""A plant in memory: modules on cables, an API, a broker and a clock that a test advances by hand.

Only for what a real port cannot show at will: timing and concurrency. Everything here is as simple as
the core's ports allow, and keeps their promises.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from tests.unit.engine.fake_clock import FakeClock, settle
from ucm_provision.core.campaign import Campaign
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Event
from ucm_provision.core.machine import Session
from ucm_provision.core.model import (
    Arrival,
    Carrier,
    ConfigState,
    Connection,
    Device,
    Endpoint,
    KeepCredentials,
    LastTrial,
    LinkState,
    ModuleConfiguration,
    ModuleInfo,
    PasswordCredentials,
    Phase,
    Product,
    ProofOfPossession,
    ProvisionArguments,
    Provisioned,
    Reason,
    Reservation,
    Sighting,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
    WifiNetwork,
    lan_key,
)
from ucm_provision.core.plan import ExpectedModule, SitePlan
from ucm_provision.core.ports import PopLookup
from ucm_provision.core.secret import Secret
from ucm_provision.engine.attempt import Site
from ucm_provision.engine.campaigns import Campaigns
from ucm_provision.engine.decommission import Decommission
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.gate import ApiGate, PatientApi
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.selection import Selection
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.supervisor import Supervisor

POP = ProofOfPossession(Secret("pop"))
SITE_ID = "site-1"
BOX = "box-a"


def hardware_id(number: int) -> str:
    return f"C8795CBA5375484E829105E9{number:08X}"


def port(number: int, plug: int = 0) -> Endpoint:
    """A serial port; another ``plug`` is a new appearance of the same address."""
    return Endpoint(Carrier.SERIAL, f"/dev/ttyUSB{number}", f"ttyUSB{number}-plug{plug}")


def lan(module: Module, *routes: str) -> Endpoint:
    """The endpoint under which a module announces itself on the LAN."""
    key = lan_key(module.hardware_id)
    return Endpoint(Carrier.HTTP, f"ucm-{module.hardware_id}", key, routes or ("192.0.2.7:80",))


def open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


class MemoryJournal:
    """Keeps events in a list; refuses them while ``broken``."""

    def __init__(self, stored: list[Session], campaigns: dict[str, Campaign] | None = None) -> None:
        self.stored = stored
        self.kept = {} if campaigns is None else campaigns
        self.events: list[tuple[str, Event]] = []
        self.broken = False

    async def append(self, session: Session, event: Event, at: float) -> int:
        await asyncio.sleep(0)
        if self.broken:
            raise UcmError(Code.JOURNAL_UNUSABLE, "disk full")
        self.events.append((session.id, event))
        return len(self.events)

    async def sessions(self) -> list[Session]:
        return self.stored

    async def keep_campaign(self, campaign: Campaign) -> None:
        await asyncio.sleep(0)
        self.kept[campaign.id] = campaign

    async def campaigns(self) -> list[Campaign]:
        return list(self.kept.values())


class SomeProfiles:
    """The site's networks, as a test sets them and the engine changes them."""

    def __init__(self) -> None:
        self.networks: tuple[WifiNetwork, ...] = ()

    def set(self, *ssids: str) -> None:
        self.networks = tuple(WifiNetwork(ssid, Secret("a passphrase")) for ssid in ssids)

    async def prefer(self, ssid: str, /) -> None:
        if ssid not in [each.ssid for each in self.networks]:
            raise UcmError(Code.WIFI_UNKNOWN, ssid)
        self.set(ssid, *(each.ssid for each in self.networks if each.ssid != ssid))

    async def drop(self, ssid: str, /) -> None:
        self.set(*(each.ssid for each in self.networks if each.ssid != ssid))


class Module:
    """A UCM that is online at once with whatever it is given, unless ``offline``."""

    def __init__(self, number: int) -> None:
        self.hardware_id = hardware_id(number)
        self.active: ConfigState | None = None
        self.reservation: Reservation | None = None
        self.offline = False
        self.transfer_gate = open_gate()
        self.leaves_for = 0  # attempts to meet it again on the LAN that are in vain after Commit
        self.deaf_for = 0
        self.blinks: list[int] = []
        self.issued = 0  # the last generation
        self.networks: tuple[str, ...] = ()
        self.ssid = ""
        self.only_tried = ""
        self.refuses = ""  # a network that is out of range
        self.revoked_when_asked = False  # the API ends old credentials as soon as it issues new ones
        self.credentials_live = False
        self.last_trial: LastTrial | None = None
        self.commits = 0
        self.confirmed = 0  # the generation that a host has confirmed
        self.kept = 0
        self.refuses_reset: UcmError | None = None
        self.writers = 0
        self.most_writers = 0

    @property
    def generation(self) -> int:
        return self.active.generation if self.active else 0

    @property
    def is_online(self) -> bool:
        return self.active is not None and not self.offline and self.credentials_live

    def commit(self, payload: bytes, transaction: bytes, device_id: str, only: str) -> int:
        """The trial ends at once: the module is online, or back on what it had."""
        pushed = json.loads(payload)
        self.issued, self.commits, self.only_tried = self.issued + 1, self.commits + 1, only
        self.kept += pushed["keep"]
        networks = tuple(pushed["networks"]) or self.networks
        taken = [ssid for ssid in ((only,) if only else networks) if ssid != self.refuses]
        if networks and not taken:
            self.last_trial = LastTrial(transaction, self.issued, Phase.WIFI, Reason.WIFI_NOT_FOUND)
            return self.issued
        self.networks, self.ssid = networks, taken[0] if taken else ""
        self.credentials_live = self.credentials_live if pushed["keep"] else True
        digest = hashlib.sha256(payload).digest()
        self.active = ConfigState(self.issued, digest, device_id, networks, BOX, transaction)
        return self.issued

    def reset(self) -> None:
        self.active, self.reservation, self.networks, self.last_trial = None, None, (), None
        self.credentials_live = False

    def info(self) -> ModuleInfo:
        return ModuleInfo(
            hardware_id=self.hardware_id,
            product=Product.UCM,
            model="ENP-RL6",
            firmware="2.4.1",
            channel_id="v1",
            active=self.active,
            trial=None,
            reservation=self.reservation,
            attached=(),
            uptime_ms=1000,
            clock_unix_ms=0,
        )

    def state(self) -> LinkState:
        phase = Phase.ONLINE if self.is_online else Phase.WIFI
        return LinkState(phase, Reason.NONE, self.generation, -60, "192.0.2.7", self.ssid, 0, "", self.last_trial)

    @contextmanager
    def written(self) -> Iterator[None]:
        self.writers += 1
        self.most_writers = max(self.most_writers, self.writers)
        try:
            yield
        finally:
            self.writers -= 1


class Cable:
    """What hangs on a port: a module, or nothing that answers. A dial waits for ``gate`` first."""

    def __init__(self, module: Module | None) -> None:
        self.module = module
        self.fault: Exception | None = None
        self.gate = open_gate()
        self.plugged = True


class Link:
    """One conversation over a cable. Dies with it."""

    announced_id = None

    def __init__(self, cable: Cable, module: Module, api: Api, *, roams: bool) -> None:
        self.roams = roams
        self._cable = cable
        self._module = module
        self._api = api
        self._payload = b""

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if not self._cable.plugged:
            raise UcmError(Code.DEVICE_GONE)

    def pack(self, configuration: ModuleConfiguration) -> bytes:
        keep = isinstance(configuration.connection.credentials, KeepCredentials)
        networks = [network.ssid for network in configuration.wifi]
        return json.dumps({"device": configuration.device_id, "networks": networks, "keep": keep}).encode()

    async def info(self) -> ModuleInfo:
        await self._turn()
        return self._module.info()

    async def reserve(self, owner: str, seconds: int) -> Reservation:
        await self._turn()
        self._module.reservation = Reservation(owner, seconds) if seconds else None
        return Reservation(owner, seconds)

    async def begin(self, transaction: bytes, payload: bytes, base_generation: int) -> int:
        await self._turn()
        if base_generation != self._module.generation:
            raise UcmError(Code.MODULE_CONFLICT)
        self._payload = payload
        return 0

    async def chunk(self, transaction: bytes, payload: bytes, offset: int) -> int:
        with self._module.written():
            await self._module.transfer_gate.wait()
            await self._turn()
        return len(payload)

    async def commit(
        self, transaction: bytes, *, trial_s: int, now_unix_ms: int, ssid: str = "", by_host: bool = False
    ) -> int:
        await self._turn()
        device = self._api.devices[self._module.hardware_id]
        generation = self._module.commit(self._payload, transaction, device.id, ssid)
        self._module.deaf_for = self._module.leaves_for if self.roams else 0
        return generation

    async def confirm(self, generation: int) -> None:
        await self._turn()
        self._module.confirmed = generation

    async def abort(self, transaction: bytes) -> None:
        await self._turn()

    async def reset(self) -> None:
        await self._turn()
        assert self._module.reservation is not None, "only whoever has the module may reset it"
        if self._module.refuses_reset:
            raise self._module.refuses_reset
        self._module.reset()

    async def state(self) -> LinkState:
        await self._turn()
        if self._module.deaf_for:
            self._module.deaf_for -= 1
            raise UcmError(Code.LINK_SILENT)
        return self._module.state()

    async def identify(self, seconds: int) -> None:
        await self._turn()
        self._module.blinks.append(seconds)


class Cables:
    """The ports of the box, and what hangs on them. Implements DeviceLinks."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._cables: dict[str, Cable] = {}
        self.dialled: list[str] = []
        self.open = 0
        self.most_open = 0

    def __getitem__(self, endpoint: Endpoint) -> Cable:
        return self._cables[endpoint.key]

    def connect(self, endpoint: Endpoint, module: Module | None) -> None:
        self._cables[endpoint.key] = Cable(module)

    def cut(self, endpoint: Endpoint) -> None:
        self._cables.pop(endpoint.key).plugged = False

    @asynccontextmanager
    async def dial(self, endpoint: Endpoint, pop_for: PopLookup) -> AsyncIterator[Link]:
        self.dialled.append(endpoint.address)
        cable = self._cables[endpoint.key]
        with self._counted():
            await cable.gate.wait()
            if cable.fault:
                raise cable.fault
            if cable.module is None:
                raise UcmError(Code.LINK_SILENT)
            if pop_for(None) is None:
                raise UcmError(Code.POP_MISSING)
            yield Link(cable, cable.module, self._api, roams=endpoint.carrier is Carrier.HTTP)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            yield
        finally:
            self.open -= 1


class Api:
    """Knows every module that was added, and sees each as online with what it holds."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self._modules = modules
        self.devices: dict[str, Device] = {}
        self.fault: Exception | None = None
        self.gate = open_gate()
        self.asked: Counter[str] = Counter()
        self.refuses_names = False
        self.certificates_end_in: float | None = None  # seconds; None: passwords
        self.now: Callable[[], float] = lambda: 0.0

    origin = "https://api.test"

    async def site_id(self) -> str:
        return SITE_ID

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        hw = arguments.hardware_id
        self.asked[hw] += 1
        await self.gate.wait()
        if self.fault:
            raise self.fault
        device = self.devices.setdefault(hw, device_of(hw, arguments.name))  # one that is known keeps its name
        if self._modules[hw].revoked_when_asked:
            self._modules[hw].credentials_live = False
        return Provisioned(device.id, device.slug, self._connection(hw))

    def _connection(self, hw: str) -> Connection:
        if self.certificates_end_in is None:
            return connection(hw)
        begins = self.now()
        tls = TlsCredentials(Secret(b""), b"", (), begins - 365 * 86400.0, begins + self.certificates_end_in)
        return replace(connection(hw), credentials=tls)

    async def device(self, device_id: str) -> Device | None:
        await asyncio.sleep(0)
        if isinstance(self.fault, UcmError) and self.fault.code is Code.API_UNAUTHORIZED:
            raise self.fault  # a bad token is bad for every call
        for hw, device in self.devices.items():
            if device.id == device_id:
                module = self._modules[hw]
                online = module.is_online
                return replace(device, online=online, config_generation=module.generation if online else None)
        return None

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        if self.refuses_names:
            raise UcmError(Code.API_REJECTED, "names are fixed here")
        (hw,) = [hw for hw, device in self.devices.items() if device.id == device_id]
        device = self.devices[hw]
        self.devices[hw] = replace(device, name=name or device.name, slug=slug or device.slug)
        return self.devices[hw]


def device_of(hw: str, name: str) -> Device:
    return Device(f"device-{hw[-4:]}", f"slug-{hw[-4:]}", name, SITE_ID, hw, False, None)


def connection(hw: str) -> Connection:
    credentials = PasswordCredentials("user", Secret("password"))
    return Connection(hw, "v1", "broker.test", 1883, credentials, TimeSource(TimeProtocol.NTP, "ntp.test", 123))


class WillingBroker:
    """Takes every connection. Implements BrokerCheck."""

    async def check(self, connection: Connection) -> list[str]:
        await asyncio.sleep(0)
        return []


class BlindWitness:
    """A witness without a broker: yields nothing and raises nothing."""

    @asynccontextmanager
    async def watch(self, hardware_id: str) -> AsyncIterator[AsyncIterator[Arrival]]:
        yield Nothing()


class Nothing:
    """Never yields and never ends, also after a wait for it was called off."""

    def __aiter__(self) -> AsyncIterator[Arrival]:
        return self

    async def __anext__(self) -> Arrival:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


class MemoryProofs:
    """Keeps the proofs that operators type for as long as the plant stands."""

    def __init__(self) -> None:
        self.proofs: dict[str, ProofOfPossession] = {}

    async def change_proofs(self, changes: Mapping[str, ProofOfPossession | None]) -> None:
        for of, proof in changes.items():
            self.proofs.pop(of, None)
            if proof:
                self.proofs[of] = proof


class Plant:
    """Everything around the engine, and the engine itself between :meth:`running`'s entry and exit.

    ``before``: the plant whose daemon was stopped; time, modules and API go on, and the journal is kept.
    """

    def __init__(self, before: Plant | None = None, **policy: Any) -> None:
        self.clock: FakeClock = before.clock if before else FakeClock()
        self.modules: dict[str, Module] = before.modules if before else {}
        self.api: Api = before.api if before else Api(self.modules)
        self.api.now = self.clock.now
        self.cables = Cables(self.api)
        self.journal = MemoryJournal(before.record.sessions() if before else [], before.journal.kept if before else {})
        self.feed = Feed()
        self.record: Record = Record(self.journal, self.feed, self.clock)
        self.expected: dict[str, ExpectedModule] = before.expected if before else {}
        self.profiles: SomeProfiles = before.profiles if before else SomeProfiles()
        plan = SitePlan(BOX, site_pop=POP, expected=self.expected, profiles=self.profiles, **policy)
        site = Site(self.cables, self.api, WillingBroker(), BlindWitness(), self.clock, plan)
        self.gate = ApiGate(site.api, self.clock)
        site = replace(site, api=PatientApi(self.gate, self.clock))
        self.kept_proofs: MemoryProofs = before.kept_proofs if before else MemoryProofs()
        self.proofs = Proofs(plan, self.kept_proofs)
        runner = SessionRunner(site, self.record, self.proofs)
        self.supervisor = Supervisor(self.record, runner, self.gate, plan, self.clock)
        self.selection = Selection(self.record, self.supervisor, plan, self.proofs)
        self.campaigns = Campaigns(
            self.journal,
            self.record,
            self.supervisor,
            self.selection,
            profiles=self.profiles,
            feed=self.feed,
            clock=self.clock,
        )
        self.operator = Operator(self.record, self.supervisor, self.proofs, self.gate)
        self.decommission = Decommission(
            self.record, self.supervisor, self.proofs, self.campaigns, plan=plan, clock=self.clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Plant]:
        await self.record.load()
        await self.campaigns.load()
        running = [asyncio.create_task(self.supervisor.run()), asyncio.create_task(self.campaigns.run())]
        try:
            yield self
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def module(self, number: int) -> Module:
        module = Module(number)
        self.modules[module.hardware_id] = module
        return module

    def list(self, module: Module) -> None:
        """The manifest has the module, with its own proof of possession."""
        self.expected[module.hardware_id] = ExpectedModule(module.hardware_id, pop=POP)

    async def announce(self, module: Module, *routes: str, met: Module | None = None, state: str = "new") -> Endpoint:
        """The module is on the LAN. ``met``: who really answers at its address."""
        endpoint = lan(module, *routes)
        self.cables.connect(endpoint, met or module)
        await self.supervisor.sight(Sighting(endpoint, True, module.hardware_id, state))
        return endpoint

    async def plug(self, endpoint: Endpoint, module: Module | None) -> None:
        self.cables.connect(endpoint, module)
        await self.supervisor.sight(Sighting(endpoint, present=True))

    async def unplug(self, endpoint: Endpoint) -> None:
        self.cables.cut(endpoint)
        await self.supervisor.sight(Sighting(endpoint, present=False))
        await settle()

    def session(self, module: Module) -> Session:
        """The latest session of a module."""
        return [session for session in self.record.sessions() if session.hardware_id == module.hardware_id][-1]

    def at(self, endpoint: Endpoint) -> Session | None:
        return self.record.latest_at(endpoint.key)
