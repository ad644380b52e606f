"""The USB that newer ESP32 chips have themselves: a CDC-ACM serial port, beside a JTAG interface without a driver."""

from __future__ import annotations

import struct
from enum import IntEnum

from tests.vm.usb import device
from tests.vm.usb.device import Identity, Setup, Stall, UsbDevice
from tests.vm.usb.serial_adapter import ModuleSide

_OUT, _IN, _NOTIFY, _JTAG_OUT, _JTAG_IN = 1, 1, 2, 2, 3
_COMMUNICATION, _DATA, _VENDOR = (2, 2, 0), (10, 0, 0), (0xFF, 0xFF, 1)
_CLASS_INTERFACE = 0x24
_DTR, _RTS = 1, 2


class _Request(IntEnum):
    SET_LINE_CODING = 0x20
    GET_LINE_CODING = 0x21
    SET_CONTROL_LINE_STATE = 0x22


class EspNative(UsbDevice):
    """The chip's "USB JTAG/serial debug unit". Its serial number is the chip's MAC address."""

    device_class = (0xEF, 2, 1)
    in_endpoints = (_IN, _NOTIFY, _JTAG_IN)

    def __init__(self, serial: str, module: ModuleSide) -> None:
        super().__init__(Identity(0x303A, 0x1001, 0x0101, "Espressif", "USB JTAG/serial debug unit", serial))
        self._module = module
        self._line_coding = struct.pack("<IBBB", 9600, 0, 0, 8)

    def send(self, data: bytes) -> None:
        self.inward[_IN].send(data)

    def received(self, endpoint: int, data: bytes) -> None:
        if endpoint == _OUT:
            self._module.receive(data)

    def configuration(self) -> bytes:
        return device.configuration(
            3,
            struct.pack("<BBBBBBBB", 8, 11, 0, 2, *_COMMUNICATION, 0),  # interfaces 0 and 1 belong together
            device.interface(0, 1, _COMMUNICATION),
            *_functions(),
            device.interrupt_endpoint(0x80 | _NOTIFY),
            device.interface(1, 2, _DATA),
            device.bulk_endpoint(_OUT),
            device.bulk_endpoint(0x80 | _IN),
            device.interface(2, 2, _VENDOR),
            device.bulk_endpoint(_JTAG_OUT),
            device.bulk_endpoint(0x80 | _JTAG_IN),
        )

    def special_request(self, setup: Setup, data: bytes) -> bytes:
        match setup.request:
            case _Request.SET_LINE_CODING:
                self._line_coding = data
                return b""
            case _Request.GET_LINE_CODING:
                return self._line_coding
            case _Request.SET_CONTROL_LINE_STATE:
                self._module.lines(bool(setup.value & _DTR), bool(setup.value & _RTS))
                return b""
        raise Stall


def _functions() -> tuple[bytes, ...]:
    """What CDC-ACM says of itself: version 1.10, no call management, line state understood, interfaces 0 and 1."""
    return (
        struct.pack("<BBBH", 5, _CLASS_INTERFACE, 0, 0x0110),
        struct.pack("<BBBBB", 5, _CLASS_INTERFACE, 1, 0, 1),
        struct.pack("<BBBB", 4, _CLASS_INTERFACE, 2, 2),
        struct.pack("<BBBBB", 5, _CLASS_INTERFACE, 6, 0, 1),
    )
