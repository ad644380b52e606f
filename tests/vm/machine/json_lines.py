"""JSON objects, one a line, over a Unix socket: what QEMU's monitor and the guest agent both speak."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

# The guest agent sends this byte before an answer to guest-sync-delimited, and after a garbled line.
_SENTINEL = b"\xff"
_ANSWER_LARGEST = 16 * 1024 * 1024


class JsonLines:
    """One connection. Made by :meth:`connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> JsonLines:
        return cls(*await asyncio.open_unix_connection(path, limit=_ANSWER_LARGEST))

    async def send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()

    async def receive(self) -> dict[str, Any]:
        """The next object. Raises EOFError at the connection's end."""
        line = await self._reader.readline()
        if not line:
            raise EOFError("the other end has closed the connection")
        received: dict[str, Any] = json.loads(line.lstrip(_SENTINEL))
        return received

    async def close(self) -> None:
        self._writer.close()
        await asyncio.wait([asyncio.ensure_future(self._writer.wait_closed())])
