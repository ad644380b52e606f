"""A host for the tests on the LAN: plain sockets, and HTTP written by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.sim.host import Secured

DEADLINE_S = 5.0


class Dropped(Exception):  # noqa: N818 - reads as a sentence in pytest.raises
    """The module closed the socket without a status line."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Socket:
    """One TCP connection to a module."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, address: str = "127.0.0.1") -> Self:
        return cls(*await asyncio.open_connection(address, port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> Reply:
        """Send bytes as they are and read one answer; raises Dropped, or OSError as the kernel reports it."""
        self.writer.write(data)
        return await self.reply()

    async def reply(self) -> Reply:
        async with asyncio.timeout(DEADLINE_S):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as end:
                raise Dropped(end.partial) from end
            status, *lines = head.decode().split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return Reply(int(status.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Wait for the end of the stream, whichever way it comes."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


def post(endpoint: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """The bytes of a request; `length` is what it claims."""
    lines = [f"POST /{endpoint} HTTP/1.1", "Host: module", f"Content-Length: {length or len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class LanHost(Secured):
    """One session over one socket, with the cookie that the module gave."""

    def __init__(self, socket: Socket) -> None:
        super().__init__()
        self.socket = socket
        self.cookie = ""

    async def call(self, endpoint: str, body: bytes) -> bytes:
        headers = [f"Cookie: {self.cookie}"] if self.cookie else []
        reply = await self.socket.send(post(endpoint, body, *headers))
        assert reply.status == 200
        if "Set-Cookie" in reply.headers:
            self.cookie = reply.headers["Set-Cookie"]
        return reply.body


@contextlib.asynccontextmanager
async def lan_opened(port: int, address: str = "127.0.0.1") -> AsyncIterator[LanHost]:
    async with await Socket.open(port, address) as socket:
        yield LanHost(socket)


@contextlib.asynccontextmanager
async def lan_secured(port: int, pop: str, address: str = "127.0.0.1") -> AsyncIterator[LanHost]:
    async with lan_opened(port, address) as host:
        await host.shake_hands(pop)
        yield host
