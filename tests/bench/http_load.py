"""An HTTP client that costs next to nothing, so that what is measured is the server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Self
from urllib.parse import urlsplit

from tests.bench.site_server import SiteServer

DEADLINE = 60.0


class HttpConnection:
    """One connection that is kept; one call at a time."""

    def __init__(self, server: SiteServer) -> None:
        self._address = urlsplit(server.url)
        self._head = f"HTTP/1.1\r\nHost: {self._address.netloc}\r\nX-Enapter-Auth-Token: {server.token}\r\n"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer, which is a success."""
        self._writer.write(f"{method} {path} {self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("ascii")
        length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        answer = await self._reader.readexactly(int(length.partition(":")[2]))
        if not head.startswith("HTTP/1.1 200 "):
            raise RuntimeError(f"{method} {path}: {head} {answer!r}")
        return answer


async def calls_a_second(server: SiteServer, path: str, bodies: Iterable[dict[str, Any]], connections: int) -> float:
    """POST every body once, on so many connections at a time, each asking anew as soon as it was answered."""
    waiting = [json.dumps(body).encode() for body in bodies]
    count = len(waiting)

    async def ask(connection: HttpConnection) -> None:
        while waiting:
            await connection.call("POST", path, waiting.pop())

    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE):
        opened = [await stack.enter_async_context(HttpConnection(server)) for _ in range(connections)]
        started = time.perf_counter()
        await asyncio.gather(*map(ask, opened))
        return count / (time.perf_counter() - started)
