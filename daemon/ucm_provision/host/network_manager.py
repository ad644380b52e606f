"""Which Wi-Fi network this box is on, as NetworkManager says.

Interfaces and numbers are those of NetworkManager's D-Bus API (networkmanager.dev/docs/api, version 1.0 and later).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from ucm_provision.core import policy
from ucm_provision.core.ports import Clock
from ucm_provision.core.text import one_line
from ucm_provision.host.system_bus import BUS_LOST, Properties, SystemBus, system_bus, value

_log = structlog.get_logger(__name__)

_NAME: Final = "org.freedesktop.NetworkManager"
_ROOT: Final = "/org/freedesktop/NetworkManager"
_ACTIVE: Final = f"{_NAME}.Connection.Active"
_WIRELESS: Final = f"{_NAME}.Device.Wireless"
_ACCESS_POINT: Final = f"{_NAME}.AccessPoint"
_NO_OBJECT: Final = "/"

_WIFI: Final = "802-11-wireless"
_ACTIVATED: Final = 2  # NM_ACTIVE_CONNECTION_STATE_ACTIVATED
_INFRASTRUCTURE: Final = 2  # NM_802_11_MODE_INFRA: not a hotspot of the box's own
_SSID_LONGEST: Final = 32

_REASON_SHOWN: Final = 200

# An access point's own properties are not listened for: its strength would stir every few seconds.
_RULES: Final = (
    f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{_NAME}'",
    *(
        f"type='signal',sender='{_NAME}',interface='org.freedesktop.DBus.Properties',"
        f"member='PropertiesChanged',arg0='{interface}'"
        for interface in (_NAME, _ACTIVE, _WIRELESS)
    ),
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What NetworkManager was seen to say. Where it says nothing there is no sight, which is not "no Wi-Fi"."""

    ssid: str | None


class NetworkManager:
    """Implements :class:`ucm_provision.core.ports.BoxNetwork`.

    Without a bus or NetworkManager nothing is told, and what was told last stands: a restart of either is no move.

    Args:
        bus_address: The D-Bus address of the bus, by default the system's.
    """

    def __init__(self, clock: Clock, bus_address: str | None = None) -> None:
        self._clock = clock
        self._address = bus_address
        self._status = ""

    async def watch(self, changed: Callable[[str | None], Awaitable[None]]) -> None:
        settling = _Settling(self._clock)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(settling.tell(changed))
            tasks.create_task(self._follow(settling))

    async def _follow(self, settling: _Settling) -> None:
        """Connects, looks as long as the connection lasts, and connects again. Never returns."""
        delay = policy.BUS_RECONNECT_FIRST
        while True:
            if await self._stay_connected(settling):
                delay = policy.BUS_RECONNECT_FIRST
            settling.see(None)
            await self._clock.sleep(delay)
            delay = min(delay * 2, policy.BUS_RECONNECT_LAST)

    async def _stay_connected(self, settling: _Settling) -> bool:
        """One connection, from its beginning to its end. Whether there was one."""
        connected = False
        try:
            async with system_bus(self._address) as bus:
                await bus.listen(*_RULES)
                connected = True
                await self._observe(bus, settling)
        except* BUS_LOST as lost:
            self._report("no use of the system bus", _reason(lost))
        return connected

    async def _observe(self, bus: SystemBus, settling: _Settling) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_whenever_stirred(bus, settling))
            tasks.create_task(self._stir_now_and_then(bus))

    async def _look_whenever_stirred(self, bus: SystemBus, settling: _Settling) -> None:
        while True:
            bus.stirred.clear()
            sight = await look(bus)
            self._report("NetworkManager is followed" if sight else "NetworkManager is not there")
            settling.see(sight)
            await self._clock.sleep(policy.BOX_NETWORK_PAUSE)
            await bus.stirred.wait()

    async def _stir_now_and_then(self, bus: SystemBus) -> None:
        while True:
            await self._clock.sleep(policy.BOX_NETWORK_EVERY)
            bus.stirred.set()

    def _report(self, status: str, reason: str = "") -> None:
        """Once for each change of status, however often it is tried again meanwhile."""
        if status != self._status:
            self._status = status
            _log.info("the box's own Wi-Fi", status=status, **({"reason": reason} if reason else {}))


class _Settling:
    """What was seen last, told once it has stayed as it is for the settle time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: Sight | None = None
        self._moved = asyncio.Event()

    def see(self, sight: Sight | None) -> None:
        if sight != self._latest:
            self._latest = sight
            self._moved.set()

    async def tell(self, changed: Callable[[str | None], Awaitable[None]]) -> None:
        """Never returns. The first sight is told at once."""
        told: Sight | None = None
        while True:
            await self._moved.wait()
            self._moved.clear()
            if told is not None:
                await self._clock.sleep(policy.BOX_NETWORK_SETTLE)
            if self._moved.is_set() or self._latest in (None, told):
                continue
            told = self._latest
            await changed(told.ssid)


async def look(bus: SystemBus) -> Sight | None:
    """What NetworkManager says now; None when it says nothing. Raises one of ``BUS_LOST``."""
    manager = await bus.properties(_NAME, _ROOT, _NAME)
    if manager is None:
        return None
    for connection in _connections(manager):
        access_point = await _access_point(bus, connection)
        if access_point is not None:
            return Sight(await _ssid(bus, access_point))
    return Sight(None)


def _connections(manager: Properties) -> list[str]:
    """The active connections, the one that the box's traffic takes first."""
    primary = value(manager, "PrimaryConnection", "o")
    active = value(manager, "ActiveConnections", "ao") or []
    return sorted(active[: policy.BOX_CONNECTIONS], key=lambda path: path != primary)


async def _access_point(bus: SystemBus, connection: str) -> str | None:
    """The access point that a connection goes through; None for a cable, a hotspot and what is not up yet."""
    active = await bus.properties(_NAME, connection, _ACTIVE)
    devices = value(active, "Devices", "ao")
    if value(active, "Type", "s") != _WIFI or value(active, "State", "u") != _ACTIVATED or not devices:
        return None
    device = await bus.properties(_NAME, devices[0], _WIRELESS)
    if value(device, "Mode", "u") != _INFRASTRUCTURE:
        return None
    access_point: str | None = value(device, "ActiveAccessPoint", "o")
    return access_point if access_point != _NO_OBJECT else None


async def _ssid(bus: SystemBus, access_point: str) -> str | None:
    """None for a name that is no text: a configuration could not name that network either."""
    ssid = value(await bus.properties(_NAME, access_point, _ACCESS_POINT), "Ssid", "ay") or b""
    if not 0 < len(ssid) <= _SSID_LONGEST:
        return None
    try:
        return bytes(ssid).decode()
    except UnicodeDecodeError:
        return None


def _reason(lost: BaseExceptionGroup[BaseException]) -> str:
    first = lost.exceptions[0]
    return one_line(str(first) or type(first).__name__, _REASON_SHOWN)
