"""kill -9 around everything that an order does: one device, or one replacement, all the same."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import DaemonProcess, Station, spawn_python
from tests.kinds.platform import SITE_ID, Platform, serving
from ucm_provision.cli.client import ControlClient
from ucm_provision.core.errors import UcmError
from ucm_provision.store.sealing import derive_key, unseal

OLD, NEW = "C8795CBA5375484E829105E959663C8B", "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
# One for each way in which a lost answer is found out: by the slug, by asking again, by doing it again.
REQUESTS = {
    "standalone": ("provision", {"kind": "standalone", "name": "Weather"}),
    "vucm": ("provision", {"kind": "vucm", "name": "Pump"}),
    "replace": ("replace", {"old": "boiler-1", "new": NEW}),
}
AT_ONCE = 6
DEADLINE = 60.0


class Box:
    """A box without modules, whose daemon dies once."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        folder.mkdir()
        self.platform = platform
        self.points = folder / "points"
        self.client = ControlClient(str(folder / "control.sock"))
        token = folder / "api-token"
        token.write_text("70c6c1d6f6f04b6f8c9d2b4d8f3b5a7e\n")
        self.station = Station(folder, platform.url, token, pops={OLD: "label"})

    async def live(self, die_at: int, then: Callable[[], Awaitable[object]]) -> None:
        """Runs a daemon, which dies at the point if there is one, and does something with it."""
        arguments = (str(self.station.configure()), str(self.points), str(die_at))
        log = self.station.folder / "daemon.log"
        process = await spawn_python("tests.crash.mortal_daemon", *arguments, log=log)
        daemon = DaemonProcess(process, self.station.socket)
        try:
            await self.until(answering)
            await then()
            if die_at:
                assert await process.wait() == -9, log.read_text()
        finally:
            await daemon.stop()

    async def ask(self, kind: str) -> Any:
        call, body = REQUESTS[kind]
        return await asyncio.to_thread(self.client.post, call, body=body)

    async def ask_and_see_it_die(self, kind: str) -> None:
        with suppress(UcmError):
            await self.ask(kind)

    async def until(self, condition: Callable[[ControlClient], bool]) -> None:
        await asyncio.to_thread(_look_again_until, condition, self.client)


def _look_again_until(condition: Callable[[ControlClient], bool], client: ControlClient) -> None:
    """In a thread, so that it may wait between two looks and leave the processors to the daemons."""
    deadline = time.monotonic() + DEADLINE
    while not condition(client):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def answering(client: ControlClient) -> bool:
    with suppress(UcmError):
        client.get("status")
        return True
    return False


def none_open(client: ControlClient) -> bool:
    return not client.get("status")["orders"].get("open")


def boiler(platform: Platform) -> None:
    device = platform._add("ucm", {"name": "Boiler", "slug": "boiler-1", "site_id": SITE_ID, "hardware_id": OLD})
    assert device["slug"] == "boiler-1"


async def die_and_recover(folder: Path, kind: str, die_at: int) -> str:
    """What went wrong when the daemon died at that point, or nothing."""
    async with serving(Platform()) as platform:
        box = Box(folder, platform)
        if kind == "replace":
            boiler(platform)
        try:
            async with asyncio.timeout(DEADLINE):
                await box.live(die_at, lambda: box.ask_and_see_it_die(kind))
                await box.live(0, lambda: recovered(box, kind))
        except Exception as failure:  # noqa: BLE001 -- which point it was belongs into the report
            return f"{place(box, die_at)}: {failure!r}"
        wrong = wrong_with_replacement(box) if kind == "replace" else wrong_with_device(platform, kind)
        return f"{place(box, die_at)}: {wrong}" if wrong else ""


async def recovered(box: Box, kind: str) -> None:
    """The order is done; one that died before it was journalled is placed by the operator once more."""
    await box.until(none_open)
    listed = (await asyncio.to_thread(box.client.get, "orders"))["orders"]
    if not listed:
        listed = [(await box.ask(kind))["order"]]
    assert [order["state"] for order in listed] == ["done"]


def wrong_with_device(platform: Platform, kind: str) -> str:
    bodies = {str(body) for body in platform.calls(kind)}
    if (len(platform.devices), len(bodies)) == (1, 1):
        return ""
    return f"{len(platform.devices)} devices, asked for as {bodies}"


def wrong_with_replacement(box: Box) -> str:
    (device,) = box.platform.devices.values()
    manifest = kept_manifest(box.station.folder / "state").splitlines()
    right = [f"{NEW},,Boiler,boiler-1,,,,", f"{OLD},,,,,label,,"]
    if device["name"] == "Boiler (replaced)" and device["slug"] != "boiler-1" and manifest[1:] == right:
        return ""
    return f"{device['name']} ({device['slug']}), {manifest[1:]}"


def kept_manifest(state: Path) -> str:
    """The imported lines that a dead daemon has left behind."""
    key = derive_key((state / "secrets.key").read_bytes())
    kept: str = json.loads(unseal(key, (state / "secrets.sealed").read_bytes()))["manifest"]
    return kept


def place(box: Box, die_at: int) -> str:
    points = box.points.read_text().splitlines() if box.points.exists() else []
    return f"point {die_at} ({points[die_at - 1] if len(points) >= die_at else 'never reached'})"


@pytest.mark.parametrize("kind", REQUESTS)
async def test_kill_9_at_every_step_of_an_order(tmp_path: Path, kind: str) -> None:
    async with serving(Platform()) as platform:
        if kind == "replace":
            boiler(platform)
        whole = Box(tmp_path / "whole", platform)
        await whole.live(0, lambda: whole.ask(kind))
    points = whole.points.read_text().splitlines()
    effect = "rename" if kind == "replace" else "provision"
    assert {"after keep_order", f"before {effect}", f"after {effect}"} < set(points)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        async with slots:
            return await die_and_recover(tmp_path / f"box-{number}", kind, number)

    outcomes = await asyncio.gather(*(one(number) for number in range(1, len(points) + 1)))
    failures = [outcome for outcome in outcomes if outcome]
    assert not failures, "\n".join(failures)
