"""Simulated modules on this machine's loopback, and a station whose daemon looks for them there.

The loopback belongs to everybody on this machine: ids are random, and modules of other tests are nobody's business.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.e2e.station import DEADLINE, PASSPHRASE, SSID, Running, Station, verified
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, LanModule, LanSegment
from ucm_sim.mdns import Service

ON_LOOPBACK = 'interfaces = ["127.0.0.1"]'


def new_identity() -> Identity:
    return Identity(uuid.uuid4().hex.upper(), uuid.uuid4().hex[:12])


def on_lan(station: Station) -> Station:
    """The station with a daemon that listens on the loopback, and nobody in its manifest yet."""
    station.lan, station.pops = ON_LOOPBACK, {}
    return station


def listed(station: Station, count: int) -> list[Identity]:
    """New modules that the station's manifest names. It is read when the daemon starts."""
    identities = [new_identity() for _ in range(count)]
    station.pops |= {identity.hardware_id: identity.pop for identity in identities}
    return identities


class QuietSegment(LanSegment):
    """Nobody hears of its modules before it speaks."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Service] = {}
        self._quiet = True

    def publish(self, service: Service) -> None:
        if self._quiet:
            self._kept[service.instance] = service
        else:
            super().publish(service)

    def speak(self) -> None:
        self._quiet = False
        for service in self._kept.values():
            self.publish(service)


@asynccontextmanager
async def powered(
    identities: Iterable[Identity], segment: LanSegment | None = None, **options: Any
) -> AsyncIterator[list[LanModule]]:
    """The modules on one segment, in reach of the station's Wi-Fi."""
    options = {"networks": {SSID: PASSPHRASE}, "boot_s": 0.0} | options
    async with AsyncExitStack() as stack:
        segment = await stack.enter_async_context(segment or LanSegment())
        modules = [LanModule(identity, None, segment, **options) for identity in identities]
        for module in modules:
            await stack.enter_async_context(module)
        yield modules


def of(module: LanModule, condition: Callable[[ModuleView], bool] = lambda _: True) -> Callable[[ModuleView], bool]:
    """The condition, for views of that module only: by its proved id, or else by the announced one."""
    hardware_id = module.identity.hardware_id
    return lambda view: (view["hardware_id"] or view["announced_id"]) == hardware_id and condition(view)


def holding(code: str) -> Callable[[ModuleView], bool]:
    return lambda view: view["hold"] is not None and view["hold"]["code"] == code


def at_rest(view: ModuleView) -> bool:
    """Verified, and the conversation with the module is over."""
    return verified(view) and view["activity"] is None


async def all_are(
    running: Running, modules: Iterable[LanModule], condition: Callable[[ModuleView], bool], patience: float = DEADLINE
) -> None:
    """Waits until the present view of each module meets the condition, all at the same time."""
    ids = {module.identity.hardware_id for module in modules}

    def missing() -> bool:
        return bool(ids - {view["hardware_id"] or view["announced_id"] for view in running.views() if condition(view)})

    async with asyncio.timeout(patience):
        with running.daemon.feed.listen() as changes:
            while missing():
                await changes.next()


def counted(modules: Iterable[LanModule], request: str) -> set[int]:
    """How often each module ran the configuration request."""
    return {module.executed(request) for module in modules}
