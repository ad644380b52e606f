"""`ucm-demo` as a person starts it on a terminal: it stays up, and tells where its page is."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.station import BIN, ucmctl

_INVITATION = re.compile(r"http://127\.0\.0\.1:\d+/#sign-in=\S+")
_DEADLINE = 30.0


@dataclass(frozen=True)
class Demonstration:
    """``invitation``: the address that signs one browser in."""

    folder: Path
    invitation: str

    @property
    def url(self) -> str:
        return self.invitation.partition("#")[0]

    def label(self) -> tuple[str, str]:
        """Hardware id and proof of possession of the module that nobody has listed."""
        hardware_id, proof = (self.folder / "labels.txt").read_text().split()
        return hardware_id, proof

    def passphrase(self, ssid: str) -> str:
        return (self.folder / f"{ssid}.passphrase").read_text().strip()

    async def ctl(self, *arguments: str) -> str:
        status, out = await ucmctl(self.folder / "control.sock", *arguments)
        assert status == 0, out
        return out


@asynccontextmanager
async def demonstration(folder: Path, *arguments: str) -> AsyncIterator[Demonstration]:
    command = (str(BIN / "ucm-demo"), "--folder", str(folder), *arguments)
    with _terminal() as terminal:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_DEADLINE):
                invitation = await _invitation(process.stdout)
            async with asyncio.TaskGroup() as group:
                drained = group.create_task(_read_out(process.stdout))  # a full pipe would hold the demo up
                yield Demonstration(folder, invitation)
                process.send_signal(signal.SIGINT)
                await drained
        finally:
            print("the demo has ended:", process.returncode)  # shown when the test fails, with what it said
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()


@contextmanager
def _terminal() -> Iterator[int]:
    """Whether somebody sits there is all that matters of it."""
    master, slave = pty.openpty()
    try:
        yield slave
    finally:
        os.close(slave)
        os.close(master)


async def _read_out(out: asyncio.StreamReader) -> None:
    while line := await out.readline():
        print(line.decode().rstrip())


async def _invitation(out: asyncio.StreamReader) -> str:
    while line := await out.readline():
        if found := _INVITATION.search(line.decode()):
            return found[0]
    raise AssertionError("the demo told no address")
