"""A terminal of a given size, on which a command of ours runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.cells import cell_len

_DEADLINE = 20.0
_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9])")
UCMCTL = (str(Path(sys.executable).with_name("ucmctl")),)


@dataclass
class Terminal:
    """What was printed on it so far, as it came."""

    process: asyncio.subprocess.Process
    keyboard: int
    raw: str = ""
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        """Without colours; a line that was drawn again is another one."""
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text.splitlines()]

    @property
    def widest(self) -> int:
        return max(map(cell_len, self.lines), default=0)

    async def shows(self, words: str) -> None:
        async with asyncio.timeout(_DEADLINE):
            while words not in self.text:
                self._more.clear()
                await self._more.wait()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    async def status(self) -> int:
        async with asyncio.timeout(_DEADLINE):
            return await self.process.wait()

    def read(self, screen: int) -> None:
        try:
            self.raw += os.read(screen, 65536).decode()
        except OSError:  # the last one has closed it
            asyncio.get_running_loop().remove_reader(screen)
        self._more.set()


@asynccontextmanager
async def terminal(columns: int, *command: str | Path, **environment: str) -> AsyncIterator[Terminal]:
    """Runs the command; whatever it reads and writes goes over the terminal."""
    screen, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "UCM_CONTROL_SOCKET")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
    )
    os.close(theirs)
    shown = Terminal(process, screen)
    loop = asyncio.get_running_loop()
    loop.add_reader(screen, shown.read, screen)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(screen)
        os.close(screen)


async def seen_on(columns: int, *command: str | Path, **environment: str) -> Terminal:
    """What a command has shown when it has ended."""
    async with terminal(columns, *command, **environment) as shown:
        await shown.status()
        while shown.process.returncode is None or not shown.raw.endswith("\n"):
            async with asyncio.timeout(_DEADLINE):
                shown._more.clear()
                await shown._more.wait()
        return shown
