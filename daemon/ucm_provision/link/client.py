"""Device links over serial ports: what the engine dials with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ucm_provision.core.model import Endpoint, ModuleConfiguration
from ucm_provision.core.ports import ByteStream, DeviceLink, PopLookup
from ucm_provision.link.exchange import Line
from ucm_provision.link.handshake import Handshake
from ucm_provision.link.pack import pack
from ucm_provision.link.session import SecureLink
from ucm_provision.link.timing import Timing

# Opens the serial port of an address at a rate in bits per second.
OpenStream = Callable[[str, int], Awaitable[ByteStream]]

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
            established = await Handshake(Line(stream), self._timing).establish(pop_for)
            yield SecureLink(established, self._timing)
        finally:
            await stream.close()

    def pack(self, configuration: ModuleConfiguration) -> bytes:
        return pack(configuration)
