"""A USB device as its own firmware sees it: descriptors, control requests, endpoints."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

_SETUP = struct.Struct("<BBHHH")
_DEVICE_DESCRIPTOR = struct.Struct("<BBHBBBBHHHBBBB")
_DEVICE, _CONFIGURATION, _STRING = 1, 2, 3
_STANDARD = 0
_US_ENGLISH = b"\x04\x03\x09\x04"


class Standard(IntEnum):
    """USB's own control requests."""

    GET_STATUS = 0
    CLEAR_FEATURE = 1
    SET_FEATURE = 3
    SET_ADDRESS = 5
    GET_DESCRIPTOR = 6
    GET_CONFIGURATION = 8
    SET_CONFIGURATION = 9
    SET_INTERFACE = 11


_ACCEPTED = {
    Standard.CLEAR_FEATURE,
    Standard.SET_FEATURE,
    Standard.SET_ADDRESS,
    Standard.SET_CONFIGURATION,
    Standard.SET_INTERFACE,
}


class Stall(Exception):  # noqa: N818 -- USB's own word for a refused request
    """The device does not know that request."""


@dataclass(frozen=True)
class Setup:
    """A control request."""

    request_type: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def parse(cls, packet: bytes) -> Setup:
        return cls(*_SETUP.unpack(packet))

    @property
    def kind(self) -> int:
        """0: USB's own, 1: of the device's class, 2: the vendor's."""
        return self.request_type >> 5 & 3


@dataclass(frozen=True)
class Identity:
    """What a device says of itself."""

    vendor: int
    product: int
    version: int
    maker: str
    model: str
    serial: str


class InEndpoint:
    """Bytes on their way to the host, and the host's transfers that wait for them.

    A driver asks for bytes as long as a program has the port open. What is sent while none has is lost.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._waiting: deque[tuple[int, int]] = deque()
        self._wanted = False
        self._deliver: Callable[[int, bytes], None] = _nowhere

    def attach(self, deliver: Callable[[int, bytes], None]) -> None:
        """From now on ``deliver(number, data)`` ends transfers."""
        self._close()
        self._deliver = deliver

    def detach(self) -> None:
        self._close()
        self._deliver = _nowhere

    def send(self, data: bytes) -> None:
        if self._wanted:
            self._bytes += data
            self._serve()

    def submit(self, number: int, length: int) -> None:
        self._wanted = True
        self._waiting.append((number, length))
        self._serve()

    def unlink(self, number: int) -> bool:
        """Whether that transfer was still waiting."""
        before = len(self._waiting)
        self._waiting = deque(each for each in self._waiting if each[0] != number)
        if not self._waiting:
            self._close()
        return len(self._waiting) < before

    def _close(self) -> None:
        self._wanted = False
        self._bytes.clear()
        self._waiting.clear()

    def _serve(self) -> None:
        while self._waiting and self._bytes:
            number, length = self._waiting.popleft()
            data = bytes(self._bytes[:length])
            del self._bytes[:length]
            self._deliver(number, data)


def _nowhere(_number: int, _data: bytes) -> None:
    """Nobody is attached."""


class UsbDevice:
    """The part that every device has. A kind of device has descriptors and requests of its own."""

    #: Class, subclass and protocol.
    device_class = (0, 0, 0)
    #: The numbers of the endpoints that lead to the host.
    in_endpoints: tuple[int, ...] = ()

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.inward = {number: InEndpoint() for number in self.in_endpoints}

    def configuration(self) -> bytes:
        """The configuration descriptor with all that belongs to it."""
        raise NotImplementedError

    def special_request(self, setup: Setup, data: bytes) -> bytes:
        """Answers a request of the class or the vendor. Raises Stall."""
        raise NotImplementedError

    def received(self, endpoint: int, data: bytes) -> None:
        """Takes what the host has sent to an endpoint."""
        raise NotImplementedError

    def detached(self) -> None:
        """The host is gone."""
        for endpoint in self.inward.values():
            endpoint.detach()

    def control(self, setup: Setup, data: bytes) -> bytes:
        """Answers a control request. Raises Stall."""
        answer = self._standard(setup) if setup.kind == _STANDARD else self.special_request(setup, data)
        return answer[: setup.length]

    def _standard(self, setup: Setup) -> bytes:
        match setup.request:
            case Standard.GET_DESCRIPTOR:
                return self._descriptor(setup.value >> 8, setup.value & 0xFF)
            case Standard.GET_STATUS:
                return b"\0\0"
            case Standard.GET_CONFIGURATION:
                return b"\1"
            case request if request in _ACCEPTED:
                return b""
        raise Stall

    def _descriptor(self, kind: int, number: int) -> bytes:
        if kind == _DEVICE:
            return self._device_descriptor()
        if kind == _CONFIGURATION:
            return self.configuration()
        if kind == _STRING:
            return self._string(number)
        raise Stall

    def _device_descriptor(self) -> bytes:
        # USB 2.0, packets of 64 bytes, strings 1 to 3, one configuration
        it = self.identity
        return _DEVICE_DESCRIPTOR.pack(
            18, _DEVICE, 0x0200, *self.device_class, 64, it.vendor, it.product, it.version, 1, 2, 3, 1
        )

    def _string(self, number: int) -> bytes:
        if number == 0:
            return _US_ENGLISH
        texts = (self.identity.maker, self.identity.model, self.identity.serial)
        if number > len(texts):
            raise Stall
        encoded = texts[number - 1].encode("utf-16le")
        return bytes([len(encoded) + 2, _STRING]) + encoded


def configuration(interfaces: int, *descriptors: bytes) -> bytes:
    """A configuration descriptor, powered by the bus with 100 mA, around what it consists of."""
    body = b"".join(descriptors)
    return struct.pack("<BBHBBBBB", 9, _CONFIGURATION, 9 + len(body), interfaces, 1, 0, 0x80, 50) + body


def interface(number: int, endpoints: int, kind: tuple[int, int, int]) -> bytes:
    return struct.pack("<BBBBBBBBB", 9, 4, number, 0, endpoints, *kind, 0)


def bulk_endpoint(address: int) -> bytes:
    return struct.pack("<BBBBHB", 7, 5, address, 2, 64, 0)


def interrupt_endpoint(address: int) -> bytes:
    return struct.pack("<BBBBHB", 7, 5, address, 3, 8, 16)
