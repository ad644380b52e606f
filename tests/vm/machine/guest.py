"""The guest: a machine that boots, runs shell commands, and is rebooted or loses its power."""

from __future__ import annotations

import asyncio
import base64
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.vm.machine import qemu
from tests.vm.machine.agent import AgentError, Ended, GuestAgent
from tests.vm.machine.polling import polled
from tests.vm.machine.qmp import Qmp

_BOOT_WITHIN = 180.0
_QEMU_WITHIN = 20.0
_CONSOLE_SHOWN = 4000
_LINES_SHOWN = 150
_LAST_WORDS_WITHIN = 20.0
_LOOK_EVERY = 0.2


class GuestError(Exception):
    """A command in the guest failed; the text has what it said."""


class Guest:
    """A running guest. Made by :func:`booted`."""

    def __init__(self, qmp: Qmp, agent: GuestAgent, sockets: qemu.Sockets) -> None:
        self.qmp = qmp
        self.sockets = sockets
        self._agent = agent

    async def attempt(self, script: str, *, within: float = 60.0) -> Ended:
        """Runs a shell script as root, whatever comes of it. Raises TimeoutError."""
        return await self._agent.run("/bin/sh", "-c", script, within=within)

    async def run(self, script: str, *, within: float = 60.0) -> str:
        """What a shell script prints, which must succeed. Raises GuestError, TimeoutError."""
        ended = await self.attempt(script, within=within)
        if ended.status != 0:
            raise GuestError(f"status {ended.status}: {script}\n{ended.out}{ended.err}")
        return ended.out

    async def until(self, script: str, wanted: str, *, within: float = 60.0) -> str:
        """Runs a script again and again until what it prints has the pattern. Raises TimeoutError with the last."""
        printed = ""

        async def look() -> str | None:
            nonlocal printed
            printed = (await self.attempt(script, within=within)).out
            return printed if re.search(wanted, printed, re.MULTILINE) else None

        try:
            return await polled(look, within, _LOOK_EVERY)
        except TimeoutError as late:
            raise TimeoutError(f"{script!r} never printed {wanted!r}; at last:\n{printed}") from late

    async def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Makes or replaces a file, and the folders that lead to it."""
        content, target = base64.b64encode(text.encode()).decode(), shlex.quote(path)
        await self.run(
            f'mkdir -p "$(dirname {target})" && umask 077 && echo {content} | base64 -d > {target}.new'
            f" && chmod {mode:o} {target}.new && mv {target}.new {target}"
        )

    async def wait_booted(self) -> None:
        """Waits for the agent, then for all that is started at boot."""
        await self._agent.wake(_BOOT_WITHIN)
        await self.until("systemctl is-system-running --wait", "^(running|degraded)$", within=_BOOT_WITHIN)
        await self.run("mkdir -p /mnt/share && mount -t 9p -o trans=virtio,version=9p2000.L,ro share /mnt/share")

    async def reboot(self) -> None:
        """As an operator does it: services are stopped, file systems unmounted."""
        self.qmp.forget("RESET")
        await self._agent.start("/bin/systemctl", "reboot")
        await self.qmp.event("RESET")
        await self.wait_booted()

    async def cut_power(self) -> None:
        """What was not synchronised to the disk is lost."""
        await self.qmp.execute("system_reset")
        await self.wait_booted()

    async def last_words(self) -> str:
        """The end of the journal, or of the console where the agent does not answer."""
        try:
            return await self.run(f"journalctl --quiet --lines {_LINES_SHOWN} --no-pager", within=_LAST_WORDS_WITHIN)
        except (GuestError, AgentError, OSError, EOFError) as silent:  # TimeoutError is an OSError
            return f"The guest does not answer: {silent!r}\n{self.console()}"

    def console(self) -> str:
        """The end of what the kernel and systemd had to say."""
        return self.sockets.console.read_text(errors="replace")[-_CONSOLE_SHOWN:]

    async def close(self) -> None:
        await self._agent.close()
        await self.qmp.close()


@asynccontextmanager
async def booted(image: Path, *, ports: Sequence[int], share: Path) -> AsyncIterator[Guest]:
    """A guest that has booted, and whose QEMU ends with the context. See :func:`qemu.command`."""
    # A Unix socket's path has room for some hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="ucm-vm."))
    sockets = qemu.Sockets(folder)
    process = await asyncio.create_subprocess_exec(*qemu.command(image, sockets, ports=ports, share=share))
    try:
        guest = await _connected(sockets)
        try:
            await _booted(guest)
            yield guest
        finally:
            await guest.close()
    finally:
        process.kill()  # the disk is a throw-away
        await process.wait()
        shutil.rmtree(folder)


async def _connected(sockets: qemu.Sockets) -> Guest:
    async def look() -> bool | None:
        return (sockets.qmp.is_socket() and sockets.agent.is_socket()) or None

    await polled(look, _QEMU_WITHIN)
    return Guest(await Qmp.connect(sockets.qmp), await GuestAgent.connect(sockets.agent), sockets)


async def _booted(guest: Guest) -> None:
    try:
        await guest.wait_booted()
    except TimeoutError as late:
        raise GuestError(f"the guest does not boot:\n{guest.console()}") from late
