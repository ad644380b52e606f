"""Device links over serial ports and over the LAN: what the engine dials with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.core.ports import ByteStream, DeviceLink, DeviceLinks, EndpointCalls, PopLookup
from ucm_provision.link.framed import FramedSessions
from ucm_provision.link.handshake import Handshake
from ucm_provision.link.http_sessions import HttpSessions
from ucm_provision.link.roaming import RoamingLink
from ucm_provision.link.session import SecureLink
from ucm_provision.link.timing import HTTP_TIMING, Timing

# Opens the serial port of an address at a rate in bits per second.
OpenStream = Callable[[str, int], Awaitable[ByteStream]]
# The HTTP side of a module, by what gives its present routes. Connects at the first call.
OpenCalls = Callable[[Callable[[], tuple[str, ...]]], EndpointCalls]

_BAUD_DEFAULT = 115200


class SerialLinks:
    """Dials modules that hang on serial ports (:class:`ucm_provision.core.ports.DeviceLinks`).

    Args:
        open_stream: Opens a port; the daemon's is :func:`ucm_provision.transports.serial.open_port`.
        baud: Bits per second. Native USB ignores it.
        timing: Deadlines.
    """

    def __init__(self, open_stream: OpenStream, baud: int = _BAUD_DEFAULT, timing: Timing | None = None) -> None:
        self._open_stream = open_stream
        self._baud = baud
        self._timing = timing or Timing()

    @asynccontextmanager
    async def dial(self, endpoint: Endpoint, pop_for: PopLookup) -> AsyncIterator[DeviceLink]:
        """See :meth:`ucm_provision.core.ports.DeviceLinks.dial`. The port is opened once and kept open."""
        stream = await self._open_stream(endpoint.address, self._baud)
        try:
            sessions = FramedSessions(stream, self._timing)
            established = await Handshake(sessions, self._timing).establish(pop_for)
            yield SecureLink(sessions, established, self._timing)
        finally:
            await stream.close()


class HttpLinks:
    """Dials modules on the LAN (:class:`ucm_provision.core.ports.DeviceLinks`).

    Args:
        open_calls: Makes a module's HTTP side; the daemon's is :class:`ucm_provision.transports.http.HttpCalls`.
        routes_of: The present routes of an endpoint, the likeliest first. Asked at every new connection: a
            module that has changed networks is the same endpoint at other addresses.
        timing: Deadlines.
        srp_turns: Bounds how many handshakes compute at the same time. Not how many are under way: for most of
            that time it is the module that computes.
    """

    def __init__(
        self,
        open_calls: OpenCalls,
        routes_of: Callable[[Endpoint], tuple[str, ...]],
        timing: Timing = HTTP_TIMING,
        srp_turns: asyncio.Semaphore | None = None,
    ) -> None:
        self._open_calls = open_calls
        self._routes_of = routes_of
        self._timing = timing
        self._srp_turns = srp_turns or asyncio.Semaphore(policy.SRP_AT_ONCE)

    @asynccontextmanager
    async def dial(self, endpoint: Endpoint, pop_for: PopLookup) -> AsyncIterator[DeviceLink]:
        """See :meth:`ucm_provision.core.ports.DeviceLinks.dial`."""
        calls = self._open_calls(lambda: self._routes_of(endpoint))
        try:
            sessions = HttpSessions(calls, self._timing)
            handshake = Handshake(sessions, self._timing, self._srp_turns)
            yield RoamingLink(sessions, await handshake.establish(pop_for), self._timing, handshake)
        finally:
            await calls.close()


class EndpointLinks:
    """Dials each module as its endpoint wants it (:class:`ucm_provision.core.ports.DeviceLinks`).

    Args:
        links: For the device link, by carrier.
        driver: The link driver of a name. Raises UcmError(link_driver_unusable).
        cables: The name of the driver for cables whose port names none; empty: the device link.
    """

    def __init__(self, links: Mapping[Carrier, DeviceLinks], driver: Callable[[str], DeviceLinks], cables: str) -> None:
        self._links = dict(links)
        self._driver = driver
        self._cables = cables

    def dial(self, endpoint: Endpoint, pop_for: PopLookup) -> AbstractAsyncContextManager[DeviceLink]:
        """See :meth:`ucm_provision.core.ports.DeviceLinks.dial`. Also raises UcmError(link_driver_unusable)."""
        named = endpoint.driver or (self._cables if endpoint.carrier is Carrier.SERIAL else "")
        links = self._driver(named) if named else self._links[endpoint.carrier]
        return links.dial(endpoint, pop_for)
