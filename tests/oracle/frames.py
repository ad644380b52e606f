"""The device link's serial carrier for a blocking client, after hardware/link/SPEC.md, section 2.

It shares no code with the daemon or the simulated module, and no library either: both use the same one for
COBS, so here it is written out.
"""

import os
import secrets
import select
import struct
import time
import tty
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_HEADER = struct.Struct("<BBBIHB")  # version, type, seq, session, status, length of the endpoint's name
_CRC = struct.Struct("<I")
_VERSION, _REQUEST, _RESPONSE = 1, 1, 2
_LONGEST_RUN = 254
_RESEND_S = 0.25
_GIVE_UP_S = 10.0


class RefusedError(Exception):
    """The module answered an esp_err instead of a body."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:#x}")
        self.status = status


@dataclass(frozen=True)
class Response:
    """A well-formed response of a module."""

    session: int
    seq: int
    status: int
    body: bytes


def cobs_encoded(block: bytes) -> bytes:
    """The shortest COBS form of a block."""
    *runs, last = block.split(b"\0")
    encoded = b"".join(map(_encoded_run, [*runs, last]))
    ends_full = last and len(last) % _LONGEST_RUN == 0
    return encoded[:-1] if ends_full else encoded


def _encoded_run(run: bytes) -> bytes:
    """Bytes without a zero, and the zero behind them."""
    rest = len(run) // _LONGEST_RUN * _LONGEST_RUN
    full = (b"\xff" + run[at : at + _LONGEST_RUN] for at in range(0, rest, _LONGEST_RUN))
    return b"".join(full) + bytes([len(run) - rest + 1]) + run[rest:]


def cobs_decoded(encoded: bytes) -> bytes | None:
    """The block of a COBS form without zeros, None if it ends too early."""
    block, at = bytearray(), 0
    while at < len(encoded):
        code = encoded[at]
        if at + code > len(encoded):
            return None
        block += encoded[at + 1 : at + code]
        at += code
        if code <= _LONGEST_RUN and at < len(encoded):
            block.append(0)
    return bytes(block)


def request_frame(session: int, seq: int, endpoint: str, body: bytes) -> bytes:
    """The bytes on the wire of a request, delimiters included."""
    block = _HEADER.pack(_VERSION, _REQUEST, seq, session, 0, len(endpoint)) + endpoint.encode() + body
    return b"\0" + cobs_encoded(block + _CRC.pack(zlib.crc32(block))) + b"\0"


def parsed_response(encoded: bytes) -> Response | None:
    """The response between two zero bytes, None where there is only console text."""
    block = cobs_decoded(encoded)
    if block is None or len(block) < _HEADER.size + _CRC.size or block[-4:] != _CRC.pack(zlib.crc32(block[:-4])):
        return None
    version, kind, seq, session, status, _ = _HEADER.unpack_from(block)
    if (version, kind) != (_VERSION, _RESPONSE):
        return None
    return Response(session, seq, status, block[_HEADER.size : -_CRC.size])


class FrameTransport:
    """One session over a terminal. Every call blocks, for ten seconds at most."""

    def __init__(self, terminal: Path) -> None:
        self._descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._descriptor)
        self._session = secrets.randbelow(0x7FFFFFFE) + 1
        self._seq = 0
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def call(self, endpoint: str, body: bytes) -> bytes:
        """The module's answer; raises RefusedError, or TimeoutError if there is none."""
        frame = request_frame(self._session, self._seq, endpoint, body)
        give_up_at = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < give_up_at:
            os.write(self._descriptor, frame)
            if response := self._response(time.monotonic() + _RESEND_S):
                self._seq = (self._seq + 1) % 256
                if response.status:
                    raise RefusedError(response.status)
                return response.body
        raise TimeoutError(f"no answer to {endpoint}")

    def _response(self, until: float) -> Response | None:
        while (left_s := until - time.monotonic()) > 0:
            if select.select([self._descriptor], [], [], left_s)[0]:
                self._received += os.read(self._descriptor, 4096)
                *pieces, self._received = self._received.split(b"\0")
                for response in filter(None, map(parsed_response, pieces)):
                    if (response.session, response.seq) == (self._session, self._seq):
                        return response
        return None
