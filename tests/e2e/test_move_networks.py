"""A box with an interface in either network: modules that follow from one to the other, and one that cannot."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import sys
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.moving import NEW, NEW_PASSPHRASE, OLD, campaign_of, ended, know_the_new_network, until_campaign
from tests.e2e.station import BIN, DEADLINE, PASSPHRASE, REPOSITORY, DaemonProcess, Station, verified
from tests.netns import Namespace, cable, namespaces
from ucm_provision.wire import ModuleView
from ucm_sim.control import ask

pytestmark = pytest.mark.system

AT_OLD, AT_NEW = "192.0.2", "198.51.100"
# What both networks lead to: the box's own API and broker.
SERVERS = "203.0.113.1"
# The announcements of modules are believed for 120 s of the daemon's time, which must outlast a test.
FAST = 3.0
# What is on a cable without a network is given up after it, and taken up for the new network.
TRIAL = 30
STAGED, UNSTAGED = 2, 1


@dataclass
class Plant:
    """``box``: the daemon's machine, with the servers; ``hall``: where the modules are."""

    box: Namespace
    hall: Namespace
    station: Station
    folder: Path

    @asynccontextmanager
    async def process(self, place: Namespace, name: str, *arguments: str, ready: str = "") -> AsyncIterator[Path]:
        """One of our commands in that place, from when it has said that it is ready. Yields its log."""
        log = self.folder / f"{name}-{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as out:
            command = ("env", f"PYTHONPATH={REPOSITORY}", *arguments)
            async with place.running(*command, stdout=out.fileno(), stderr=STDOUT):
                await says(log, ready)
                yield log

    @asynccontextmanager
    async def fleet(self, seed: str, count: int) -> AsyncIterator[Fleet]:
        """Modules in reach of both networks: the same ones for the same seed, with what they were given before."""
        fleet = Fleet(seed, self.folder)
        arguments = ["--count", str(count), "--seed", seed, "--state", str(fleet.flash), "--address", f"{AT_OLD}.2"]
        arguments += ["--manifest", str(fleet.manifest), "--control", str(fleet.control), "--telemetry", "0"]
        for ssid, passphrase, network in ((OLD, PASSPHRASE, AT_OLD), (NEW, NEW_PASSPHRASE, AT_NEW)):
            arguments += ["--network", f"{ssid}={passphrase}", "--segment", f"{ssid}={network}.2"]
        async with self.process(self.hall, seed, str(BIN / "ucm-sim"), "lan", *arguments, ready="ready:"):
            yield fleet

    @asynccontextmanager
    async def cable_to(self, fleet: Fleet) -> AsyncIterator[None]:
        """Its first module on a serial port of the box."""
        (hardware_id, pop), *_ = fleet.pops.items()
        (self.folder / "label").write_text(pop)
        arguments = [
            "--link",
            str(self.folder / "ttyUCM0"),
            "--id",
            hardware_id,
            "--pop-file",
            str(self.folder / "label"),
        ]
        arguments += ["--state", str(fleet.flash / f"{hardware_id}.json"), "--network", f"{NEW}={NEW_PASSPHRASE}"]
        async with self.process(self.hall, "serial", str(BIN / "ucm-sim"), "serial", *arguments):
            yield

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[DaemonProcess]:
        command = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "tests.e2e.fast_daemon")
        arguments = (str(self.station.configure()), str(FAST))
        with (self.folder / "daemon.log").open("wb") as log:
            async with self.box.running(*command, *arguments, stdout=log.fileno(), stderr=STDOUT) as process:
                yield DaemonProcess(process, self.station.socket)


@dataclass
class Fleet:
    seed: str
    folder: Path

    @property
    def flash(self) -> Path:
        return self.folder / f"flash-{self.seed}"

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.seed}.csv"

    @property
    def control(self) -> Path:
        return self.folder / f"{self.seed}.sock"

    @property
    def pops(self) -> dict[str, str]:
        with self.manifest.open() as file:
            return {row["hardware_id"]: row["pop"] for row in csv.DictReader(file)}

    async def lose_old_network(self) -> None:
        """Its access point is switched off."""
        await asyncio.to_thread(ask, self.control, [{"do": "off", "ssid": OLD}])


async def says(log: Path, text: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while text not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110 -- another process has no event for us
            await asyncio.sleep(0.05)


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.fail("needs root and: apt-get install --no-install-recommends iproute2")
    with namespaces(2) as (box, hall):
        connect(box, hall)
        state = tmp_path / "site-api"
        station = Station(tmp_path, "http://127.0.0.1:8480", state / "api-token", state / "witness.json")
        station.lan, station.pops, station.trial_s = "mdns = true", {}, TRIAL
        plant = Plant(box, hall, station, tmp_path)
        serve = ["--state", str(state), "--listen", "0.0.0.0:8480", "--mqtts-listen", "0.0.0.0:8883"]
        serve += ["--public-host", SERVERS, "--time-sync", f"http://{SERVERS}:8480"]
        async with plant.process(box, "site-api", str(BIN / "ucm-site-api"), "serve", *serve, ready="8480"):
            yield plant


def connect(box: Namespace, hall: Namespace) -> None:
    """Both networks lead to the servers, the old one with preference."""
    box.ip("address", "add", f"{SERVERS}/32", "dev", "lo")
    for interface, network, metric in (("lan0", AT_OLD, "1"), ("lan1", AT_NEW, "2")):
        cable(box, interface, hall, interface)
        for last, end in ((1, box), (2, hall)):
            end.ip("address", "add", f"{network}.{last}/24", "dev", interface)
            end.ip("link", "set", interface, "up")
        hall.ip("route", "add", f"{SERVERS}/32", "via", f"{network}.1", "metric", metric)


def of(fleet: Fleet, condition: Callable[[ModuleView], bool]) -> Callable[[list[ModuleView]], list[ModuleView]]:
    """The views of the fleet's modules once all of them are so."""

    def chosen(views: list[ModuleView]) -> list[ModuleView]:
        theirs = [view for view in views if view["hardware_id"] in fleet.pops]
        return theirs if len(theirs) == len(fleet.pops) and all(condition(view) for view in theirs) else []

    return chosen


def is_at(network: str) -> Callable[[ModuleView], bool]:
    return lambda view: verified(view) and [route.rpartition(".")[0] for route in view["routes"]] == [network]


def is_away(view: ModuleView) -> bool:
    return verified(view) and not view["present"]


@pytest.mark.timeout(240)
async def test_staged_modules_follow_and_the_others_need_a_cable(plant: Plant) -> None:
    station = plant.station
    async with plant.fleet("staged", STAGED) as staged:
        async with plant.fleet("unstaged", UNSTAGED) as unstaged:
            station.pops = staged.pops | unstaged.pops
        async with plant.daemon() as daemon:
            async with plant.fleet("unstaged", UNSTAGED):
                await daemon.until(of(unstaged, is_at(AT_OLD)))
            before = await daemon.until(of(staged, is_at(AT_OLD)))
            await daemon.until(of(unstaged, is_away))
            await know_the_new_network(station)
            _, campaign = await campaign_of(station, "change", "--ssid", NEW, "--stage")
            assert campaign["counts"] == {"done": STAGED, "pending": UNSTAGED}
            await campaign_of(station, "abort")
            async with plant.fleet("unstaged", UNSTAGED):
                await daemon.until(of(unstaged, is_at(AT_OLD)))
                for fleet in (staged, unstaged):
                    await fleet.lose_old_network()
                plant.hall.ip("link", "set", "lan0", "down")
                after = await daemon.until(of(staged, is_at(AT_NEW)))
                assert [view["endpoint"] for view in after] == [view["endpoint"] for view in before]
                await daemon.until(of(unstaged, is_away))
                _, campaign = await campaign_of(station, "change", "--ssid", NEW)
                assert campaign["counts"] == {"done": STAGED, "pending": UNSTAGED}
                (left,) = (each for each in campaign["members"] if each["state"] == "pending")
                assert left["hardware_id"] in unstaged.pops
                assert "bring a cable" in (left["message"] or "")
            async with plant.cable_to(unstaged):
                campaign = await until_campaign(station, ended)
                assert (campaign["state"], campaign["counts"]) == ("done", {"done": STAGED + UNSTAGED})
                (view,) = await daemon.until(of(unstaged, verified))
                assert (view["carrier"], (view["evidence"] or {})["ssid"]) == ("serial", NEW)
