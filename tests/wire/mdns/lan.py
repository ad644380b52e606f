"""A LAN on the loopback interface: modules that announce themselves, and somebody who watches them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from ucm_provision.core.model import GatewaySighting, Sighting
from ucm_provision.discovery.mdns import LanBrowser
from ucm_provision.host.clock import SystemClock

LOOPBACK = "127.0.0.1"
MODULES = "_ucm-prov._tcp.local."
DEADLINE = 10.0


def new_id() -> str:
    """Its own in every test: the loopback interface belongs to everybody on this machine."""
    return uuid.uuid4().hex.upper()


def info(
    hardware_id: str, addresses: Sequence[str] = ("192.0.2.7",), *, port: int = 80, **text: str
) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        MODULES,
        f"ucm-{hardware_id}.{MODULES}",
        port=port,
        properties={"v": "1", "id": hardware_id, "product": "UCM", "fw": "1.0.0", "state": "new", **text},
        server=f"{hardware_id.lower()}.local.",
        parsed_addresses=list(addresses),
    )


@asynccontextmanager
async def announcer() -> AsyncIterator[AsyncZeroconf]:
    async with AsyncZeroconf(interfaces=[LOOPBACK]) as zeroconf:
        yield zeroconf


async def announce(zeroconf: AsyncZeroconf, service: AsyncServiceInfo) -> None:
    await (await zeroconf.async_register_service(service, cooperating_responders=True))


class Watcher:
    """Keeps what a browser reports."""

    def __init__(self, browser: LanBrowser) -> None:
        self.browser = browser
        self.sightings: list[Sighting] = []
        self.gateways: list[tuple[GatewaySighting, ...]] = []
        self._stirred = asyncio.Condition()

    async def sight(self, sighting: Sighting) -> None:
        self.sightings.append(sighting)
        async with self._stirred:
            self._stirred.notify_all()

    def of(self, hardware_id: str) -> list[Sighting]:
        return [sighting for sighting in self.sightings if sighting.announced_id == hardware_id]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE), self._stirred:
            await self._stirred.wait_for(true)

    async def sightings_of(self, hardware_id: str, count: int) -> list[Sighting]:
        """The first ``count`` of them, as soon as there are so many."""
        await self.until(lambda: len(self.of(hardware_id)) >= count)
        return self.of(hardware_id)[:count]


@asynccontextmanager
async def watching(
    is_known: Callable[[str], bool] = lambda _: False, addresses: Sequence[str] = (LOOPBACK,)
) -> AsyncIterator[Watcher]:
    gateways: list[tuple[GatewaySighting, ...]] = []
    watcher = Watcher(LanBrowser(addresses, SystemClock(), is_known, gateways.append))
    watcher.gateways = gateways
    running = asyncio.create_task(watcher.browser.run(watcher.sight))
    try:
        await watcher.browser.listening.wait()
        yield watcher
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
