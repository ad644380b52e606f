"""What a module finds on a site: a broker that can misbehave on demand, and sources of time."""

import asyncio
import contextlib
import json
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, cast

NTP_TO_UNIX_S = 2_208_988_800


@dataclass
class ScriptedBroker:
    """An MQTT 3.1.1 broker that answers CONNECT and SUBSCRIBE with what it was told to."""

    connack: int | None = 0
    suback: int = 0
    port: int = 0
    logins: list[tuple[str, str]] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    published: asyncio.Queue[tuple[str, dict[str, Any]]] = field(default_factory=asyncio.Queue)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    pinged: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                await self._answer(*await _packet(reader), writer)

    async def _answer(self, kind: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        if kind == 1:
            self.logins.append(_login(body))
            if self.connack is not None:
                writer.write(bytes([0x20, 2, 0, self.connack]))
        elif kind == 8:
            self.subscriptions.append(_string(body, 2)[0])
            writer.write(bytes([0x90, 3, *body[:2], self.suback]))
        elif kind == 3:
            topic, at = _string(body, 0)
            self.published.put_nowait((topic, json.loads(body[at:])))
        elif kind == 12:
            writer.write(bytes([0xD0, 0]))
            self.pinged.set()

    async def next_on(self, ending: str) -> dict[str, Any]:
        """The next message on a topic with this ending."""
        async with asyncio.timeout(5):
            while True:
                topic, content = await self.published.get()
                if topic.endswith(ending):
                    return content

    def command(self, content: dict[str, Any]) -> None:
        """Publish to whoever connected last."""
        topic = self.subscriptions[-1].encode()
        body = struct.pack(">H", len(topic)) + topic + json.dumps(content).encode()
        assert len(body) < 128
        self.writers[-1].write(bytes([0x30, len(body)]) + body)

    def drop(self) -> None:
        """Reset every connection."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@contextlib.asynccontextmanager
async def broker(
    tls: ssl.SSLContext | None = None, *, port: int = 0, connack: int | None = 0, suback: int = 0
) -> AsyncIterator[ScriptedBroker]:
    scripted = ScriptedBroker(connack, suback)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", port, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        scripted.drop()
        await server.wait_closed()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind, await reader.readexactly(length)


def _string(body: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + struct.unpack_from(">H", body, at)[0]
    return body[at + 2 : end].decode(), end


def _login(body: bytes) -> tuple[str, str]:
    protocol, at = _string(body, 0)
    level, flags, keep_alive = struct.unpack_from(">BBH", body, at)
    # 3.1.1, a clean session, no will, and an empty client id.
    assert (protocol, level, keep_alive) == ("MQTT", 4, 60)
    assert flags & 0x3F == 0x02
    client_id, at = _string(body, at + 4)
    assert client_id == ""
    if not flags & 0x80:
        return "", ""
    username, at = _string(body, at)
    return username, _string(body, at)[0]


@contextlib.asynccontextmanager
async def http_time(answer: Callable[[str], str] | None = None) -> AsyncIterator[int]:
    """An HTTP server on a free port; `answer` gets the request line and returns the head of the answer."""
    answer = answer or (lambda _: f"HTTP/1.1 404 Not Found\r\nDate: {formatdate(usegmt=True)}\r\n\r\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(head.decode().splitlines()[0]).encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class NtpServer(asyncio.DatagramProtocol):
    """Answers SNTP requests; `ahead_s` is how much its clock is ahead of the host's."""

    def __init__(self, ahead_s: float, stratum: int) -> None:
        self._ahead_s, self._stratum = ahead_s, stratum

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert data[0] & 7 == 3
        seconds, fraction = divmod(time.time() + self._ahead_s + NTP_TO_UNIX_S, 1)
        now = struct.pack(">II", int(seconds), int(fraction * 2**32))
        head = bytes([0x24, self._stratum, 0, 0]) + bytes(12)
        self._transport.sendto(head + now + data[40:48] + now + now, addr)


@contextlib.asynccontextmanager
async def ntp_time(*, ahead_s: float = 0, stratum: int = 2) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NtpServer(ahead_s, stratum), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
