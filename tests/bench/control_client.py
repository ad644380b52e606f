"""A bare MQTT 3.1.1 client of dynamic security: it sends what was encoded before and counts what comes back."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from tests.site.harness import connect_packet
from ucm_site_api.mosquitto.files import CONTROL_USER

DEADLINE = 60.0

_TOPIC = b"$CONTROL/dynamic-security/v1"
_CONNACK, _PUBLISH, _SUBACK = 0x20, 0x30, 0x90


class ControlClient:
    """One connection, on blocking sockets: nothing is cheaper."""

    def __init__(self, port: int, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(connect_packet("", CONTROL_USER, password))
        self._expect(_CONNACK)
        self._socket.sendall(_packet(0x82, b"\0\1" + _text(_TOPIC + b"/response") + b"\0"))
        self._expect(_SUBACK)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def carry_out(self, payloads: Sequence[bytes], at_a_time: int) -> list[bytes]:
        """The answers to messages of commands, of which so many at most are unanswered at any time."""
        packets = [_packet(_PUBLISH, _text(_TOPIC) + payload) for payload in payloads]
        for packet in packets[:at_a_time]:
            self._socket.sendall(packet)
        answers = [self._expect(_PUBLISH)]
        for packet in packets[at_a_time:]:
            self._socket.sendall(packet)
            answers.append(self._expect(_PUBLISH))
        return answers + [self._expect(_PUBLISH) for _ in packets[len(answers) :]]

    def _expect(self, kind: int) -> bytes:
        received, length, shift = self._byte(), 0, 0
        while (digit := self._byte()) & 0x80:
            length |= (digit & 0x7F) << shift
            shift += 7
        body = self._file.read(length | digit << shift)
        if received != kind:
            raise RuntimeError(f"mosquitto sent {received:#x} {body!r} for {kind:#x}")
        return body

    def _byte(self) -> int:
        return self._file.read(1)[0]


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while rest > 0x7F:
        length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([kind]) + length + bytes([rest]) + body


def _text(text: bytes) -> bytes:
    return struct.pack("!H", len(text)) + text
