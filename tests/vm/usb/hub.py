"""A USB/IP server: devices of this process that a kernel elsewhere attaches to as if they were on its own bus."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from tests.vm.usb import protocol
from tests.vm.usb.device import Setup, Stall, UsbDevice
from tests.vm.usb.protocol import Submit, Unlink

_CONTROL = 0


class Hub:
    """Devices by their bus ids, on a port of the loopback. A device in it waits for ``usbip attach``."""

    def __init__(self) -> None:
        self._devices: dict[str, UsbDevice] = {}
        self._attached: dict[str, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        for bus_id in list(self._devices):
            self.remove(bus_id)
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def put(self, bus_id: str, device: UsbDevice) -> None:
        self._devices[bus_id] = device

    def remove(self, bus_id: str) -> None:
        """Pulls the device out, whatever the host is doing with it."""
        del self._devices[bus_id]
        if writer := self._attached.pop(bus_id, None):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            bus_id = await protocol.read_import(reader)
            if device := self._devices.get(bus_id):
                await self._be_attached(bus_id, device, reader, writer)
            else:
                writer.write(protocol.import_refused())
        writer.close()

    async def _be_attached(
        self, bus_id: str, device: UsbDevice, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until the host lets go, or loses its power and attaches anew."""
        if previous := self._attached.pop(bus_id, None):
            previous.transport.abort()
        self._attached[bus_id] = writer
        it = device.identity
        writer.write(protocol.import_reply(bus_id, len(self._attached), it.vendor, it.product, it.version))
        try:
            await Attachment(device, writer).run(reader)
        finally:
            if self._attached.get(bus_id) is writer:
                del self._attached[bus_id]
                device.detached()


class Attachment:
    """What the host's drivers ask of one device."""

    def __init__(self, device: UsbDevice, writer: asyncio.StreamWriter) -> None:
        self._device = device
        self._writer = writer
        for endpoint in device.inward.values():
            endpoint.attach(self._deliver)

    async def run(self, reader: asyncio.StreamReader) -> None:
        while True:
            command = await protocol.read_command(reader)
            if isinstance(command, Unlink):
                self._unlink(command)
            elif command.endpoint == _CONTROL:
                self._control(command)
            elif command.is_in:
                self._device.inward[command.endpoint].submit(command.number, command.length)
            else:
                self._writer.write(protocol.submitted(command.number, 0, len(command.data)))
                self._device.received(command.endpoint, command.data)

    def _control(self, command: Submit) -> None:
        try:
            answer = self._device.control(Setup.parse(command.setup), command.data)
        except Stall:
            self._writer.write(protocol.submitted(command.number, protocol.STALLED, 0))
            return
        moved = len(answer) if command.is_in else len(command.data)
        self._writer.write(protocol.submitted(command.number, 0, moved, answer))

    def _unlink(self, command: Unlink) -> None:
        waited = any(endpoint.unlink(command.target) for endpoint in self._device.inward.values())
        self._writer.write(protocol.unlinked(command.number, protocol.UNLINKED if waited else 0))

    def _deliver(self, number: int, data: bytes) -> None:
        self._writer.write(protocol.submitted(number, 0, len(data), data))
