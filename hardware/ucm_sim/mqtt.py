"""As much of MQTT 3.1.1 as a module speaks: one clean session, QoS 0, no will."""

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum

KEEP_ALIVE_S = 60
_LONGEST_PACKET = 64 * 1024
_USERNAME_FLAG, _PASSWORD_FLAG, _CLEAN_SESSION = 0x80, 0x40, 0x02
SUBSCRIPTION_REFUSED = 0x80


class ProtocolError(Exception):
    """The peer does not speak MQTT 3.1.1."""


class Kind(IntEnum):
    """The packet types of section 2.2.1 of the standard that can reach or leave a module."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13


@dataclass(frozen=True, slots=True)
class Packet:
    kind: Kind
    flags: int
    body: bytes

    @property
    def message(self) -> tuple[str, bytes]:
        """Topic and payload of a PUBLISH at QoS 0; raises ProtocolError for anything malformed."""
        length = int.from_bytes(self.body[:2], "big")
        if self.flags & 0x06 or len(self.body) < 2 + length:
            raise ProtocolError("a message that was not asked for")
        return self.body[2 : 2 + length].decode(errors="replace"), self.body[2 + length :]


def connect(username: str | None, password: str | None) -> bytes:
    """A CONNECT with an empty client id: the broker gives one, as it does for the platform's devices."""
    flags, credentials = _CLEAN_SESSION, b""
    if username is not None:
        flags |= _USERNAME_FLAG
        credentials += _string(username)
    if password is not None:
        flags |= _PASSWORD_FLAG
        credentials += _string(password)
    head = _string("MQTT") + struct.pack(">BBH", 4, flags, KEEP_ALIVE_S)
    return _packet(Kind.CONNECT, 0, head + _string("") + credentials)


def subscribe(identifier: int, topic: str) -> bytes:
    return _packet(Kind.SUBSCRIBE, 0x02, struct.pack(">H", identifier) + _string(topic) + b"\0")


def publish(topic: str, payload: bytes) -> bytes:
    return _packet(Kind.PUBLISH, 0, _string(topic) + payload)


def ping() -> bytes:
    return _packet(Kind.PINGREQ, 0, b"")


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """Read one packet; raises ProtocolError, EOFError or OSError."""
    first = (await reader.readexactly(1))[0]
    length = await _read_length(reader)
    if length > _LONGEST_PACKET:
        raise ProtocolError("a packet beyond this module's memory")
    body = await reader.readexactly(length)
    try:
        return Packet(Kind(first >> 4), first & 0x0F, body)
    except ValueError as failure:
        raise ProtocolError(f"packet type {first >> 4}") from failure


async def expect(reader: asyncio.StreamReader, kind: Kind, length: int) -> bytes:
    """Read one packet that must be of a kind and have at least `length` bytes; return its body."""
    packet = await read_packet(reader)
    if packet.kind is not kind or len(packet.body) < length:
        raise ProtocolError(f"{packet.kind.name} instead of {kind.name}")
    return packet.body


async def _read_length(reader: asyncio.StreamReader) -> int:
    length = 0
    for shift in (0, 7, 14, 21):
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return length
    raise ProtocolError("a length of more than four bytes")


def _packet(kind: Kind, flags: int, body: bytes) -> bytes:
    return bytes([kind << 4 | flags]) + _length(len(body)) + body


def _length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
