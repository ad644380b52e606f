"""Makes mosquitto read its revocation list anew."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

Reload = Callable[[], Awaitable[None]]

_SECONDS = 30.0


class ReloadError(Exception):
    """mosquitto could not be told; the text is a sentence."""


def reload_by_pid_file(pid_file: Path) -> Reload:
    """SIGHUP to the process that wrote this file. The call raises ReloadError if there is none, or it is not ours."""

    async def reload() -> None:
        try:
            await asyncio.to_thread(_hang_up, pid_file)
        except (FileNotFoundError, ProcessLookupError, ValueError) as cause:
            raise ReloadError(f"No mosquitto runs by {pid_file}.") from cause
        except PermissionError as cause:
            raise ReloadError(f"Not allowed to signal the mosquitto of {pid_file}: name a reload command.") from cause

    return reload


def _hang_up(pid_file: Path) -> None:
    process = int(pid_file.read_text())
    # The number may have gone to another program since mosquitto was killed, and SIGHUP ends most of them.
    if Path(f"/proc/{process}/comm").read_text().strip() != "mosquitto":
        raise ProcessLookupError(process)
    os.kill(process, signal.SIGHUP)


def reload_by_command(command: tuple[str, ...]) -> Reload:
    """Run an operator's command, without a shell. The call raises ReloadError if it fails or takes too long."""

    async def reload() -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
            )
        except OSError as cause:
            raise ReloadError(f"{command[0]} cannot be started: {cause.strerror}.") from cause
        try:
            async with asyncio.timeout(_SECONDS):
                status = await process.wait()
        except BaseException as cause:
            process.kill()
            await process.wait()
            if isinstance(cause, TimeoutError):
                raise ReloadError(f"{command[0]} took longer than {_SECONDS:.0f} s.") from cause
            raise
        if status != 0:
            raise ReloadError(f"{command[0]} ended with status {status}.")

    return reload
