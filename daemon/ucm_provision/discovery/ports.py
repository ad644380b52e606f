"""One door for serial ports, however they are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from ucm_provision.core.ports import Clock
from ucm_provision.discovery import udev
from ucm_provision.discovery.usb import Sight, StaticPorts


class Ports(Protocol):
    async def look(self, sight: Sight) -> None:
        """Reports what has changed since the last look; the first one reports all that is there."""

    async def run(self, sight: Sight) -> None:
        """Reports what changes, for ever. Departures come before arrivals."""


class _Together:
    def __init__(self, *sources: Ports) -> None:
        self._sources = sources

    async def look(self, sight: Sight) -> None:
        for source in self._sources:
            await source.look(sight)

    async def run(self, sight: Sight) -> None:
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run(sight))


@asynccontextmanager
async def watching(patterns: Sequence[str], clock: Clock, *, by_udev: bool) -> AsyncIterator[Ports]:
    """The ports that match ``patterns`` and, ``by_udev``, those that udev marks. What both find is udev's.

    udev is listened to from the beginning, so that nothing gets lost between the first look and ``run``.
    """
    connected = await udev.connect() if by_udev else None
    if connected is None:
        yield StaticPorts(patterns, clock)
        return
    database, marked = connected
    try:
        yield _Together(marked, StaticPorts(patterns, clock, database.claim))
    finally:
        marked.close()
