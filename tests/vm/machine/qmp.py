"""QEMU's monitor: commands, and the events that it tells by itself."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from pathlib import Path
from typing import Any

from tests.vm.machine.json_lines import JsonLines

_DEADLINE = 30.0
_EVENTS_KEPT = 100


class QmpError(Exception):
    """QEMU refused a command; the text is QEMU's."""


class Qmp:
    """One session with the monitor. Made by :meth:`connect`."""

    def __init__(self, lines: JsonLines) -> None:
        self._lines = lines
        self._numbers = itertools.count(1)
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS_KEPT)
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read(), name="QMP")

    @classmethod
    async def connect(cls, path: Path) -> Qmp:
        lines = await JsonLines.connect(path)
        await lines.receive()  # the greeting
        qmp = cls(lines)
        await qmp.execute("qmp_capabilities")
        return qmp

    async def execute(self, command: str, **arguments: Any) -> Any:
        """What the command returns. Raises QmpError, TimeoutError."""
        number = next(self._numbers)
        await self._lines.send({"execute": command, "arguments": arguments, "id": number})
        async with asyncio.timeout(_DEADLINE):
            # Somebody may have lost his patience with an earlier answer.
            while (answer := await self._answers.get())["id"] != number:
                pass
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    async def event(self, name: str, **data: Any) -> None:
        """Waits for an event, which may have come already, and takes it. Raises TimeoutError."""
        async with asyncio.timeout(_DEADLINE), self._news:
            await self._news.wait_for(lambda: self._take(name, data))

    def forget(self, name: str) -> None:
        """Drops the events of that name that have come so far."""
        for event in [event for event in self._events if event["event"] == name]:
            self._events.remove(event)

    def _take(self, name: str, data: dict[str, Any]) -> bool:
        for event in self._events:
            if event["event"] == name and data.items() <= event.get("data", {}).items():
                self._events.remove(event)
                return True
        return False

    async def _read(self) -> None:
        while True:
            message = await self._lines.receive()
            if "event" not in message:
                self._answers.put_nowait(message)
                continue
            async with self._news:
                self._events.append(message)
                self._news.notify_all()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._lines.close()
