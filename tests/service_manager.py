"""The other end of $NOTIFY_SOCKET: what a service tells its manager."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE = 30.0


class Manager:
    """Keeps everything that it is told.

    Attributes:
        address: What belongs into NOTIFY_SOCKET.
    """

    def __init__(self, end: socket.socket, address: str) -> None:
        self._end = end
        self.address = address
        self.heard: list[str] = []

    async def until(self, beginning: str) -> str:
        """The next message that begins so; the ones before it are kept, too."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE):
            while True:
                self.heard.append((await loop.sock_recv(self._end, 4096)).decode())
                if self.heard[-1].startswith(beginning):
                    return self.heard[-1]

    def drain(self) -> list[str]:
        """Everything, with what has arrived by now."""
        while True:
            try:
                self.heard.append(self._end.recv(4096).decode())
            except BlockingIOError:
                return self.heard


@contextmanager
def manager(path: Path) -> Iterator[Manager]:
    """Listens at the path; one that begins with "@" is a name in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        name = str(path)
        end.bind("\0" + name[1:] if name.startswith("@") else name)
        end.setblocking(False)
        yield Manager(end, name)
