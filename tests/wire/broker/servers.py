"""Brokers and time sources that answer as they are told to."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.wire.broker.authority import Authority, Issued

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = 1, 3, 8, 10, 14


@dataclass
class ScriptedBroker:
    """Speaks just enough MQTT 3.1.1 to answer one client after the other.

    Attributes:
        connack: The return code, None for silence.
        suback: The return code, None for silence.
        puback: Whether what clients publish, with QoS 1, is acknowledged.
        hang_up_on: Packet type that is answered by closing the connection.
        packets: All that arrived: type and body.
    """

    connack: int | None = 0
    suback: int | None = 0
    puback: bool = True
    hang_up_on: int | None = None
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    clients: set[asyncio.StreamWriter] = field(default_factory=set)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """To every client, whatever it subscribed to."""
        body = len(topic).to_bytes(2, "big") + topic.encode() + payload
        for writer in self.clients:
            writer.write(bytes([0x30 | retain, len(body) & 0x7F | 0x80, len(body) >> 7]) + body)

    def drop_clients(self) -> None:
        for writer in self.clients:
            writer.transport.abort()

    def published(self) -> list[tuple[str, bytes]]:
        """Topics and payloads that clients published, with QoS 1."""
        bodies = [body for kind, body in self.packets if kind == PUBLISH]
        lengths = [int.from_bytes(body[:2], "big") for body in bodies]
        return [
            (body[2 : 2 + length].decode(), body[4 + length :]) for body, length in zip(bodies, lengths, strict=True)
        ]

    def types(self) -> list[int]:
        return [kind for kind, _ in self.packets]

    async def until_published(self, payload: bytes) -> None:
        async with asyncio.timeout(5):
            while payload not in [each for _, each in self.published()]:
                self.received.clear()
                await self.received.wait()

    async def until(self, kind: int) -> None:
        async with asyncio.timeout(5):
            while kind not in self.types():
                self.received.clear()
                await self.received.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (packet := await _read_packet(reader))[0] != DISCONNECT:
                self._note(packet)
                if packet[0] == self.hang_up_on:
                    break
                writer.write(self._answer(*packet))
                await writer.drain()
            else:
                self._note(packet)
        self.clients.discard(writer)
        writer.transport.abort()

    def _note(self, packet: tuple[int, bytes]) -> None:
        self.packets.append(packet)
        self.received.set()

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == CONNECT and self.connack is not None:
            return bytes([0x20, 2, 0, self.connack])
        if kind == SUBSCRIBE and self.suback is not None:
            return bytes([0x90, 3]) + body[:2] + bytes([self.suback])
        if kind == PUBLISH and self.puback:
            length = int.from_bytes(body[:2], "big")
            return bytes([0x40, 2]) + body[2 + length : 4 + length]
        if kind == UNSUBSCRIBE:
            return bytes([0xB0, 2]) + body[:2]
        return b""


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)


@asynccontextmanager
async def serving(broker: ScriptedBroker, context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedBroker]:
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=context)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        await server.wait_closed()


def server_context(
    folder: Path, server: Issued, clients: Authority | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A broker's side: demands a client certificate of ``clients`` where given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.files(folder, "server"))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.itself.certificate_der)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@contextmanager
def blocking_tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """Shakes hands with every client and hangs up; yields its port.

    Not asyncio's: that one closes without the alert that says why it refused a certificate.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

    thread = threading.Thread(target=serve, name="tls-server")
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that accepts no further connection and refuses none: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody else gets meanwhile and that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@asynccontextmanager
async def http_time_source(answer: bytes | None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HEAD / HTTP/1.1\r\n")
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class NtpServer(asyncio.DatagramProtocol):
    """Answers with the given first bytes; drops the first ``lose`` questions; may prepend an answer to nobody."""

    def __init__(self, *, head: bytes = b"\x24\x02", lose: int = 0, forged: bool = False, mute: bool = False) -> None:
        self.questions = 0
        self._head, self._lose, self._forged, self._mute = head, lose, forged, mute

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.questions += 1
        if self._mute or self.questions <= self._lose:
            return
        if self._forged:
            self._transport.sendto(self._packet(b"elsewhen"), addr)
        self._transport.sendto(self._packet(data[40:48]), addr)

    def _packet(self, origin: bytes) -> bytes:
        return self._head.ljust(24, b"\0") + origin + b"\xee" * 16


@asynccontextmanager
async def ntp_time_source(server: NtpServer) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
