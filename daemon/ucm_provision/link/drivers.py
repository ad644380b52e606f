"""Link drivers: firmware that does not speak the device link joins as another :class:`DeviceLinks`.

A package on this box brings one as an entry point of the group ``ucm_provision.links``; its object is a
:class:`LinkDriver`. docs/LINK-DRIVERS.md tells how to write one.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final, Protocol

import structlog

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.ports import DeviceLinks
from ucm_provision.link.client import OpenStream

log = structlog.get_logger()

GROUP: Final = "ucm_provision.links"


class LinkDriver(Protocol):
    """Makes the device links of one kind of firmware. Called once, when the first port asks for it."""

    def __call__(self, open_stream: OpenStream, baud: int) -> DeviceLinks:
        """``open_stream`` opens a port, to be used by one conversation; ``baud``: as configured, in bits per second."""


class LinkDrivers:
    """The drivers that are installed, by the names of their entry points."""

    def __init__(self, open_stream: OpenStream, baud: int) -> None:
        self._open_stream = open_stream
        self._baud = baud
        self._links: dict[str, DeviceLinks] = {}

    def get(self, name: str) -> DeviceLinks:
        """Raises UcmError(link_driver_unusable) when there is none of that name, or it cannot be loaded."""
        if name not in self._links:
            self._links[name] = load(name)(self._open_stream, self._baud)
        return self._links[name]


def load(name: str) -> LinkDriver:
    """Raises UcmError(link_driver_unusable)."""
    found = entry_points(group=GROUP, name=name)
    if not found:
        installed = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        raise UcmError(Code.LINK_DRIVER_UNUSABLE, f"{name}; installed: {installed}")
    try:
        driver: LinkDriver = next(iter(found)).load()
    except Exception as error:  # a package's own code runs here
        log.exception("a link driver cannot be loaded", driver=name)
        raise UcmError(Code.LINK_DRIVER_UNUSABLE, f"{name}: {type(error).__name__}, see the log") from error
    return driver
