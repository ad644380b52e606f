"""USB/IP's messages, as the kernel's Documentation/usb/usbip_protocol.rst has them."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

_VERSION = 0x0111
_REQUEST_IMPORT, _REPLY_IMPORT = 0x8003, 0x0003
_SUBMIT, _UNLINK, _SUBMITTED, _UNLINKED = 1, 2, 3, 4
_OPERATION = struct.Struct(">HHI")  # version, code, status
_BASIC = struct.Struct(">IIIII")  # command, sequence number, device, direction, endpoint
_SUBMIT_REST = struct.Struct(">IiiiI8s")  # flags, length, start frame, packets, interval, setup
_SUBMITTED_REST = struct.Struct(">iiiiI8x")  # status, length, start frame, packets, errors
_UNLINK_REST = struct.Struct(">I24x")
_UNLINKED_REST = struct.Struct(">i24x")
_DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")
_BUS_ID = 32

FULL_SPEED = 2
STALLED = -32  # -EPIPE
UNLINKED = -104  # -ECONNRESET


@dataclass(frozen=True)
class Submit:
    """A transfer that the host's driver asks for. ``data`` goes out; ``length`` is what may come in."""

    number: int
    endpoint: int
    is_in: bool
    length: int
    setup: bytes
    data: bytes


@dataclass(frozen=True)
class Unlink:
    """The host's driver takes back a transfer."""

    number: int
    target: int


async def read_import(reader: asyncio.StreamReader) -> str:
    """Which device a client wants. Raises ValueError for anything else."""
    _, code, _ = _OPERATION.unpack(await reader.readexactly(_OPERATION.size))
    if code != _REQUEST_IMPORT:
        raise ValueError(f"operation {code:#06x} is not an import")
    return (await reader.readexactly(_BUS_ID)).rstrip(b"\0").decode()


def import_refused() -> bytes:
    return _OPERATION.pack(_VERSION, _REPLY_IMPORT, 1)


def import_reply(bus_id: str, number: int, vendor: int, product: int, version: int) -> bytes:
    """The device is there. Its class and interfaces are told by its descriptors, so they are left out here."""
    path = f"/sys/devices/emulated/usb1/{bus_id}".encode()
    device = _DEVICE.pack(
        path, bus_id.encode(), 1, number, FULL_SPEED, vendor, product, version, 0, 0, 0, 1, 1, 1
    )  # class, subclass, protocol; configuration, number of configurations, number of interfaces
    return _OPERATION.pack(_VERSION, _REPLY_IMPORT, 0) + device


async def read_command(reader: asyncio.StreamReader) -> Submit | Unlink:
    """The next command. Raises IncompleteReadError at the connection's end."""
    command, number, _, is_in, endpoint = _BASIC.unpack(await reader.readexactly(_BASIC.size))
    rest = await reader.readexactly(_SUBMIT_REST.size)
    if command == _UNLINK:
        return Unlink(number, _UNLINK_REST.unpack(rest)[0])
    if command != _SUBMIT:
        raise ValueError(f"command {command} is unknown")
    _, length, _, _, _, setup = _SUBMIT_REST.unpack(rest)
    data = b"" if is_in else await reader.readexactly(length)
    return Submit(number, endpoint, bool(is_in), length, setup, data)


def submitted(number: int, status: int, length: int, data: bytes = b"") -> bytes:
    """A transfer's end. ``length``: how many bytes went either way."""
    return _BASIC.pack(_SUBMITTED, number, 0, 0, 0) + _SUBMITTED_REST.pack(status, length, 0, 0, 0) + data


def unlinked(number: int, status: int) -> bytes:
    """``status``: :data:`UNLINKED`, or 0 if the transfer had ended already."""
    return _BASIC.pack(_UNLINKED, number, 0, 0, 0) + _UNLINKED_REST.pack(status)
