"""Modules on the LAN in the air of a site: where they are reached, and whether, follows from their network."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.sim.lan_host import LanHost, Socket, lan_secured
from tests.sim.sample import POP
from tests.sim.site import broker
from ucm_sim import Air, Identity, LanFleet, LanModule, LanSegment, Network, ScaledClock
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.slots import Configuration, Slots

FAST = 20.0
OLD = pb.Wifi(ssid="old-wifi", passphrase="battery staple")
NEW = pb.Wifi(ssid="new-wifi", passphrase="correct horse")
KNOWN = {"old-wifi": "battery staple"}


@pytest.fixture
async def segments() -> AsyncIterator[list[LanSegment]]:
    """Home, and two others."""
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    home, old, new = (LanSegment([address], mdns=False) for address in addresses)
    async with home, old, new:
        yield [home, old, new]


@pytest.fixture
def air(segments: list[LanSegment]) -> Air:
    _, old, new = segments
    return Air([Network("old-wifi", "battery staple", segment=old), Network("new-wifi", "correct horse", segment=new)])


@pytest.fixture
async def module(identity: Identity, segments: list[LanSegment], air: Air) -> AsyncIterator[LanModule]:
    options = {"boot_s": 0, "baud": 0, "air": air, "wifi": KNOWN, "clock": ScaledClock(FAST)}
    async with LanModule(identity, None, segments[0], **options) as module:
        await listening_at(module, "127.0.0.2")
        yield module


@pytest.fixture
async def host(module: LanModule) -> AsyncIterator[LanHost]:
    async with lan_secured(module.port, POP, module.address) as host:
        yield host


async def listening_at(module: LanModule, address: str) -> None:
    await module.until(lambda module: module.is_listening and module.address == address, timeout=8)


async def unreachable(module: LanModule, *addresses: str) -> None:
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            await Socket.open(module.port, address)


async def online(module: LanModule) -> None:
    await module.until(lambda module: module.phase_name == "ONLINE", timeout=8)


async def test_it_is_where_its_network_is_and_nowhere_else(module: LanModule, host: LanHost) -> None:
    link = await host.link()
    assert (link.ssid, link.ip) == ("old-wifi", "127.0.0.2")
    await unreachable(module, "127.0.0.1", "127.0.0.3")


async def test_it_moves_to_another_network(module: LanModule, host: LanHost, config: pb.ModuleConfig) -> None:
    port = module.port
    async with broker() as site:
        config.mqtt_port = site.port
        config.wifi[0].CopyFrom(NEW)
        await host.push(config)
        assert await host.socket.is_closed()
        await listening_at(module, "127.0.0.3")
        assert module.port == port
        await unreachable(module, "127.0.0.1", "127.0.0.2")
        await module.until(lambda module: module.active_generation == 1, timeout=8)
        async with lan_secured(port, POP, "127.0.0.3") as there:
            link = await there.link()
    assert (link.ssid, link.ip, link.generation) == ("new-wifi", "127.0.0.3", 1)


async def test_a_roll_back_brings_it_back(module: LanModule, host: LanHost, config: pb.ModuleConfig) -> None:
    config.wifi[0].CopyFrom(NEW)
    await host.push(config)
    await listening_at(module, "127.0.0.3")
    await module.until(lambda module: not module.trial_generation, timeout=8)
    await listening_at(module, "127.0.0.2")
    assert module.unprovisioned


async def test_an_access_point_goes_away_in_the_middle_of_a_call(module: LanModule, host: LanHost, air: Air) -> None:
    await host.reserve()
    air.switch_off("old-wifi")
    assert await host.socket.is_closed()
    assert not module.is_listening
    await unreachable(module, "127.0.0.2")
    air.switch_on("old-wifi")
    await listening_at(module, "127.0.0.2")
    async with lan_secured(module.port, POP, "127.0.0.2") as again:
        # What it holds in RAM outlives the network.
        assert (await again.info()).reservation.owner == "box-1"


async def test_a_port_that_is_taken_elsewhere(module: LanModule, host: LanHost, air: Air) -> None:
    async with LanSegment(["127.0.0.4"], mdns=False) as other:
        blocking = await asyncio.start_server(lambda *_: None, "127.0.0.4", module.port)
        async with blocking:
            air["old-wifi"].segment = other
            air.switch_off("old-wifi")
            air.switch_on("old-wifi")
            await listening_at(module, "127.0.0.4")
            async with lan_secured(module.port, POP, "127.0.0.4") as there:
                assert (await there.link()).ip == "127.0.0.4"


async def test_a_network_without_an_address_to_give(
    identity: Identity, segments: list[LanSegment], config: pb.ModuleConfig
) -> None:
    nowhere = LanSegment(["192.0.2.250"], mdns=False)
    air = Air([Network("old-wifi", "battery staple"), Network("new-wifi", "correct horse", segment=nowhere)])
    options = {"boot_s": 0, "air": air, "wifi": KNOWN, "clock": ScaledClock(FAST)}
    async with LanModule(identity, None, segments[0], **options) as module:
        await listening_at(module, "127.0.0.1")
        config.wifi[0].CopyFrom(NEW)
        async with lan_secured(module.port, POP) as host:
            await host.push(config)
        await module.until(lambda module: module.phase_name == "DHCP", timeout=8)
        await module.until(lambda module: not module.trial_generation, timeout=8)
        await listening_at(module, "127.0.0.1")
        async with lan_secured(module.port, POP) as host:
            last = (await host.link()).last_trial
    assert (last.phase, last.reason) == (pb.DHCP, pb.DHCP_TIMEOUT)


async def test_two_hundred_modules_change_networks_within_seconds(
    segments: list[LanSegment], air: Air, config: pb.ModuleConfig
) -> None:
    fleet = LanFleet(200, segments[0], seed="site", air=air, wifi=KNOWN, boot_s=0, clock=ScaledClock(FAST))
    async with broker() as site, fleet:
        config.mqtt_port = site.port
        del config.wifi[:]
        config.wifi.extend([OLD, NEW])
        for module in fleet.modules:
            provisioned(module, config)
        await asyncio.gather(*map(online, fleet.modules))
        assert all(module.address == "127.0.0.2" for module in fleet.modules)
        air.switch_off("old-wifi")
        async with asyncio.timeout(8):
            await asyncio.gather(*(listening_at(module, "127.0.0.3") for module in fleet.modules))
            await asyncio.gather(*map(online, fleet.modules))
        assert {module.ssid for module in fleet.modules} == {"new-wifi"}
        assert len(site.logins) == 400


def provisioned(module: LanModule, config: pb.ModuleConfig) -> None:
    """Make a configuration the active one without a client: two hundred handshakes would take longer than the test."""
    config.hardware_id = module.identity.hardware_id
    stored = config.SerializeToString()
    digest = hashlib.sha256(stored).digest()
    slots = Slots(module._board.flash)
    slots.commit(Configuration(1, b"t" * 16, digest, "box-1", stored), pb.HOST, 30_000, "")
    slots.confirm(pb.ONLINE)
    module._board.reset()
