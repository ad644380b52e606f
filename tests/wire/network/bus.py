"""A D-Bus daemon of the tests' own, and on it NetworkManager as python-dbusmock's template plays it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

SYSTEM_PYTHON = "/usr/bin/python3"
INSTALL = "apt-get install --no-install-recommends dbus python3-dbusmock"
DEADLINE = 20.0
NAME = "org.freedesktop.NetworkManager"
ROOT = "/org/freedesktop/NetworkManager"
DEVICE = f"{NAME}.Device"
WIRELESS = f"{NAME}.Device.Wireless"
ACCESS_POINT = f"{NAME}.AccessPoint"
ACTIVE = f"{NAME}.Connection.Active"
ACTIVATING, ACTIVATED = 1, 2
INFRASTRUCTURE, HOTSPOT = 2, 3

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  {more}
</busconfig>
"""


def require_dbusmock() -> None:
    """Fails, rather than skips: without it nobody would notice that the box's network is no longer followed."""
    if subprocess.run([SYSTEM_PYTHON, "-c", "import dbusmock"], check=False, capture_output=True).returncode:
        pytest.fail(f"python3-dbusmock is missing: {INSTALL}")


class Bus:
    """A bus that is started, ended and started again at the same address.

    Args:
        more: Further elements of its configuration.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self.address = f"unix:path={folder / 'bus'}"
        self._services = folder / "services"
        self._services.mkdir()
        self._configuration = folder / "bus.conf"
        self._configuration.write_text(_CONFIGURATION.format(address=self.address, services=self._services, more=more))
        self._process: asyncio.subprocess.Process | None = None

    def offer(self, command: str) -> None:
        """Before the start: the bus runs the command when somebody asks for NetworkManager while it is not there."""
        (self._services / f"{NAME}.service").write_text(f"[D-BUS Service]\nName={NAME}\nExec={command}\n")

    async def ask_for_network_manager(self) -> None:
        """As a program does that wants it started."""
        async with client(self) as bus, asyncio.timeout(DEADLINE):
            await bus.call(Message(NAME, ROOT, "org.freedesktop.DBus.Peer", "Ping"))

    async def start(self) -> None:
        command = ("dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--print-address")
        self._process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            assert await self._process.stdout.readline(), "the D-Bus daemon does not start"

    async def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            await self._process.communicate()
            self._process = None


@asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[None]:
    await bus.start()
    try:
        yield
    finally:
        await bus.end()


class NetworkManager:
    """NetworkManager on the bus, which does what a test says. Every method returns when it is done and told."""

    def __init__(self, process: asyncio.subprocess.Process, bus: MessageBus) -> None:
        self._process = process
        self._bus = bus

    async def add_device(self, name: str) -> str:
        device: str = await self.mock("AddWiFiDevice", "ssi", name, name, 100)
        await self.mock("AddProperty", "ssv", WIRELESS, "ActiveAccessPoint", Variant("o", "/"), path=device)
        return device

    async def add_network(self, device: str, ssid: str) -> str:
        """The access point of a network that the device hears."""
        name = ssid.encode().hex()
        what = (device, name, ssid, "02:00:00:00:00:01", INFRASTRUCTURE, 2412, 54000, 70, 0)
        access_point: str = await self.mock("AddAccessPoint", "ssssuuuyu", *what)
        return access_point

    async def join(self, device: str, ssid: str, state: int = ACTIVATED) -> str:
        """The active connection with a network that is new to the device."""
        access_point = await self.add_network(device, ssid)
        connection = await self.mock("AddWiFiConnection", "ssss", device, ssid.encode().hex(), ssid, "")
        name = f"{device.rpartition('/')[2]}_{ssid.encode().hex()}"
        active: str = await self.mock("AddActiveConnection", "assssu", [device], connection, access_point, name, state)
        await self.roam(device, access_point)
        return active

    async def leave(self, device: str, active: str) -> None:
        await self.mock("RemoveActiveConnection", "ss", device, active)
        await self.roam(device, "/")

    async def roam(self, device: str, access_point: str) -> None:
        await self.change(device, WIRELESS, "ActiveAccessPoint", Variant("o", access_point))

    async def set_primary(self, active: str) -> None:
        await self.change(ROOT, NAME, "PrimaryConnection", Variant("o", active))

    async def change(self, path: str, interface: str, name: str, value: Variant) -> None:
        """Changes a property and tells so."""
        await self._call(path, "org.freedesktop.DBus.Properties", "Set", "ssv", interface, name, value)

    async def mock(self, member: str, signature: str, *arguments: Any, path: str = ROOT) -> Any:
        """Calls a method of python-dbusmock's own."""
        return await self._call(path, "org.freedesktop.DBus.Mock", member, signature, *arguments)

    async def _call(self, path: str, interface: str, member: str, signature: str, *arguments: Any) -> Any:
        call = Message(NAME, path, interface, member, signature=signature, body=list(arguments))
        async with asyncio.timeout(DEADLINE):
            answer = await self._bus.call(call)
        assert answer.message_type is MessageType.METHOD_RETURN, answer.body
        return answer.body[0] if answer.body else None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It is there and does not answer."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


@asynccontextmanager
async def network_manager(bus: Bus) -> AsyncIterator[NetworkManager]:
    """NetworkManager, ready, with no device yet."""
    async with client(bus) as caller:
        owned = await _watch_owner(caller)
        process = await asyncio.create_subprocess_exec(
            *(SYSTEM_PYTHON, "-m", "dbusmock", "--template", "networkmanager"),
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address},
            stdout=subprocess.DEVNULL,
        )
        manager = NetworkManager(process, caller)
        try:
            await asyncio.wait_for(owned.wait(), DEADLINE)
            await manager.mock("AddProperty", "ssv", NAME, "PrimaryConnection", Variant("o", "/"))
            yield manager
        finally:
            await manager.end()


@asynccontextmanager
async def client(bus: Bus) -> AsyncIterator[MessageBus]:
    connection = await asyncio.wait_for(MessageBus(bus.address).connect(), DEADLINE)
    ended = asyncio.ensure_future(connection.wait_for_disconnect())
    try:
        yield connection
    finally:
        connection.disconnect()
        await asyncio.gather(ended, return_exceptions=True)


async def _watch_owner(caller: MessageBus) -> asyncio.Event:
    """Set when somebody has taken NetworkManager's name."""
    owned = asyncio.Event()

    def hear(message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.body[2]:
            owned.set()

    caller.add_message_handler(hear)
    bus = "org.freedesktop.DBus"
    rule = f"type='signal',sender='{bus}',member='NameOwnerChanged',arg0='{NAME}'"
    await caller.call(Message(bus, "/org/freedesktop/DBus", bus, "AddMatch", signature="s", body=[rule]))
    return owned
