"""Frames of the serial carrier, without any I/O.

A frame on the wire is `00 COBS(header, endpoint, body, CRC-32) 00`; whatever else stands between zero
bytes is console text. The layout is in hardware/link/SPEC.md.
"""

import struct
import zlib
from dataclasses import dataclass, field

from cobs import cobs

VERSION = 1
REQUEST = 1
RESPONSE = 2
DEFAULT_MAX_FRAME = 2304

_HEADER = struct.Struct("<BBBIHB")  # version, type, seq, session, status, length of the endpoint
_CRC = struct.Struct("<I")
_OVERHEAD = _HEADER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request of the host."""

    session: int
    seq: int
    endpoint: str
    body: bytes = field(repr=False)


def encode_response(session: int, seq: int, status: int, body: bytes) -> bytes:
    """Return the bytes on the wire of a response, delimiters included."""
    block = _HEADER.pack(VERSION, RESPONSE, seq, session, status, 0) + body
    encoded: bytes = cobs.encode(block + _CRC.pack(zlib.crc32(block)))
    return b"\0" + encoded + b"\0"


def decode_request(encoded: bytes, max_frame: int) -> Request | None:
    """Return the request in one COBS block, or None where the block deserves no answer."""
    try:
        block = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if not _OVERHEAD <= len(block) <= max_frame or not _has_valid_crc(block):
        return None
    version, kind, seq, session, _, name_length = _HEADER.unpack_from(block)
    body_at = _HEADER.size + name_length
    if (version, kind) != (VERSION, REQUEST) or body_at > len(block) - _CRC.size:
        return None
    endpoint = block[_HEADER.size : body_at].decode("ascii", "backslashreplace")
    return Request(session, seq, endpoint, block[body_at : -_CRC.size])


def _has_valid_crc(block: bytes) -> bool:
    (crc,) = _CRC.unpack_from(block, len(block) - _CRC.size)
    return bool(zlib.crc32(block[: -_CRC.size]) == crc)


class RequestScanner:
    """Finds requests in a stream of bytes, however it is cut into pieces.

    Memory is bounded: a run without a zero byte that is longer than the largest frame is thrown away.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._longest = max_frame + max_frame // 254 + 1  # COBS adds at most one byte in 254, and one
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        """Take the next bytes of the stream and return the requests that they complete."""
        *closed, rest = data.split(b"\0")
        requests = []
        for piece in closed:
            self._hold(piece)
            if (request := self._release()) is not None:
                requests.append(request)
        self._hold(rest)
        return requests

    def _hold(self, piece: bytes) -> None:
        # One byte more than allowed is kept: it marks the run as too long.
        self._held += piece[: self._longest + 1 - len(self._held)]

    def _release(self) -> Request | None:
        encoded = bytes(self._held)
        self._held.clear()
        if not encoded or len(encoded) > self._longest:
            return None
        return decode_request(encoded, self._max_frame)
