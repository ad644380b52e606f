"""Somebody between the daemon and a module's HTTP port, who interferes at chosen requests."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from tests.e2e.lan import powered
from ucm_sim import Identity, LanModule, LanSegment
from ucm_sim.mdns import Service

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
PROTO_VER = b"POST /proto-ver HTTP/1.1\r\nContent-Length: 1\r\n\r\n-"

# Interferes with a request: returns the module's answer, or raises ConnectionResetError to cut the daemon off.
Misdeed = Callable[["Interposer", bytes], Awaitable[bytes]]


class Interposer:
    """Passes on one request after the other, and counts them.

    Attributes:
        at: What happens instead to the request of that number, from 0.
        always: What happens instead to every request.
        requests: The endpoint of each, and the length of its body.
    """

    def __init__(self, module: LanModule) -> None:
        self.module = module
        self.at: dict[int, Misdeed] = {}
        self.always: Misdeed = passed
        self.requests: list[tuple[str, int]] = []
        self.port = 0
        self._served: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._served:
                task.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        try:
            await self._pass_on(reader, writer)
        except ConnectionResetError:
            _reset(writer)
        except (OSError, IncompleteReadError):
            writer.close()  # the module closed, or the daemon

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            request = await _message(reader)
            misdeed = self.at.get(len(self.requests), self.always)
            self.requests.append((request.split(b" ", 2)[1].decode()[1:], len(request.partition(b"\r\n\r\n")[2])))
            writer.write(await misdeed(self, request))

    async def ask(self, request: bytes) -> bytes:
        """The module's answer, on a connection of its own. The session is known by its cookie."""
        async with connected(self.module.port) as (reader, writer):
            writer.write(request)
            return await _message(reader)


class InterposedSegment(LanSegment):
    """Announces modules where their interposers listen."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, int] = {}

    def publish(self, service: Service) -> None:
        super().publish(replace(service, port=self.ports[service.instance]))


@asynccontextmanager
async def interposed(
    identities: Iterable[Identity], misdeeds: Mapping[int, Misdeed] | None = None
) -> AsyncIterator[list[Interposer]]:
    """Modules on the LAN, each behind an interposer; ``misdeeds`` are those of all of them."""
    segment = InterposedSegment()
    async with AsyncExitStack() as stack, powered(identities, segment) as modules:
        interposers = [Interposer(module) for module in modules]
        for interposer in interposers:
            interposer.at = dict(misdeeds or {})
            await stack.enter_async_context(interposer.listening())
            segment.ports[f"ucm-{interposer.module.identity.hardware_id}"] = interposer.port
        yield interposers


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _message(reader: StreamReader) -> bytes:
    """A request or an answer with all of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _reset(writer: StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# ---- misdeeds ------------------------------------------------------------------------------------


async def passed(by: Interposer, request: bytes) -> bytes:
    """None at all."""
    return await by.ask(request)


async def stolen(by: Interposer, request: bytes) -> bytes:
    """Another client's request comes just before."""
    await by.ask(PROTO_VER)
    return await by.ask(request)


async def lost(_: Interposer, request: bytes) -> bytes:
    """The request is lost with the connection."""
    raise ConnectionResetError


async def unanswered(by: Interposer, request: bytes) -> bytes:
    """The module does what was asked, and its answer is lost with the connection."""
    await by.ask(request)
    raise ConnectionResetError
