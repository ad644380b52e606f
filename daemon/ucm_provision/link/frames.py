"""Frames of the device link's serial carrier, without any I/O.

A frame stands between two zero bytes, stuffed with COBS, so that it survives in the middle of the
module's console output (hardware/link/SPEC.md, "Serial carrier")::

    00 COBS( version u8, type u8, seq u8, session u32, status u16, endpoint length u8,
             endpoint, body, CRC-32 u32 ) 00                          all numbers little-endian
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cobs import cobs

from ucm_provision.core import policy
from ucm_provision.link.console import Console

_VERSION = 1
_REQUEST, _RESPONSE = 1, 2
_HEADER = struct.Struct("<BBBIHB")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Response:
    """What a module answered. ``status`` is 0 or the low 16 bits of its ``esp_err_t``."""

    seq: int
    session: int
    status: int
    body: bytes


def encode_request(seq: int, session: int, endpoint: str, body: bytes) -> bytes:
    """The bytes of one request on the wire, both delimiters included."""
    name = endpoint.encode("ascii")
    covered = _HEADER.pack(_VERSION, _REQUEST, seq, session, 0, len(name)) + name + body
    return b"\0" + bytes(cobs.encode(covered + _CRC.pack(zlib.crc32(covered)))) + b"\0"


class Deframer:
    """Finds responses in whatever comes over the line, and keeps the rest as the module's console.

    Memory is bounded whatever arrives: by one frame and the console's tail.

    Attributes:
        max_frame: The largest decoded frame, header to CRC; larger ones are console.
        received: How many bytes came in.
        frames: How many of them were valid responses.
        console: Everything that was no frame.
    """

    def __init__(self) -> None:
        self.max_frame = policy.MAX_FRAME_DEFAULT
        self.received = 0
        self.frames = 0
        self.console = Console()
        self._block = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[Response]:
        """The responses that ``data`` completes, in order."""
        self.received += len(data)
        *ended, begun = data.split(b"\0")
        responses = []
        for piece in ended:
            self._extend(piece)
            if response := self._end_block():
                responses.append(response)
        self._extend(begun)
        self.frames += len(responses)
        return responses

    def unfinished(self) -> bytes:
        """What came after the last delimiter: perhaps half a frame, perhaps console."""
        return bytes(self._block)

    def _extend(self, piece: bytes) -> None:
        self._block += piece
        if len(self._block) > self._longest_block():
            self._too_long = True
            self._spill()

    def _longest_block(self) -> int:
        return self.max_frame + self.max_frame // 254 + 1  # COBS adds one byte, and one per 254

    def _end_block(self) -> Response | None:
        response = None if self._too_long else _decode(bytes(self._block), self.max_frame)
        if response is None:
            self._spill()
        self._block.clear()
        self._too_long = False
        return response

    def _spill(self) -> None:
        self.console.add(bytes(self._block))
        self._block.clear()


def _decode(block: bytes, max_frame: int) -> Response | None:
    try:
        frame = cobs.decode(block)
    except cobs.DecodeError:
        return None
    if not _HEADER.size + _CRC.size <= len(frame) <= max_frame:
        return None
    covered, crc = frame[: -_CRC.size], frame[-_CRC.size :]
    if zlib.crc32(covered) != _CRC.unpack(crc)[0]:
        return None
    version, kind, seq, session, status, endpoint_length = _HEADER.unpack_from(covered)
    if (version, kind, endpoint_length) != (_VERSION, _RESPONSE, 0):
        return None
    return Response(seq, session, status, covered[_HEADER.size :])
