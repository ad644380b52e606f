"""A box and its modules on two machines with a cable between them, as on a site; one is announced by avahi."""

from __future__ import annotations

import asyncio
import sys
import uuid
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.avahi import avahi, demand_avahi
from tests.e2e.station import BIN, DEADLINE, PASSPHRASE, REPOSITORY, SSID, DaemonProcess, verified
from tests.netns import Namespace, cable, namespaces
from ucm_provision.core import policy

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

BOX, PLANT = "192.0.2.1", "192.0.2.2"
AVAHIS_PORT = 8080
# The most that ten thousand strangers may cost for good.
GROWTH_MIB = 48.0
WAITING = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(.05)"


@pytest.fixture
def lan() -> Iterator[tuple[Namespace, Namespace]]:
    """A box and a plant. The cable is there, and not plugged in."""
    demand_avahi()
    with namespaces(2) as (box, plant):
        cable(box, "lan0", plant, "lan0")
        yield box, plant


def plug_in(box: Namespace, plant: Namespace) -> None:
    for namespace, address in ((box, BOX), (plant, PLANT)):
        namespace.ip("address", "add", f"{address}/24", "dev", "lan0")
        namespace.ip("link", "set", "lan0", "up")


@asynccontextmanager
async def site_api(box: Namespace, folder: Path) -> AsyncIterator[None]:
    """API, broker and time source on the box, for everybody on the LAN."""
    ports = {"listen": 8480, "mqtt-listen": 1883, "mqtts-listen": 8883}
    listen = [f"--{name}=0.0.0.0:{port}" for name, port in ports.items()]
    command = (str(BIN / "ucm-site-api"), "serve", "--state", str(folder / "site"), "--public-host", BOX, *listen)
    async with box.running(*command, stdout=DEVNULL, stderr=DEVNULL):
        await appears(folder / "site" / "witness.json")
        yield


@asynccontextmanager
async def modules(plant: Namespace, folder: Path, name: str, *options: str) -> AsyncIterator[Path]:
    """Simulated modules at the plant's address; their manifest."""
    manifest = folder / f"{name}.csv"
    network = f"{SSID}={PASSPHRASE}"
    command = ("ucm-sim", "lan", "--address", PLANT, "--seed", uuid.uuid4().hex, "--network", network)
    async with plant.running(
        str(BIN / command[0]), *command[1:], "--manifest", str(manifest), *options, stdout=DEVNULL, stderr=DEVNULL
    ):
        await appears(manifest)
        yield manifest


@asynccontextmanager
async def daemon(box: Namespace, folder: Path, *manifests: Path) -> AsyncIterator[DaemonProcess]:
    lines = [line for manifest in manifests for line in manifest.read_text().splitlines()[1:]]
    (folder / "manifest.csv").write_text("\n".join(["hardware_id,name,protocol,pop", *lines, ""]))
    (folder / "passphrase").write_text(PASSPHRASE)
    config = folder / "ucm-provision.toml"
    config.write_text(
        f'[site]\nmanifest = "manifest.csv"\n[api]\nurl = "http://{BOX}:8480"\nallow_http = true\n'
        f'token_file = "site/api-token"\n[broker]\nwitness = "site/witness.json"\n[usb]\nudev = false\n'
        f'[[wifi]]\nssid = "{SSID}"\npassphrase_file = "passphrase"\n[box]\nid = "box-under-test"\n'
        f'[control]\nsocket = "control.sock"\n[state]\ndir = "state"\n'
    )
    with (folder / "daemon.log").open("wb") as log:
        command = (str(BIN / "ucm-provisiond"), "--config", str(config))
        async with box.running(*command, stdout=log.fileno(), stderr=log.fileno()) as process:
            yield DaemonProcess(process, folder / "control.sock")


async def appears(path: Path) -> None:
    """Waits for a file that another process makes."""
    process: Process = await asyncio.create_subprocess_exec(sys.executable, "-c", WAITING, str(path))
    async with asyncio.timeout(DEADLINE):
        await process.wait()


async def test_modules_on_another_machine_are_found_and_verified(
    lan: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    box, plant = lan
    plug_in(box, plant)
    async with (
        site_api(box, tmp_path),
        modules(plant, tmp_path, "ours", "--count", "3") as ours,
        modules(plant, tmp_path, "silent", "--no-mdns", "--port", str(AVAHIS_PORT)) as silent,
        avahi(plant, tmp_path, silent.read_text().splitlines()[1].partition(",")[0]),
        daemon(box, tmp_path, ours, silent) as running,
    ):
        await running.until(lambda views: views if len(views) == 4 and all(map(verified, views)) else [])
        (announced_by_avahi,) = await running.until(
            lambda views: [view for view in views if f"{PLANT}:{AVAHIS_PORT}" in view["routes"]]
        )
    assert announced_by_avahi["evidence"] is not None
    assert announced_by_avahi["evidence"]["seen_generation"] == 1


async def test_ten_thousand_strangers_keep_nobody_from_being_provisioned(
    lan: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """What a minute may bring, in a few seconds."""
    box, plant = lan
    plug_in(box, plant)
    flood = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "tests.wire.mdns.flood_process", PLANT)
    async with (
        site_api(box, tmp_path),
        modules(plant, tmp_path, "ours", "--count", "3") as ours,
        daemon(box, tmp_path, ours) as running,
    ):
        await running.until_answers()
        before = resident_mib(running)
        async with plant.running(*flood, "10000", "2000") as flooding:
            await running.until(lambda views: [view for view in views if not view["hardware_id"]][255:])
            await running.until(lambda views: [view for view in views if verified(view)][2:])
            await flooding.wait()
        status = await running.ctl("status")
        assert (status["modules"]["VERIFIED"], status["modules"]["SEEN"]) == (3, policy.CANDIDATES_KEPT)
        assert resident_mib(running) - before < GROWTH_MIB
    journal = (tmp_path / "state" / "journal.sqlite3").stat().st_size
    assert journal < 1024 * 1024  # strangers are not journalled


def resident_mib(running: DaemonProcess) -> float:
    return psutil.Process(running.process.pid).memory_info().rss / 2**20


async def test_a_daemon_is_there_before_its_network_is(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, plant = lan
    async with site_api(box, tmp_path), daemon(box, tmp_path) as running:
        await running.until_answers()
        plug_in(box, plant)
        async with modules(plant, tmp_path, "later", "--count", "1") as later:
            assert await running.ctl("manifest", "import", str(later)) is not None
            (view,) = await running.until_verified()
            assert view["routes"][0].startswith(f"{PLANT}:")
