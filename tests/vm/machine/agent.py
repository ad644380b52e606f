"""The guest agent: programs in the guest, without a network and without a login."""

from __future__ import annotations

import asyncio
import base64
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.machine.json_lines import JsonLines
from tests.vm.machine.polling import polled

_DEADLINE = 30.0
_SYNC_EVERY = 1.0


class AgentError(Exception):
    """The agent refused a command; the text is the agent's."""


@dataclass(frozen=True)
class Ended:
    """A program's end."""

    status: int
    out: str
    err: str


class GuestAgent:
    """The agent of one guest, across its reboots. Made by :meth:`connect`."""

    def __init__(self, lines: JsonLines) -> None:
        self._lines = lines
        self._numbers = itertools.count(1)
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> GuestAgent:
        return cls(await JsonLines.connect(path))

    async def wake(self, within: float) -> None:
        """Waits until the agent answers. What it was asked before a reboot is forgotten. Raises TimeoutError."""
        async with asyncio.timeout(within), self._one_at_a_time:
            while not await self._synchronised():
                pass

    async def _synchronised(self) -> bool:
        number = next(self._numbers)
        await self._lines.send({"execute": "guest-sync", "arguments": {"id": number}})
        try:
            async with asyncio.timeout(_SYNC_EVERY):
                while (await self._lines.receive()).get("return") != number:
                    pass
        except TimeoutError:
            return False
        return True

    async def execute(self, command: str, **arguments: Any) -> Any:
        """What the agent returns. Raises AgentError, TimeoutError."""
        number = next(self._numbers)
        async with self._one_at_a_time, asyncio.timeout(_DEADLINE):
            await self._lines.send({"execute": command, "arguments": arguments, "id": number})
            # Somebody may have lost his patience with an earlier answer.
            while (answer := await self._lines.receive()).get("id") != number:
                pass
        if "error" in answer:
            raise AgentError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    async def start(self, program: str, *arguments: str) -> int:
        """Starts a program and returns its process id."""
        # The agent's option names have hyphens.
        options: dict[str, Any] = {"path": program, "arg": list(arguments), "capture-output": True}
        pid: int = (await self.execute("guest-exec", **options))["pid"]
        return pid

    async def run(self, program: str, *arguments: str, within: float) -> Ended:
        """Runs a program to its end. Raises TimeoutError after that many seconds."""
        pid = await self.start(program, *arguments)
        return await polled(lambda: self._ended(pid), within)

    async def _ended(self, pid: int) -> Ended | None:
        state = await self.execute("guest-exec-status", pid=pid)
        if not state["exited"]:
            return None
        # One that a signal has ended has no exit code.
        status = state.get("exitcode", -state.get("signal", 0))
        return Ended(status, _text(state.get("out-data")), _text(state.get("err-data")))

    async def close(self) -> None:
        await self._lines.close()


def _text(encoded: str | None) -> str:
    return base64.b64decode(encoded or "").decode(errors="replace")
