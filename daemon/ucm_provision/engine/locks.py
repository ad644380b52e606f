"""One module, one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from ucm_provision.core.model import Carrier


class GiveWay(Exception):  # noqa: N818 -- nothing has failed
    """A cable to the same module was plugged in before anything was written: the conversation over the LAN ends."""


class ModuleLock:
    """Held by whoever talks to a module. Cables go before the LAN, until something has been written."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._cables_waiting = 0

    @asynccontextmanager
    async def held(self, carrier: Carrier) -> AsyncIterator[None]:
        await self._acquire(carrier)
        try:
            yield
        finally:
            self._lock.release()

    def give_way(self, carrier: Carrier) -> None:
        """Raises GiveWay on the LAN while a cable waits."""
        if carrier is Carrier.HTTP and self._cables_waiting:
            raise GiveWay

    async def _acquire(self, carrier: Carrier) -> None:
        waiting = carrier is Carrier.SERIAL
        self._cables_waiting += waiting
        try:
            await self._lock.acquire()
        finally:
            self._cables_waiting -= waiting


class ModuleLocks:
    """The locks of the modules that somebody talks to; of the others there is none to keep."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, ModuleLock] = WeakValueDictionary()

    def of(self, hardware_id: str) -> ModuleLock:
        return self._locks.setdefault(hardware_id, ModuleLock())
