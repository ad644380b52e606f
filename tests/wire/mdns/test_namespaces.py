"""A box and a machine with avahi on a cable: an independent responder, and networks that come and go."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.avahi import avahi
from tests.netns import Namespace, cable, namespaces
from tests.wire.mdns.lan import new_id

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
DEADLINE = 20.0


class Browser:
    """What the browser in another process says."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line of which that is true."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            async for line in self._process.stdout:
                if true(said := json.loads(line)):
                    return said
        raise AssertionError("the browser has ended")

    async def sees(self, module: str, *, present: bool = True, route: str = "") -> tuple[str, ...]:
        said = await self.says(
            lambda said: said.get("id") == module and said["present"] is present and route in "".join(said["routes"])
        )
        return tuple(said["routes"])

    async def stats(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.says(lambda said: "memory" in said)


@asynccontextmanager
async def browsing(box: Namespace, *arguments: str) -> AsyncIterator[Browser]:
    command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.wire.mdns.browse_process", *arguments)
    async with box.running(*command, stdin=PIPE, stdout=PIPE) as process:
        browser = Browser(process)
        await browser.says(lambda said: "started" in said)
        yield browser


@pytest.fixture
def lan() -> Iterator[tuple[Namespace, Namespace]]:
    """A box and another machine. The cable is there, and not plugged in."""
    if shutil.which("avahi-daemon") is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.fail("needs root and: apt-get install --no-install-recommends iproute2 avahi-daemon")
    with namespaces(2) as (box, machine):
        cable(box, "lan0", machine, "lan0")
        yield box, machine


def plug_in(one: Namespace, other: Namespace, *, v4: bool = True) -> None:
    for last, namespace in ((1, one), (2, other)):
        if v4:
            namespace.ip("address", "add", f"192.0.2.{last}/24", "dev", "lan0")
        namespace.ip("link", "set", "lan0", "up")


async def test_avahis_module_is_found_moves_and_leaves(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    plug_in(box, machine)
    module = new_id()
    async with browsing(box, "MDNS_DEPARTURE_SETTLE=0.5") as browser, avahi(machine, tmp_path, module) as responder:
        assert await browser.sees(module, route="192.0.2.2:8080")
        machine.ip("address", "delete", "192.0.2.2/24", "dev", "lan0")
        machine.ip("address", "add", "192.0.2.3/24", "dev", "lan0")
        routes = await browser.sees(module, route="192.0.2.3:8080")
        while "192.0.2.2:8080" in routes:
            routes = await browser.sees(module)
        responder.terminate()
        await browser.sees(module, present=False)


async def test_avahis_gateway_is_found(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    plug_in(box, machine)
    async with browsing(box) as browser, avahi(machine, tmp_path, new_id()):
        said = await browser.says(lambda said: bool(said.get("gateways")))
    (gateway,) = said["gateways"]
    assert (gateway["name"], gateway["port"]) == ("Enapter-GW", 80)
    assert gateway["host"].startswith("host-")


async def test_a_network_that_comes_later_goes_and_comes_back(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    module = new_id()
    async with browsing(box, "MDNS_REBUILD_GRACE=3.0") as browser:
        plug_in(box, machine)
        async with avahi(machine, tmp_path, module):
            await browser.sees(module)
            box.ip("link", "set", "lan0", "down")
            await browser.sees(module, present=False)
            box.ip("link", "set", "lan0", "up")
            await browser.sees(module)


async def test_a_new_address_of_the_box_takes_nobody_away(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    plug_in(box, machine)
    module, other = new_id(), new_id()
    async with browsing(box, "MDNS_REBUILD_GRACE=8.0") as browser, avahi(machine, tmp_path, module):
        await browser.sees(module)
        with namespaces(1) as (third,):
            cable(box, "lan1", third, "lan0")
            box.ip("address", "add", "198.51.100.1/24", "dev", "lan1")
            third.ip("address", "add", "198.51.100.2/24", "dev", "lan0")
            third.ip("link", "set", "lan0", "up")
            box.ip("link", "set", "lan1", "up")
            async with avahi(third, tmp_path, other):
                said = await browser.says(lambda said: said.get("id") == other or said.get("present") is False)
                assert said["id"] == other
            # It vanishes with its cable, after the grace in which the first module is heard again.
            gone = await browser.says(lambda said: said.get("present") is False)
            assert gone["id"] == other


async def test_a_link_local_route_has_its_zone(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    plug_in(box, machine, v4=False)
    module = new_id()
    async with browsing(box) as browser, avahi(machine, tmp_path, module, v4=False):
        (route,) = await browser.sees(module)
    assert route.startswith("[fe80::")
    assert route.endswith("%lan0]:8080")


async def test_only_the_configured_address_is_listened_on(lan: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    box, machine = lan
    plug_in(box, machine)
    module, other = new_id(), new_id()
    with namespaces(1) as (third,):
        cable(box, "lan1", third, "lan0")
        for last, namespace, interface in ((1, box, "lan1"), (2, third, "lan0")):
            namespace.ip("address", "add", f"198.51.100.{last}/24", "dev", interface)
            namespace.ip("link", "set", interface, "up")
        async with (
            browsing(box, "192.0.2.1") as browser,
            browsing(box, "198.51.100.1") as elsewhere,
            avahi(third, tmp_path, other),
        ):
            await elsewhere.sees(other)
            async with avahi(machine, tmp_path, module):
                said = await browser.says(lambda said: "id" in said)
    assert said["id"] == module


async def test_a_flood_keeps_nobody_away_who_is_known(lan: tuple[Namespace, Namespace]) -> None:
    """More strangers than are kept come before the one who is known, and more after him."""
    box, _ = lan
    # flood_process.py counts: this is its last module.
    known = f"{4999:032X}"
    flood = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.wire.mdns.flood_process", "127.0.0.1")
    settings = ("MDNS_UNKNOWN_KEPT=200", "MDNS_NEWCOMERS=500", "MDNS_TEND_EVERY=0.5")
    async with browsing(box, "127.0.0.1", known, *settings) as browser:
        await browser.says(lambda said: "listening" in said)
        before = await browser.stats()
        async with box.running(*flood, "5000", "4000") as first:
            await browser.sees(known)
            await first.wait()
        async with box.running(*flood, "10000", "8000") as second:
            await second.wait()
        after = await browser.stats()
    assert after["memory"] - before["memory"] < 20 * 1024 * 1024
