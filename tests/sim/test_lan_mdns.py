"""What an independent listener hears of modules on the LAN."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest
from zeroconf import (
    DNSAddress,
    DNSPointer,
    DNSRecord,
    DNSService,
    DNSText,
    IPVersion,
    ServiceStateChange,
    Zeroconf,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from tests.sim.host import Secured
from tests.sim.lan_host import lan_secured
from tests.sim.sample import POP
from tests.sim.site import broker
from ucm_sim import Identity, LanFleet, LanModule, LanSegment, ScaledClock
from ucm_sim.messages import ucm_link_pb2 as pb

TYPE = "_ucm-prov._tcp.local."
DEADLINE_S = 8.0

RecordT = TypeVar("RecordT", bound=DNSRecord)


class Listener:
    """Browses, and looks at what is in its cache."""

    def __init__(self) -> None:
        self.zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
        self.removed: list[str] = []
        self._present: set[str] = set()
        self._browser = AsyncServiceBrowser(self.zeroconf.zeroconf, TYPE, handlers=[self._note])

    def _note(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed:
            self._present.discard(name)
            self.removed.append(name)
        else:
            self._present.add(name)

    async def hears_that(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that follows from what was heard."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                await self.zeroconf.zeroconf.async_wait(100)

    def lists(self, identity: Identity) -> bool:
        return name_of(identity) in self._present

    async def finds(self, *identities: Identity) -> None:
        await self.hears_that(lambda: all(map(self.lists, identities)))

    async def loses(self, *identities: Identity) -> None:
        await self.hears_that(lambda: not any(map(self.lists, identities)))

    def newest(self, kind: type[RecordT], name: str) -> RecordT | None:
        """What was heard last: a record that was replaced has a second to live (RFC 6762, section 10.2)."""
        records = self.zeroconf.zeroconf.cache.entries_with_name(name)
        good = [record for record in records if isinstance(record, kind)]
        return max(good, key=lambda record: record.created + record.ttl * 1000, default=None)

    def place(self, identity: Identity) -> tuple[str, int] | None:
        service = self.newest(DNSService, name_of(identity))
        address = self.newest(DNSAddress, service.server) if service else None
        return (socket.inet_ntoa(address.address), service.port) if service and address else None

    def state(self, identity: Identity) -> bytes:
        text = self.newest(DNSText, name_of(identity))
        return text.text.rpartition(b"state=")[2] if text else b""

    def heard_at(self, identity: Identity) -> float:
        """When it was last heard of, in milliseconds of some clock."""
        service = self.newest(DNSService, name_of(identity))
        assert service is not None
        return service.created

    def ttl(self, identity: Identity) -> int:
        service = self.newest(DNSService, name_of(identity))
        assert service is not None
        return service.ttl

    async def close(self) -> None:
        await self._browser.async_cancel()
        await self.zeroconf.async_close()


def name_of(identity: Identity) -> str:
    return f"ucm-{identity.hardware_id}.{TYPE}"


@pytest.fixture
def identity() -> Identity:
    # Other tests speak on the same loopback.
    return Identity(secrets.token_hex(16).upper(), POP, product="DRYER", firmware="7.1")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    yield listener
    await listener.close()


@pytest.fixture
async def segment() -> AsyncIterator[LanSegment]:
    async with LanSegment(["127.0.0.1"]) as segment:
        yield segment


@pytest.fixture
async def module(identity: Identity, segment: LanSegment, listener: Listener) -> AsyncIterator[LanModule]:
    async with LanModule(identity, None, segment, boot_s=0, clock=ScaledClock(20)) as module:
        await listener.finds(identity)
        yield module


async def push(module: LanModule, config: pb.ModuleConfig, port: int) -> None:
    config.hardware_id, config.mqtt_port = module.identity.hardware_id, port
    async with lan_secured(module.port, POP) as host:
        await Secured.push(host, config)


async def test_where_and_what_it_is(module: LanModule, listener: Listener, identity: Identity) -> None:
    await listener.hears_that(lambda: listener.place(identity) == ("127.0.0.1", module.port))
    info = AsyncServiceInfo(TYPE, name_of(identity))
    assert info.load_from_cache(listener.zeroconf.zeroconf)
    assert info.decoded_properties == {
        "v": "1",
        "id": identity.hardware_id,
        "product": "DRYER",
        "fw": "7.1",
        "state": "new",
    }
    assert listener.ttl(identity) == 120


async def test_it_answers_who_comes_later(module: LanModule, identity: Identity) -> None:
    late = Listener()
    try:
        await late.hears_that(lambda: late.place(identity) == ("127.0.0.1", module.port))
        assert late.lists(identity)
    finally:
        await late.close()


async def test_the_state_follows_the_configuration(
    module: LanModule, listener: Listener, identity: Identity, config: pb.ModuleConfig
) -> None:
    async with broker(connack=None) as silent:
        await push(module, config, silent.port)
        await listener.hears_that(lambda: listener.state(identity) == b"trial")
        await listener.hears_that(lambda: listener.state(identity) == b"new")
        await module.until(lambda module: module.is_listening, timeout=5)
    async with broker() as site:
        await push(module, config, site.port)
        await listener.hears_that(lambda: listener.state(identity) == b"active")
    assert name_of(identity) not in listener.removed


async def test_goodbye(module: LanModule, listener: Listener, identity: Identity) -> None:
    await module.power_off(goodbye=True)
    await listener.loses(identity)
    await module.power_on()
    await listener.finds(identity)


async def test_a_dead_module_says_no_goodbye(
    module: LanModule, segment: LanSegment, listener: Listener, identity: Identity
) -> None:
    await module.power_off()
    # Another module's goodbye is heard, and until then nothing of the dead one.
    other = Identity(secrets.token_hex(16).upper(), POP)
    async with LanModule(other, None, segment, boot_s=0, clock=ScaledClock(20)):
        await listener.finds(other)
    await listener.loses(other)
    assert listener.lists(identity)
    late = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    try:
        assert not await AsyncServiceInfo(TYPE, name_of(identity)).async_request(late.zeroconf, 500)
    finally:
        await late.async_close()


async def test_a_new_address_is_announced(module: LanModule, listener: Listener, identity: Identity) -> None:
    module.move("127.0.0.2", 0)
    await listener.hears_that(lambda: listener.place(identity) == ("127.0.0.2", module.port))
    assert name_of(identity) not in listener.removed


async def test_a_fleet_is_heard_in_seconds_and_says_goodbye(listener: Listener) -> None:
    async with LanSegment(ttl_s=30) as segment:
        fleet = LanFleet(60, segment, seed=secrets.token_hex(8), boot_s=0, clock=ScaledClock(20))
        async with fleet:
            await listener.finds(*fleet.identities)
            places = {(one.address, one.port) for one in fleet.modules}
            await listener.hears_that(lambda: set(map(listener.place, fleet.identities)) == places)
            assert listener.ttl(fleet.identities[0]) == 30
            assert fleet.tally() == {"new": 60, "IDLE": 60}
    await listener.loses(*fleet.identities)


async def test_a_module_may_say_again_who_it_is_without_being_asked(listener: Listener, identity: Identity) -> None:
    async with (
        LanSegment(ttl_s=30, reannounce_s=0.3) as segment,
        LanModule(identity, None, segment, boot_s=0, clock=ScaledClock(20)) as module,
    ):
        await listener.finds(identity)
        first = listener.heard_at(identity)
        # Both announcements of a module that is new are over a second after it appeared; nobody asks as early as that.
        await listener.hears_that(lambda: listener.heard_at(identity) - first > 1500)
        assert listener.place(identity) == (module.address, module.port)


async def test_without_mdns_nothing_is_heard(segment: LanSegment, listener: Listener, identity: Identity) -> None:
    async with LanSegment(mdns=False) as silent, LanModule(identity, None, silent, boot_s=0) as module:
        await module.until(lambda module: module.is_listening, timeout=5)
        other = Identity(secrets.token_hex(16).upper(), POP)
        async with LanModule(other, None, segment, boot_s=0):
            await listener.finds(other)
        assert not listener.lists(identity)


async def test_an_answer_that_was_held_back_does_not_follow_the_goodbye(
    module: LanModule, segment: LanSegment, listener: Listener, identity: Identity
) -> None:
    other = Identity(secrets.token_hex(16).upper(), POP)
    assert segment._responder is not None
    zeroconf = segment._responder._zeroconf.zeroconf
    held = {DNSPointer(TYPE, 12, 1, 120, name_of(each)): set[DNSRecord]() for each in (identity, other)}
    zeroconf.out_delay_queue.async_add(current_time_millis(), held)
    await module.power_off(goodbye=True)
    await listener.loses(identity)
    await listener.finds(other)
    assert not listener.lists(identity)
