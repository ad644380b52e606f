"""A plant in memory: modules on cables, an API, a broker and a clock that a test advances by hand.

Only for what a real port cannot show at will: timing and concurrency. Everything here is as simple as
the core's ports allow, and obeys their promises.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Event, Seen
from ucm_provision.core.machine import Session
from ucm_provision.core.model import (
    Arrival,
    Carrier,
    ConfigState,
    Connection,
    Device,
    Endpoint,
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
)
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import PopLookup
from ucm_provision.core.secret import Secret
from ucm_provision.engine.attempt import Site
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.record import Record
from ucm_provision.engine.session import SessionRunner
from ucm_provision.engine.supervisor import Supervisor

SITE_ID = "site-1"
BOX = "box-a"
START = 1_700_000_000.0


def hardware_id(number: int) -> str:
    return f"C8795CBA5375484E829105E9{number:08X}"


def port(number: int, plug: int = 0) -> Endpoint:
    """A serial port; another ``plug`` is a new appearance of the same address."""
    return Endpoint(Carrier.SERIAL, f"/dev/ttyUSB{number}", f"ttyUSB{number}-plug{plug}")


class FakeClock:
    """Stands still until :meth:`advance`. Sleepers wake in order, each at its own time."""

    def __init__(self) -> None:
        self._now = START
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - START

    def synchronized(self) -> bool:
        return True

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Lets ``seconds`` pass; whoever wakes on the way does what it has to do at its own time."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                self._now = max(self._now, at)
                wake.set_result(None)
                await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Lets every task run until all of them wait. Nothing in this plant needs anything but the loop."""
    for _ in range(200):
        await asyncio.sleep(0)


class MemoryJournal:
    """Keeps events in a list; refuses them while ``broken``."""

    def __init__(self, stored: list[Session] | None = None) -> None:
        self.stored = stored or []
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


@dataclass
class Module:
    """A UCM: gets online at once with whatever it is given, unless told otherwise."""

    number: int
    active: ConfigState | None = None
    reservation: Reservation | None = None
    last: LinkState | None = None
    offline: bool = False
    conversations: int = 0
    overlapped: bool = False

    @property
    def hardware_id(self) -> str:
        return hardware_id(self.number)

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
        generation = self.active.generation if self.active else 0
        phase = Phase.WIFI if self.offline or not self.active else Phase.ONLINE
        return LinkState(phase, Reason.NONE, generation, -60, "192.0.2.7", "plant", 0, "", None)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Notes when two conversations change the module at once."""
        self.conversations += 1
        self.overlapped = self.overlapped or self.conversations > 1
        try:
            yield
        finally:
            self.conversations -= 1


class Cable:
    """What hangs on a port: a module, or nothing that answers. ``fault`` replaces the next dials' outcome."""

    def __init__(self, module: Module | None) -> None:
        self.module = module
        self.fault: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.dials = 0


class Link:
    """One conversation. Dies with its cable."""

    announced_id = None

    def __init__(self, module: Module, plant: Plant, endpoint: Endpoint) -> None:
        self._module = module
        self._plant = plant
        self._endpoint = endpoint
        self._payload = b""

    def _alive(self) -> None:
        if self._plant.cables.get(self._endpoint.key) is None:
            raise UcmError(Code.DEVICE_GONE, self._endpoint.address)

    async def info(self) -> ModuleInfo:
        self._alive()
        return self._module.info()

    async def reserve(self, owner: str, seconds: int) -> Reservation:
        self._alive()
        self._module.reservation = Reservation(owner, seconds) if seconds else None
        return Reservation(owner, seconds)

    async def begin(self, transaction: bytes, payload: bytes, base_generation: int) -> int:
        self._alive()
        self._payload = payload
        return 0

    async def chunk(self, transaction: bytes, payload: bytes, offset: int) -> int:
        with self._module.in_use():
            await settle_a_little()
            self._alive()
            return len(payload)

    async def commit(self, transaction: bytes, *, trial_s: int, now_unix_ms: int) -> int:
        self._alive()
        before = self._module.active
        generation = before.generation + 1 if before else 1
        digest = hashlib.sha256(self._payload).digest()
        device = self._plant.api.devices[self._module.hardware_id].id
        self._module.active = ConfigState(generation, digest, device, ("plant",), BOX, transaction)
        return generation

    async def abort(self, transaction: bytes) -> None:
        self._alive()

    async def state(self) -> LinkState:
        self._alive()
        return self._module.state()

    async def identify(self, seconds: int) -> None:
        self._alive()


async def settle_a_little() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@dataclass
class Api:
    """Knows every module that was added; sees it online at the generation it holds."""

    plant: Plant
    devices: dict[str, Device] = field(default_factory=dict)
    fault: BaseException | None = None
    asked: list[str] = field(default_factory=list)

    async def site_id(self) -> str:
        return SITE_ID

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        self.asked.append(arguments.hardware_id)
        await settle_a_little()
        if self.fault:
            raise self.fault
        device_id = f"device-{arguments.hardware_id[-8:]}"
        self.devices[arguments.hardware_id] = Device(
            device_id, "slug", arguments.name, SITE_ID, arguments.hardware_id, online=False, config_generation=None
        )
        return Provisioned(device_id, "slug", connection(arguments.hardware_id))

    async def device(self, device_id: str) -> Device | None:
        for module in self.plant.modules:
            device = self.devices.get(module.hardware_id)
            if device and device.id == device_id:
                return module_as_seen(device, module)
        return None


def module_as_seen(device: Device, module: Module) -> Device:
    generation = module.active.generation if module.active else None
    online = module.active is not None and not module.offline
    return Device(
        device.id, device.slug, device.name, device.site_id, device.hardware_id, online, generation if online else None
    )


def connection(hw: str) -> Connection:
    credentials = PasswordCredentials("user", Secret("password"))
    return Connection(hw, "v1", "broker.test", 1883, credentials, TimeSource(TimeProtocol.NTP, "ntp.test", 123))


class Plant:
    """Everything around the engine. The daemon inside runs between :meth:`running`'s entry and exit."""

    def __init__(self, *, stored: list[Session] | None = None) -> None:
        self.clock = FakeClock()
        self.modules: list[Module] = []
        self.cables: dict[str, Cable] = {}
        self.dialled: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.api = Api(self)
        self.journal = MemoryJournal(stored)
        self.feed = Feed()
        self.record = Record(self.journal, self.feed, self.clock)
        plan = SitePlan(BOX, site_pop=ProofOfPossession(Secret("pop")))
        self.runner = SessionRunner(Site(self, self.api, self, self, self.clock, plan), self.record)
        self.supervisor = Supervisor(self.record, self.runner, self.clock)
