"""Silicon Labs' CP2102, as its application note AN571 and Linux's cp210x driver know it."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from tests.vm.usb import device
from tests.vm.usb.device import Identity, Setup, Stall, UsbDevice
from tests.vm.usb.serial_adapter import ModuleSide

_OUT, _IN = 1, 1
_PART_NUMBER, _CP2102 = 0x370B, b"\x02"
_EIGHT_DATA_BITS: Final = 0x0800
_FLOW_SIZE, _STATUS_SIZE = 16, 19
_DTR, _RTS, _SETS_DTR, _SETS_RTS = 1, 2, 0x100, 0x200


class _Request(IntEnum):
    IFC_ENABLE = 0x00
    SET_LINE_CTL = 0x03
    GET_LINE_CTL = 0x04
    SET_BREAK = 0x05
    SET_MHS = 0x07
    GET_MDMSTS = 0x08
    GET_COMM_STATUS = 0x10
    PURGE = 0x12
    SET_FLOW = 0x13
    GET_FLOW = 0x14
    EMBED_EVENTS = 0x15
    SET_CHARS = 0x19
    GET_BAUDRATE = 0x1D
    SET_BAUDRATE = 0x1E
    VENDOR_SPECIFIC = 0xFF


_OF_NO_EFFECT = {
    _Request.IFC_ENABLE,
    _Request.SET_BREAK,
    _Request.PURGE,
    _Request.EMBED_EVENTS,
    _Request.SET_CHARS,
}


class Cp2102(UsbDevice):
    """A bridge between USB and the pins of a module."""

    in_endpoints = (_IN,)

    def __init__(self, serial: str, module: ModuleSide) -> None:
        super().__init__(
            Identity(0x10C4, 0xEA60, 0x0100, "Silicon Labs", "CP2102 USB to UART Bridge Controller", serial)
        )
        self._module = module
        self._dtr = self._rts = False
        self._line_control = _EIGHT_DATA_BITS
        self._flow = bytes(_FLOW_SIZE)
        self.baud = 9600

    def send(self, data: bytes) -> None:
        self.inward[_IN].send(data)

    def received(self, endpoint: int, data: bytes) -> None:
        self._module.receive(data)

    def configuration(self) -> bytes:
        return device.configuration(
            1,
            device.interface(0, 2, (0xFF, 0, 0)),
            device.bulk_endpoint(0x80 | _IN),
            device.bulk_endpoint(_OUT),
        )

    def special_request(self, setup: Setup, data: bytes) -> bytes:
        match setup.request:
            case _Request.SET_MHS:
                self._set_modem_lines(setup.value)
            case _Request.SET_BAUDRATE:
                (self.baud,) = struct.unpack("<I", data)
            case _Request.SET_LINE_CTL:
                self._line_control = setup.value
            case _Request.SET_FLOW:
                self._flow = data
            case request if request in _OF_NO_EFFECT:
                pass
            case _:
                return self._state(setup)
        return b""

    def _state(self, setup: Setup) -> bytes:
        match setup.request:
            case _Request.GET_BAUDRATE:
                return struct.pack("<I", self.baud)
            case _Request.GET_LINE_CTL:
                return struct.pack("<H", self._line_control)
            case _Request.GET_FLOW:
                return self._flow
            case _Request.GET_MDMSTS:
                return bytes([_DTR * self._dtr | _RTS * self._rts])
            case _Request.GET_COMM_STATUS:
                return bytes(_STATUS_SIZE)
            case _Request.VENDOR_SPECIFIC if setup.value == _PART_NUMBER:
                return _CP2102
        raise Stall

    def _set_modem_lines(self, value: int) -> None:
        if value & _SETS_DTR:
            self._dtr = bool(value & _DTR)
        if value & _SETS_RTS:
            self._rts = bool(value & _RTS)
        self._module.lines(self._dtr, self._rts)
