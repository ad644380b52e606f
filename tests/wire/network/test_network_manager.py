"""The box's own Wi-Fi, as NetworkManager tells it over a real bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from dbus_fast import Variant

from tests.wire.network.bus import (
    ACCESS_POINT,
    ACTIVATING,
    ACTIVE,
    DEADLINE,
    HOTSPOT,
    NAME,
    ROOT,
    WIRELESS,
    Bus,
    NetworkManager,
    network_manager,
    running,
)
from tests.wire.network.held_clock import HeldClock
from ucm_provision.core import policy
from ucm_provision.host import network_manager as adapter

pytestmark = pytest.mark.system


class Watch:
    """The watch of one box, a step at a time: between its looks it rests until the test goes on."""

    def __init__(self, clock: HeldClock) -> None:
        self.clock = clock
        self.untold = asyncio.Queue[str | None]()

    async def told(self) -> str | None:
        return await asyncio.wait_for(self.untold.get(), DEADLINE)

    async def look(self) -> None:
        """It hears of a change, looks, and rests again. Whatever was changed before has been seen then."""
        await self.clock.wake(policy.BOX_NETWORK_PAUSE)
        await self.clock.asleep(policy.BOX_NETWORK_PAUSE)

    async def settle(self) -> None:
        await self.clock.wake(policy.BOX_NETWORK_SETTLE)


@asynccontextmanager
async def watching(address: str) -> AsyncIterator[Watch]:
    watch = Watch(HeldClock())
    network = adapter.NetworkManager(watch.clock, address)
    task = asyncio.create_task(network.watch(watch.untold.put))
    try:
        yield watch
        assert watch.untold.empty()
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()


async def first_look(bus: Bus) -> str | None:
    async with watching(bus.address) as watch:
        return await watch.told()


async def test_first_it_tells_what_there_is(bus: Bus, manager: NetworkManager) -> None:
    await manager.join(await manager.add_device("wlan0"), "plant-wifi")
    assert await first_look(bus) == "plant-wifi"


async def test_a_box_without_wifi_has_none(bus: Bus, manager: NetworkManager) -> None:
    assert await first_look(bus) is None


async def test_a_move_is_told_once_it_has_settled(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    old = await manager.join(device, "plant-wifi")
    async with watching(bus.address) as watch:
        assert await watch.told() == "plant-wifi"
        await manager.leave(device, old)
        await manager.join(device, "hall-7")
        await watch.look()
        await watch.clock.asleep(policy.BOX_NETWORK_SETTLE)
        assert watch.untold.empty()
        await watch.settle()
        assert await watch.told() == "hall-7"


async def test_a_lost_connection_is_told_once_it_has_settled(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    active = await manager.join(device, "plant-wifi")
    async with watching(bus.address) as watch:
        assert await watch.told() == "plant-wifi"
        await manager.leave(device, active)
        await watch.look()
        await watch.settle()
        assert await watch.told() is None


async def test_what_comes_back_within_the_settle_time_was_no_move(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    plant, hall = await manager.add_network(device, "plant"), await manager.add_network(device, "hall")
    await manager.join(device, "plant-wifi")
    async with watching(bus.address) as watch:
        assert await watch.told() == "plant-wifi"
        for access_point in (hall, plant, hall):
            await manager.roam(device, access_point)
            await watch.look()
        await watch.settle()  # it moved meanwhile, so all of it begins anew
        await watch.settle()
        assert await watch.told() == "hall"
        await manager.roam(device, plant)
        await watch.look()
        await manager.roam(device, hall)
        await watch.look()
        await watch.settle()
        await watch.settle()


async def test_roaming_between_access_points_of_one_network_is_no_move(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    await manager.join(device, "plant-wifi")
    other = await manager.add_network(device, "to be renamed")
    await manager.change(other, ACCESS_POINT, "Ssid", Variant("ay", b"plant-wifi"))
    async with watching(bus.address) as watch:
        assert await watch.told() == "plant-wifi"
        await manager.roam(device, other)
        await watch.look()
        assert not watch.clock.sleeps(policy.BOX_NETWORK_SETTLE)


async def test_of_several_devices_the_primary_connections_counts(bus: Bus, manager: NetworkManager) -> None:
    await manager.join(await manager.add_device("wlan0"), "first")
    second = await manager.join(await manager.add_device("wlan1"), "second")
    async with watching(bus.address) as watch:
        assert await watch.told() == "first"
        await manager.set_primary(second)
        await watch.look()
        await watch.settle()
        assert await watch.told() == "second"


async def test_what_is_not_up_yet_does_not_count(bus: Bus, manager: NetworkManager) -> None:
    active = await manager.join(await manager.add_device("wlan0"), "plant-wifi", ACTIVATING)
    async with watching(bus.address) as watch:
        assert await watch.told() is None
        await manager.change(active, ACTIVE, "State", Variant("u", 2))
        await watch.look()
        await watch.settle()
        assert await watch.told() == "plant-wifi"


async def test_a_hotspot_of_the_boxs_own_is_not_a_network_that_it_is_on(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    await manager.join(device, "box-setup")
    await manager.change(device, WIRELESS, "Mode", Variant("u", HOTSPOT))
    assert await first_look(bus) is None


@pytest.mark.parametrize(
    ("ssid", "told"),
    [
        (b"W\xc3\xa4rmehaus", "Wärmehaus"),
        (b"x" * 32, "x" * 32),
        (b"x" * 33, None),
        (b"W\xe4rmehaus", None),
        (b"", None),
    ],
)
async def test_an_ssid_is_up_to_32_bytes_of_text(
    bus: Bus, manager: NetworkManager, ssid: bytes, told: str | None
) -> None:
    device = await manager.add_device("wlan0")
    await manager.join(device, "plant-wifi")
    access_point = f"{ROOT}/AccessPoint/{b'plant-wifi'.hex()}"
    await manager.change(access_point, ACCESS_POINT, "Ssid", Variant("ay", ssid))
    assert await first_look(bus) == told


ODD = [
    (NAME, "ActiveConnections", Variant("s", "/")),
    (NAME, "ActiveConnections", Variant("ao", [])),
    (NAME, "ActiveConnections", Variant("ao", ["/gone"] * 1000)),
    (ACTIVE, "Devices", Variant("ao", [])),
    (ACTIVE, "Devices", Variant("ao", ["/gone"])),
    (ACTIVE, "State", Variant("s", "activated")),
    (ACTIVE, "Type", Variant("s", "802-3-ethernet")),
    (WIRELESS, "ActiveAccessPoint", Variant("o", "/gone")),
    (WIRELESS, "ActiveAccessPoint", Variant("i", 1)),
    (ACCESS_POINT, "Ssid", Variant("s", "plant-wifi")),
]


@pytest.mark.parametrize(("interface", "name", "value"), ODD, ids=lambda it: str(it)[-40:])
async def test_an_odd_answer_is_no_network(
    bus: Bus, manager: NetworkManager, interface: str, name: str, value: Variant
) -> None:
    device = await manager.add_device("wlan0")
    active = await manager.join(device, "plant-wifi")
    access_point = f"{ROOT}/AccessPoint/{b'plant-wifi'.hex()}"
    path = {NAME: ROOT, ACTIVE: active, WIRELESS: device, ACCESS_POINT: access_point}[interface]
    await manager.change(path, interface, name, value)
    assert await first_look(bus) is None


async def test_what_no_signal_tells_is_seen_now_and_then(bus: Bus, manager: NetworkManager) -> None:
    device = await manager.add_device("wlan0")
    await manager.join(device, "hidden")
    access_point = f"{ROOT}/AccessPoint/{b'hidden'.hex()}"
    await manager.change(access_point, ACCESS_POINT, "Ssid", Variant("ay", b""))
    async with watching(bus.address) as watch:
        assert await watch.told() is None
        await manager.change(access_point, ACCESS_POINT, "Ssid", Variant("ay", b"hidden"))
        await watch.clock.wake(policy.BOX_NETWORK_EVERY)
        await watch.look()
        await watch.settle()
        assert await watch.told() == "hidden"


async def test_a_restart_of_network_manager_is_no_move(bus: Bus) -> None:
    async with watching(bus.address) as watch:
        await watch.clock.asleep(policy.BOX_NETWORK_PAUSE)
        async with restarted(bus, watch, "plant-wifi"):
            assert await watch.told() == "plant-wifi"
        async with restarted(bus, watch, "plant-wifi"):
            await watch.settle()
            await watch.settle()
        async with restarted(bus, watch, "hall-7"):
            await watch.settle()
            await watch.settle()
            assert await watch.told() == "hall-7"


@asynccontextmanager
async def restarted(bus: Bus, watch: Watch, ssid: str) -> AsyncIterator[None]:
    """NetworkManager comes up with the box on that network, and goes away; the watch sees both."""
    async with network_manager(bus) as manager:
        await manager.join(await manager.add_device("wlan0"), ssid)
        await watch.look()
        yield
    await watch.look()


async def test_the_bus_may_die_and_come_back(bus: Bus) -> None:
    with structlog.testing.capture_logs() as logs:
        async with watching(bus.address) as watch:
            await watch.clock.asleep(policy.BOX_NETWORK_PAUSE)
            async with network_manager(bus) as manager:
                await manager.join(await manager.add_device("wlan0"), "plant-wifi")
                await watch.look()
                assert await watch.told() == "plant-wifi"
                await bus.end()
            await watch.clock.wake(policy.BOX_NETWORK_PAUSE)
            for delay in (1.0, 2.0, 4.0):
                await watch.clock.wake(delay)
            await watch.clock.asleep(8.0)
            await bus.start()
            async with network_manager(bus) as manager:
                await manager.join(await manager.add_device("wlan0"), "hall-7")
                await watch.clock.wake(8.0)
                await watch.clock.asleep(policy.BOX_NETWORK_PAUSE)
                await watch.settle()
                await watch.settle()
                assert await watch.told() == "hall-7"
                await bus.end()
            await watch.clock.wake(policy.BOX_NETWORK_PAUSE)
            await watch.clock.asleep(policy.BUS_RECONNECT_FIRST)
    assert [entry["status"] for entry in logs] == [
        "NetworkManager is not there",
        "NetworkManager is followed",
        "no use of the system bus",
        "NetworkManager is followed",
        "no use of the system bus",
    ]


async def test_a_network_manager_that_hangs_is_given_up(
    bus: Bus, manager: NetworkManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await manager.add_device("wlan0")
    await manager.join(device, "plant-wifi")
    async with watching(bus.address) as watch:
        assert await watch.told() == "plant-wifi"
        await manager.set_primary("/elsewhere")  # stirs
        monkeypatch.setattr(policy, "BUS_CALL_DEADLINE", 0.1)
        with manager.hanging():
            await watch.clock.wake(policy.BOX_NETWORK_PAUSE)
            await watch.clock.asleep(policy.BUS_RECONNECT_FIRST)


async def test_a_bus_that_lets_nobody_listen_is_no_use(tmp_path: Path) -> None:
    bus = Bus(tmp_path, '<limit name="max_match_rules_per_connection">1</limit>')
    with structlog.testing.capture_logs() as logs:
        async with running(bus), watching(bus.address) as watch:
            await watch.clock.wake(1.0)
            await watch.clock.asleep(2.0)
    assert [entry["reason"] for entry in logs] == ["the bus refuses: org.freedesktop.DBus.Error.LimitsExceeded"]


async def test_asking_starts_no_network_manager(tmp_path: Path) -> None:
    bus, asked = Bus(tmp_path), tmp_path / "asked"
    bus.offer(f"/bin/sh -c 'touch {asked}; exit 1'")
    async with running(bus):
        async with watching(bus.address) as watch:
            await watch.clock.asleep(policy.BOX_NETWORK_PAUSE)
        assert not asked.exists()
        await bus.ask_for_network_manager()
        assert asked.exists()


BROKEN = [
    b"",
    b"REJECTED\r\n",
    b"nonsense" * 10_000,
    b"OK 00112233445566778899aabbccddeeff\r\n",
    b"OK 00112233445566778899aabbccddeeff\r\n" + b"\xff" * 64,
    b"OK 00112233445566778899aabbccddeeff\r\n" + b"l\x02\x00\x01\xff\xff\xff\x07\x01\x00\x00\x00\xff\xff\xff\x03",
]


@pytest.mark.parametrize("says", BROKEN, ids=range(len(BROKEN)))
async def test_what_is_no_bus_is_tried_again_and_again(tmp_path: Path, says: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await reader.read(64)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "bus"):
        with structlog.testing.capture_logs() as logs:
            async with watching(f"unix:path={tmp_path / 'bus'}") as watch:
                await watch.clock.wake(1.0)
                await watch.clock.wake(2.0)
                await watch.clock.asleep(4.0)
    assert [entry["status"] for entry in logs] == ["no use of the system bus"]


@pytest.mark.parametrize(
    "address", ["unix:path=/nowhere/bus", "nonsense", "unix:", "carrier-pigeon:loft=3", "tcp:port=x"]
)
async def test_a_box_without_a_bus_is_asked_less_and_less_often(address: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with watching(address) as watch:
            for delay in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
                await watch.clock.wake(delay)
            await watch.clock.asleep(60.0)
    assert [entry["status"] for entry in logs] == ["no use of the system bus"]


async def test_what_the_listener_raises_ends_the_watch(bus: Bus) -> None:
    async def fail(ssid: str | None) -> None:
        raise ZeroDivisionError

    async with network_manager(bus):
        with pytest.raises(ExceptionGroup) as ended:
            await adapter.NetworkManager(HeldClock(), bus.address).watch(fail)
    assert ended.group_contains(ZeroDivisionError)
