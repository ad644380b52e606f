"""The module's serial line: a pseudo-terminal with the speed of a real wire and a name in the file system."""

import asyncio
import contextlib
import os
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

from ucm_sim.clock import Clock
from ucm_sim.presence import HostPresence

_BITS_PER_BYTE = 10  # 8N1: start, eight data bits, stop
_GRAIN_S = 0.004  # bytes move in pieces of this much wire time: a compromise with the timer's resolution
_UNTHROTTLED_PIECE = 4096
_TRANSMIT_BUFFER = 64 * 1024


class Wire:
    """One direction of the line. `baud` 0 makes it infinitely fast."""

    def __init__(self, clock: Clock, baud: int) -> None:
        self._clock = clock
        self._seconds_per_byte = _BITS_PER_BYTE / baud if baud else 0.0
        self._free_at = 0.0
        self.piece = max(1, int(_GRAIN_S / self._seconds_per_byte)) if baud else _UNTHROTTLED_PIECE

    async def carry(self, count: int) -> None:
        """Return when `count` more bytes have passed; timer slack is made up for, not added up."""
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + count * self._seconds_per_byte
        if self._free_at > now:
            await self._clock.sleep(self._free_at - now)


class SerialLine:
    """A cable from module to host, plugged in from construction to `close`; it carries while `run` runs.

    `received(data)` gets what a host sent. What the module writes while no host has the terminal open is
    lost, as on a real port. `opened()` is called when a host opens the terminal and none had it open:
    there a development board's reset circuit would act. `closed()` is called when the last one has left.
    """

    def __init__(
        self,
        link: Path,
        baud: int,
        clock: Clock,
        *,
        received: Callable[[bytes], None],
        opened: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self._link = link
        self._received = received
        self._to_host = Wire(clock, baud)
        self._from_host = Wire(clock, baud)
        self._queue = bytearray()
        self._queued = asyncio.Event()
        self._master, self.terminal = _raw_terminal()
        self._presence = HostPresence(self._master, self.terminal, opened, closed)
        self._publish_link()

    @property
    def is_open(self) -> bool:
        """Whether a host has the terminal open."""
        return self._presence.present

    async def run(self) -> None:
        """Carry bytes until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._presence.descriptor, self._presence.catch_up)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._transmit())
        finally:
            loop.remove_reader(self._presence.descriptor)

    def write(self, data: bytes) -> None:
        """Queue bytes for the host, if there is one."""
        self._presence.catch_up()
        if self._presence.present and len(self._queue) + len(data) <= _TRANSMIT_BUFFER:
            self._queue += data
            self._queued.set()

    def close(self) -> None:
        """Pull the cable: the link goes, and a host that has the terminal open sees a hang-up."""
        # While the terminal exists nobody else can have its number: a link to it is ours.
        with contextlib.suppress(OSError):
            if self._link.readlink() == self.terminal:
                self._link.unlink()
        self._presence.close()
        os.close(self._master)

    async def _receive(self) -> None:
        while True:
            await self._presence.noticed.wait()
            await _when_readable(self._master)
            # An opening is older than the bytes that came through it.
            self._presence.catch_up()
            data = self._read()
            await self._from_host.carry(len(data))
            self._received(data)

    def _read(self) -> bytes:
        try:
            return os.read(self._master, self._from_host.piece)
        except BlockingIOError:
            # A hang-up woke us, and the next host has opened the terminal since.
            return b""
        except OSError:
            # EIO: all is read, and nobody has the terminal open any more.
            self._presence.noticed.clear()
            return b""

    async def _transmit(self) -> None:
        while True:
            await self._queued.wait()
            piece = bytes(self._queue[: self._to_host.piece])
            del self._queue[: len(piece)]
            if not self._queue:
                self._queued.clear()
            await self._to_host.carry(len(piece))
            await self._put(piece)

    async def _put(self, piece: bytes) -> None:
        while piece and self._presence.present:
            try:
                piece = piece[os.write(self._master, piece) :]
            except BlockingIOError:
                await _when_writable(self._master)

    def _publish_link(self) -> None:
        fresh = self._link.with_name(f".{self._link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.terminal)
        fresh.replace(self._link)


def _raw_terminal() -> tuple[int, Path]:
    """Master and name of a new terminal, whose slave nobody has open."""
    master, slave = os.openpty()
    # Raw, or the terminal would echo and translate line ends before a host has had its say. The kernel
    # keeps the setting as long as the master is open.
    tty.setraw(slave)
    terminal = Path(os.ttyname(slave))
    os.close(slave)
    os.set_blocking(master, False)
    return master, terminal


def _when_readable(descriptor: int) -> Awaitable[None]:
    loop = asyncio.get_running_loop()
    return _once(lambda ready: loop.add_reader(descriptor, ready), lambda: loop.remove_reader(descriptor))


def _when_writable(descriptor: int) -> Awaitable[None]:
    loop = asyncio.get_running_loop()
    return _once(lambda ready: loop.add_writer(descriptor, ready), lambda: loop.remove_writer(descriptor))


async def _once(watch: Callable[[Callable[[], None]], None], unwatch: Callable[[], object]) -> None:
    ready = asyncio.Event()
    watch(ready.set)
    try:
        await ready.wait()
    finally:
        unwatch()
