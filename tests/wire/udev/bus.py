"""A USB bus to plug things into: a test bed for sysfs and udev, and processes that see it in place of the real one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.unit.udev import rules
from tests.unit.udev.rules import Node

ROOT = Path(__file__).parents[3]
RULES = ROOT / "hardware" / "udev" / "70-ucm-provision.rules"
SYSTEM_PYTHON = "/usr/bin/python3"
WRAPPER = "umockdev-wrapper"
INSTALL = "apt-get install --no-install-recommends umockdev python3-gi gir1.2-umockdev-1.0"
DEADLINE = 20.0
CP2102, FTDI = ("10c4", "ea60"), ("0403", "6001")


@dataclass(frozen=True)
class Plug:
    """One appearance of a USB serial adapter. Minor numbers are some that no real port of this machine has."""

    name: str = "ttyUSB200"
    minor: int = 200
    socket: int = 1
    ids: tuple[str, str] = CP2102
    initialised: int | None = 1_000_000

    @property
    def path(self) -> str:
        return f"/devices/pci0000:00/0000:00:14.0/usb1/1-{self.socket}/1-{self.socket}:1.0/{self.name}/tty/{self.name}"

    @property
    def number(self) -> str:
        return f"188:{self.minor}"

    def properties(self) -> dict[str, str]:
        """What udev's database has of it: its own facts, and what our rules make of them."""
        facts = {"ID_PATH": f"pci-0000:00:14.0-usb-0:{self.socket}:1.0"}
        if self.initialised is not None:
            facts["USEC_INITIALIZED"] = str(self.initialised)
        usb = Node("usb", {"idVendor": self.ids[0], "idProduct": self.ids[1]})
        return rules.apply(rules.load(RULES), "add", [Node("tty"), Node("usb-serial"), usb], facts).properties

    def anew(self, **other: object) -> Plug:
        """The same thing, pulled out and plugged in again."""
        assert self.initialised is not None
        return replace(self, initialised=self.initialised + 5_000_000, **other)


class Bus:
    def __init__(self, process: asyncio.subprocess.Process, root: Path) -> None:
        self._process = process
        self._root = root

    def node(self, plug: Plug) -> Path:
        """Where a process on this bus finds the port's device node under ``/dev``."""
        return self._root / "dev" / plug.name

    async def plug(self, plug: Plug) -> None:
        await self._do("plug", path=plug.path, name=plug.name, number=plug.number, properties=plug.properties())

    async def unplug(self, plug: Plug) -> None:
        await self._do("unplug", path=plug.path, name=plug.name, number=plug.number)

    async def say(self, plug: Plug, action: str, **properties: str) -> None:
        """An event of udev's, after its database has changed."""
        await self._do("change", path=plug.path, action=action, properties=properties)

    def fall_silent(self) -> None:
        """Whoever listens now hears of no event any more, as in a network namespace that udev does not speak in."""
        doors = list(self._root.glob("event[0-9]*"))
        assert doors
        for door in doors:
            door.unlink()

    async def add(self, devices: str) -> None:
        """Devices as `umockdev-record` writes them down."""
        await self._do("add", devices=devices)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "UMOCKDEV_DIR": str(self._root)}

    async def start(self, *command: str | Path, **streams: int) -> asyncio.subprocess.Process:
        """A process that sees this bus and no other."""
        return await asyncio.create_subprocess_exec(WRAPPER, *command, env=self.environment(), cwd=ROOT, **streams)

    async def _do(self, what: str, **arguments: str | Mapping[str, str]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        async with asyncio.timeout(DEADLINE):
            assert await self._process.stdout.readline() == b"\n", "the test bed has failed"


@asynccontextmanager
async def new_bus() -> AsyncIterator[Bus]:
    require_umockdev()
    process = await asyncio.create_subprocess_exec(
        WRAPPER, SYSTEM_PYTHON, Path(__file__).with_name("testbed.py"), stdin=-1, stdout=-1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    root = (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode().strip()
    try:
        yield Bus(process, Path(root))
    finally:
        process.stdin.close()
        await process.wait()
        # umockdev removes it itself if Python happens to free its object at the end.
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    assert process.returncode == 0


def require_umockdev() -> None:
    """Fails, rather than skips: without the test bed nobody would notice that hot plug is broken."""
    bindings = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import UMockdev"
    if shutil.which(WRAPPER) is None or subprocess.run([SYSTEM_PYTHON, "-c", bindings], check=False).returncode:
        pytest.fail(f"umockdev is missing: {INSTALL}")


@dataclass(frozen=True)
class Seen:
    name: str
    present: bool
    key: str
    driver: str = ""


class Watcher:
    """A process in which the daemon's discovery tells what it sees."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> Seen:
        return Seen(**json.loads(await self.line()))

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            return (await self._process.stdout.readline()).decode().strip()

    async def stop(self) -> str:
        """Its last word: the descriptors that it left open."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.line()


@asynccontextmanager
async def watcher(bus: Bus, *patterns: str, rescans: bool = False) -> AsyncIterator[Watcher]:
    """Watches, and has looked once when entered. Only what ``rescans`` looks again without an event."""
    options = ["--rescan"] if rescans else []
    process = await bus.start(sys.executable, "-m", "tests.wire.udev.watcher", *options, *patterns, stdin=-1, stdout=-1)
    watcher = Watcher(process)
    try:
        assert await watcher.line() == "looking"
        yield watcher
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
    assert process.returncode == 0
