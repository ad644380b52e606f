"""What one conversation with one module has at hand: the link, the journalled session, the reservation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from ucm_provision.core import policy
from ucm_provision.core.errors import UcmError
from ucm_provision.core.events import Event
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Arrival, Carrier, Connection, Device, ModuleInfo
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import BrokerCheck, Clock, DeviceLink, DeviceLinks, ProvisioningApi, Witness
from ucm_provision.engine.locks import ModuleLock
from ucm_provision.engine.record import Record
from ucm_provision.wire import Step


@dataclass(frozen=True, slots=True)
class Site:
    """Everything outside that the steps talk to."""

    links: DeviceLinks
    api: ProvisioningApi
    broker: BrokerCheck
    witness: Witness
    clock: Clock
    plan: SitePlan


@dataclass(slots=True)
class Work:
    """What a session holds in memory only: fresh credentials, and the bytes being pushed.

    Kept across an unplugged cable, so that the push resumes where it stopped; dropped with the session.
    """

    connection: Connection | None = field(default=None, repr=False)
    checked: bool = False
    payload: bytes = field(default=b"", repr=False)


class ReservedModule:
    """Our reservation of a module, renewed whenever half of it is over."""

    def __init__(self, link: DeviceLink, owner: str, clock: Clock) -> None:
        self._link = link
        self._owner = owner
        self._clock = clock
        self._renew_at: float | None = None

    async def keep(self) -> None:
        """Holds the module for a while longer. Raises UcmError(module_busy)."""
        if self._renew_at is None or self._clock.monotonic() >= self._renew_at:
            await self.hold(policy.RESERVE_SECONDS)

    async def hold(self, seconds: int) -> None:
        await self._link.reserve(self._owner, seconds)
        self._renew_at = self._clock.monotonic() + seconds / 2

    async def release(self) -> None:
        """Lets another box have the module. No matter if it fails: a reservation ends by itself."""
        if self._renew_at is None:
            return
        self._renew_at = None
        try:
            await self._link.reserve(self._owner, 0)
        except UcmError:
            return


@dataclass(slots=True)
class Attempt:
    """One conversation with one module, on one open link."""

    site: Site
    record: Record
    session: Session
    link: DeviceLink
    info: ModuleInfo
    reserved: ReservedModule
    work: Work
    stack: AsyncExitStack
    lock: ModuleLock
    arrivals: AsyncIterator[Arrival] | None = None
    before: Device | None = None
    committed: bool = False

    @property
    def hardware_id(self) -> str:
        return self.info.hardware_id

    async def note(self, event: Event) -> None:
        """Journals what has become true."""
        self.session = await self.record.add(self.session.id, event)

    def show(self, step: Step, detail: str = "") -> None:
        self.record.busy(self.session.id, step, detail)

    @property
    def is_on_bench(self) -> bool:
        """Whether the module is configured here for a network that is elsewhere."""
        return self.site.plan.verify_later and self.session.endpoint.carrier is Carrier.SERIAL

    def give_way_to_cable(self) -> None:
        """Ends a conversation over the LAN, by GiveWay, if a cable to the module waits. Not once it is written to."""
        self.lock.give_way(self.session.endpoint.carrier)

    async def watch(self) -> AsyncIterator[Arrival]:
        """The module's messages at the broker, from the first call on."""
        if self.arrivals is None:
            self.arrivals = await self.stack.enter_async_context(self.site.witness.watch(self.hardware_id))
        return self.arrivals
