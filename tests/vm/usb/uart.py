"""The wires between a simulated module's serial port and the adapter on its board."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path


class Uart:
    """The adapter's end of a module's pseudo-terminal. The module sets the pace, so what it is sent waits here.

    ``sent(data)`` gets what the module says.
    """

    def __init__(self, terminal: Path, sent: Callable[[bytes], None]) -> None:
        self._sent = sent
        self._waiting = bytearray()
        self._descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.add_writer(self._descriptor, self._write)
        self._waiting += data

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # the module has been unplugged
            data = b""
        if data:
            self._sent(data)
        else:
            self._loop.remove_reader(self._descriptor)

    def _write(self) -> None:
        try:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()
        if not self._waiting:
            self._loop.remove_writer(self._descriptor)
