"""Cables between simulated modules on the host and USB ports of the guest.

Behind each kind is the driver that it has in the field: QEMU's own FTDI adapter, which is plugged in as QEMU plugs in
anything; and over USB/IP a CP2102 with an ESP32's reset circuit, and the ESP32's own USB.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.vm.machine.guest import Guest
from tests.vm.machine.polling import polled
from tests.vm.machine.qemu import HOST_ADDRESS
from tests.vm.usb.cp2102 import Cp2102
from tests.vm.usb.esp_native import EspNative
from tests.vm.usb.hub import Hub
from tests.vm.usb.reset_circuit import ResetCircuit
from tests.vm.usb.serial_adapter import ModuleSide
from tests.vm.usb.uart import Uart
from ucm_sim import SerialModule

_WITHIN = 20.0
_numbers = itertools.count(1)


class Cable(ABC):
    """One cable with its module. The module has power while the cable is in, or has some of its own."""

    def __init__(self, guest: Guest, module: SerialModule) -> None:
        self.guest = guest
        self.module = module
        self._is_in = False

    @abstractmethod
    async def _plug(self) -> None: ...

    @abstractmethod
    async def _unplug(self) -> None: ...

    async def plug(self) -> None:
        """Returns once the guest's USB controller has been told."""
        if not self.module.is_powered:
            await self.module.plug()
        await self._plug()
        self._is_in = True

    async def unplug(self, *, power: bool = False) -> None:
        """Returns once the guest's USB controller has been told. With ``power`` the module stays alive."""
        if self._is_in:
            self._is_in = False
            await self._unplug()
        if not power:
            await self.module.unplug()

    @asynccontextmanager
    async def plugged(self) -> AsyncIterator[None]:
        try:
            await self.plug()
            yield
        finally:
            await self.unplug()


class FtdiCable(Cable):
    """QEMU's usb-serial in a port of the guest's USB controller, 1 to 8.

    The site's udev rule takes adapters for a UCM's whose ``serial`` begins with "UCM".
    """

    def __init__(self, guest: Guest, module: SerialModule, port: int = 1, serial: str = "") -> None:
        super().__init__(guest, module)
        self.port = port
        self._name = f"serial{next(_numbers)}"
        self._serial = serial or f"UCM-{self._name}"
        self._uart: Uart | None = None
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def _plug(self) -> None:
        path = self.guest.sockets.chardev(self._name)
        address = {"type": "unix", "data": {"path": str(path)}}
        socket = {"addr": address, "server": True, "wait": False}
        qmp = self.guest.qmp
        await qmp.execute("chardev-add", id=self._name, backend={"type": "socket", "data": socket})
        reader, self._writer = await asyncio.open_unix_connection(path)
        self._uart = Uart(self.module.link, self._writer.write)
        self._reading = asyncio.create_task(self._read(reader, self._uart))
        options = {"bus": "usb.0", "port": str(self.port), "chardev": self._name, "serial": self._serial}
        await qmp.execute("device_add", driver="usb-serial", id=self._name, **options)

    async def _unplug(self) -> None:
        assert self._uart is not None
        assert self._reading is not None
        assert self._writer is not None
        self._reading.cancel()
        self._uart.close()
        # QEMU 7.2 crashes when it removes an adapter whose socket is connected.
        self._writer.transport.abort()
        await polled(self._disconnected, _WITHIN)
        await self.guest.qmp.execute("device_del", id=self._name)
        await self.guest.qmp.event("DEVICE_DELETED", device=self._name)
        await self.guest.qmp.execute("chardev-remove", id=self._name)

    async def _disconnected(self) -> bool | None:
        chardevs = await self.guest.qmp.execute("query-chardev")
        (ours,) = [each for each in chardevs if each["label"] == self._name]
        return ours["filename"].startswith("disconnected:") or None

    @staticmethod
    async def _read(reader: asyncio.StreamReader, uart: Uart) -> None:
        while data := await reader.read(4096):
            uart.write(data)


class UsbIpCable(Cable):
    """An adapter of this process, attached to the guest's virtual USB controller. It sees DTR and RTS."""

    def __init__(
        self, guest: Guest, hub: Hub, module: SerialModule, adapter: Callable[[str, ModuleSide], Cp2102 | EspNative]
    ) -> None:
        super().__init__(guest, module)
        self.circuit = ResetCircuit(module.pull_reset_pin)
        self._hub = hub
        self._bus_id = f"1-{next(_numbers)}"
        self._adapter = adapter(module.identity.mac.hex(":").upper(), self)
        self._uart: Uart | None = None

    def receive(self, data: bytes) -> None:
        assert self._uart is not None
        self._uart.write(data)

    def lines(self, dtr: bool, rts: bool) -> None:
        self.circuit.lines(dtr, rts)

    async def _plug(self) -> None:
        self._uart = Uart(self.module.link, self._adapter.send)
        self._hub.put(self._bus_id, self._adapter)
        await self.guest.run(f"usbip --tcp-port {self._hub.port} attach --remote {HOST_ADDRESS} --busid {self._bus_id}")

    async def _unplug(self) -> None:
        assert self._uart is not None
        self._hub.remove(self._bus_id)
        self._uart.close()
