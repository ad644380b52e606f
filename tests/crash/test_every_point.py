"""kill -9 wherever it hurts: the module is verified all the same, as one device, with at most one push repeated."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.e2e.station import HARDWARE_ID, DaemonProcess, Station, site_settings, spawn_python, station_at
from ucm_sim import SerialModule
from ucm_site_api import SiteApi

# Mostly they wait for each other's modules; two cores bear that many.
AT_ONCE = 4
DEADLINE = 120.0


def module_id(number: int) -> str:
    return f"{number:04X}{HARDWARE_ID[4:]}"


class Box:
    """One box with one module, whose daemon dies once."""

    def __init__(self, site: SiteApi, folder: Path, number: int) -> None:
        folder.mkdir()
        self.hardware_id = module_id(number)
        self.station: Station = station_at(site, folder)
        self.station.pops = {self.hardware_id: f"label of {number}"}
        self.points = folder / "points"
        self.number = number

    def module(self) -> SerialModule:
        pop = self.station.pops[self.hardware_id]
        return self.station.module(hardware_id=self.hardware_id, pop=pop, baud=0, boot_s=0.05)

    async def live(self, die_at: int) -> None:
        """Runs a daemon until it dies at the point, or until the module is verified if it never does."""
        arguments = (str(self.station.configure()), str(self.points), str(die_at))
        log = self.station.folder / "daemon.log"
        process = await spawn_python("tests.crash.mortal_daemon", *arguments, log=log)
        daemon = DaemonProcess(process, self.station.socket)
        try:
            if die_at:
                assert await process.wait() == -9, log.read_text()
            else:
                await daemon.until_verified()
        finally:
            await daemon.stop()


async def die_and_recover(site: SiteApi, folder: Path, die_at: int) -> str:
    """What went wrong when the daemon died at that point, or nothing."""
    box = Box(site, folder, die_at)
    try:
        async with asyncio.timeout(DEADLINE), box.module() as module:
            await box.live(die_at)
            await box.live(0)
            begun, committed = module.executed("begin"), module.executed("commit")
            active = module.active_generation
    except Exception as failure:  # noqa: BLE001 -- which point it was belongs into the report
        return f"{place(box, die_at)}: {failure!r}"
    devices = [device for device in await site.devices() if device["communication"]["hardware_id"] == box.hardware_id]
    if (len(devices), committed, active) == (1, 1, 1) and begun <= 2:
        return ""
    return f"{place(box, die_at)}: {len(devices)} devices, {begun} begun, {committed} committed, generation {active}"


def place(box: Box, die_at: int) -> str:
    points = box.points.read_text().splitlines() if box.points.exists() else []
    return f"point {die_at} ({points[die_at - 1] if len(points) >= die_at else 'never reached'})"


@pytest.mark.timeout(400)
async def test_kill_9_at_every_journal_append_and_around_every_effect(tmp_path: Path) -> None:
    async with SiteApi(site_settings(tmp_path)) as site:
        whole = Box(site, tmp_path / "whole", 0)
        async with whole.module() as module:
            await whole.live(0)
            # What comes after the module is verified is only the reservation's release.
            points = whole.points.read_text().splitlines()
            assert module.executed("commit") == 1
        last = points.index("after append Verified") + 1
        assert {"before provision", "after begin", "before chunk", "after commit"} < set(points[:last])
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> str:
            async with slots:
                return await die_and_recover(site, tmp_path / f"box-{number}", number)

        outcomes = await asyncio.gather(*(one(number) for number in range(1, last + 1)))
    failures = [outcome for outcome in outcomes if outcome]
    assert not failures, "\n".join(failures)
    assert len(outcomes) == last
    print(f"{last} places to die, at most {AT_ONCE} at once", file=sys.stderr)
