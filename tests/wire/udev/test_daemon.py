"""From a uevent to a verified module: the daemon as installed, a real site, simulated modules, a bus of our own."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import (
    BIN,
    HARDWARE_ID,
    PASSPHRASE,
    SSID,
    DaemonProcess,
    Station,
    site_settings,
    station_at,
    verified,
)
from tests.wire.udev.bus import FTDI, Bus, Plug
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, SerialModule
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

OTHER_ID, OTHER_POP = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310", "another label"
ONE, OTHER = Plug(), Plug("ttyUSB201", minor=201, socket=2)
ELSEWHERE = ONE.anew(name="ttyUSB207", minor=207, socket=7)
# Slow enough that a cable can be pulled in the middle of a push.
SLOW = 28_800


@dataclass
class Box:
    """A box with a USB bus of its own."""

    bus: Bus
    station: Station

    def module(self, plug: Plug, hardware_id: str = HARDWARE_ID, **options: Any) -> SerialModule:
        """Entering it makes the device node; what udev says of it comes with :meth:`Bus.plug`."""
        identity = Identity(hardware_id=hardware_id, pop=self.station.pops[hardware_id])
        flash = self.station.folder / f"{hardware_id}.flash"
        return SerialModule(identity, flash, self.bus.node(plug), networks={SSID: PASSPHRASE}, **options)

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[DaemonProcess]:
        config = self.station.configure()
        config.write_text(config.read_text().replace('udev = false\nglobs = ["ttyUCM*"]', "udev = true"))
        with (self.station.folder / "daemon.log").open("ab") as log:
            process = await self.bus.start(BIN / "ucm-provisiond", "--config", config, stdout=log, stderr=log)
        running = DaemonProcess(process, self.station.socket)
        try:
            yield running
        finally:
            await running.stop()
        assert process.returncode == 0


@pytest.fixture
async def box(bus: Bus, tmp_path: Path) -> AsyncIterator[Box]:
    async with SiteApi(site_settings(tmp_path)) as site:
        station = station_at(site, tmp_path)
        station.pops[OTHER_ID] = OTHER_POP
        yield Box(bus, station)


async def test_hot_plug_to_verified(box: Box) -> None:
    async with box.daemon() as daemon, box.module(ONE) as module:
        await box.bus.plug(ONE)
        (view,) = await daemon.until_verified()
        assert (view["hardware_id"], view["endpoint"]) == (HARDWARE_ID, f"/dev/{ONE.name}")
        assert module.phase_name == "ONLINE"


async def test_pulled_in_the_middle_of_a_push_and_back_in_another_socket(box: Box) -> None:
    async with box.daemon() as daemon, box.module(ONE, baud=SLOW) as module:
        await box.bus.plug(ONE)
        await module.until(lambda m: m.executed("begin") == 1 and m.executed("commit") == 0, timeout=20)
        await module.unplug(power=True)
        await box.bus.unplug(ONE)
        await module.plug(box.bus.node(ELSEWHERE))
        await box.bus.plug(ELSEWHERE)
        (view,) = await daemon.until_verified()
        assert view["endpoint"] == f"/dev/{ELSEWHERE.name}"
        assert module.executed("commit") == 1


def both_verified(views: list[ModuleView]) -> list[ModuleView]:
    return views if len(views) == 2 and all(map(verified, views)) else []


async def test_two_at_once(box: Box) -> None:
    async with box.daemon() as daemon, box.module(ONE), box.module(OTHER, OTHER_ID):
        await box.bus.plug(ONE)
        await box.bus.plug(OTHER)
        views = await daemon.until(both_verified)
        assert {view["hardware_id"] for view in views} == {HARDWARE_ID, OTHER_ID}


async def talk_to_another(box: Box, plug: Plug) -> None:
    """Gives the daemon every occasion to do something about the first module, too."""
    async with box.module(plug, OTHER_ID) as module:
        await box.bus.plug(plug)
        await module.until(lambda m: m.frames > 0, timeout=20)
        await box.bus.unplug(plug)


async def test_a_verified_port_is_not_opened_again_by_noise_or_by_a_restart(box: Box) -> None:
    async with box.module(ONE, reset_on_open=True) as module:
        await box.bus.plug(ONE)
        async with box.daemon() as daemon:
            await daemon.until_verified()
            boots = module.boots
            for action in ("change", "add", "bind"):  # what `udevadm trigger` and an upgrade of udev do
                await box.bus.say(ONE, action)
            await talk_to_another(box, OTHER)
        async with box.daemon() as daemon:
            await daemon.until(lambda views: [view for view in views if verified(view) and view["present"]])
            await talk_to_another(box, OTHER.anew())
        assert module.boots == boots


def at_rest(views: list[ModuleView]) -> list[ModuleView]:
    return [view for view in views if verified(view) and view["activity"] is None]


async def test_out_and_in_again_while_nobody_looks_is_a_new_plug(box: Box) -> None:
    async with box.module(ONE, reset_on_open=True) as module:
        await box.bus.plug(ONE)
        async with box.daemon() as daemon:
            (first,) = await daemon.until(at_rest)
            boots = module.boots
            daemon.process.send_signal(signal.SIGSTOP)
            await box.bus.unplug(ONE)
            await box.bus.plug(ONE.anew())
            daemon.process.send_signal(signal.SIGCONT)
            (again,) = await daemon.until(lambda views: [v for v in at_rest(views) if v["session"] != first["session"]])
            assert again["adopted"]
            assert module.boots == boots + 1


async def test_a_port_that_no_rule_marks_is_never_opened(box: Box) -> None:
    stranger = Plug("ttyUSB209", minor=209, socket=9, ids=FTDI)
    async with box.module(stranger, reset_on_open=True) as left_alone:
        await box.bus.plug(stranger)
        async with box.daemon():
            await talk_to_another(box, OTHER)
            await box.bus.say(stranger, "change")
            await talk_to_another(box, OTHER.anew())
        assert (left_alone.boots, left_alone.frames) == (1, 0)
