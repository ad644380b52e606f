"""Serial ports that udev says carry a UCM, found the moment they are plugged in.

Which ports these are is not decided here: ``hardware/udev/70-ucm-provision.rules`` marks them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyudev
import structlog

from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, Endpoint, Sighting
from ucm_provision.discovery.usb import Claim, Sight

log = structlog.get_logger()

_SUBSYSTEM = "tty"
_MARK, _MARKED = "ID_UCM", "1"
# The link driver for what hangs on the port, where that is not a module which speaks the device link.
_DRIVER = "ID_UCM_LINK"
# Microseconds since boot at which udev first finished with a device. Kept over `udevadm trigger` and a
# restart of udev, and given anew at each plug.
_INITIALISED = "USEC_INITIALIZED"
# Only a running udev has it. A container sees it where /run/udev is shared.
_CONTROL = Path("/run/udev/control")
# A file for each device, and a new one renamed into its place each time that udev has something to say about it.
_DATA = Path("/run/udev/data")
# Nanoseconds in which the kernel's clock for such stamps has surely ticked.
_TICK = 1_000_000_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Database:
    """What udev knows about terminals. Calls read some hundred small files; any thread may make them.

    Raises:
        ImportError: there is no libudev.
    """

    def __init__(self) -> None:
        self._context = pyudev.Context()
        self._boot = _boot_id()
        self._lock = threading.Lock()  # libudev itself is not for several threads at a time

    def ports(self) -> set[Endpoint]:
        """The marked ports that are there now."""
        with self._lock:
            marked = self._context.list_devices(subsystem=_SUBSYSTEM).match_property(_MARK, _MARKED)
            return {self._endpoint(device) for device in marked if device.device_node}

    def stamp(self) -> int:
        """Another one than before if udev may have written since, seen from a container too.

        Costs a thousandth of :meth:`ports`. Where udev's files are not seen, each one is another.
        """
        now = time.time_ns()
        try:
            written = _DATA.stat().st_mtime_ns
        except OSError:
            return now
        # A young stamp may yet be given a second time.
        return written if written + _TICK < now else now

    def claim(self, number: int) -> Claim:
        """Whether the node with that device number is one of :meth:`ports`, or may yet turn out to be."""
        with self._lock:
            try:
                properties = pyudev.Devices.from_device_number(self._context, "char", number).properties
            except pyudev.DeviceNotFoundError:
                return Claim.NONE
            if properties.get(_MARK) == _MARKED:
                return Claim.TAKEN
            return Claim.NONE if _INITIALISED in properties else Claim.UNDECIDED

    def listen(self) -> pyudev.Monitor:
        """Events from now on. They come after udev has set the node's rights, unlike the kernel's own.

        Raises:
            OSError: the process may not use netlink.
        """
        monitor = pyudev.Monitor.from_netlink(self._context, source="udev")
        monitor.filter_by(_SUBSYSTEM)
        with contextlib.suppress(OSError):  # without privileges the system's limit is what it comes to
            monitor.set_receive_buffer_size(policy.UDEV_BUFFER)
        monitor.start()
        return monitor

    def _endpoint(self, device: pyudev.Device) -> Endpoint:
        properties = device.properties
        where = properties.get("ID_PATH") or device.device_path
        # The node tells the ports of one interface apart, and makes a renamed one a new endpoint.
        key = f"{self._boot}:{where}:{device.device_node}:{properties.get(_INITIALISED, '')}"
        return Endpoint(Carrier.SERIAL, device.device_node, key, driver=properties.get(_DRIVER, ""))


def _boot_id() -> str:
    """Tells the stamps of one boot from those of another. The service hides the file, and hands the id over."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
    return os.environ.get("UCM_BOOT_ID", "")


class UdevPorts:
    """Watches the marked ports.

    An event, or the database's stamp, says only *that* something has changed; what is there is always read from
    the database. So cold plug, hot plug, and events that came in a burst, were lost, or never reach a container all
    go through one door, and a ``change`` of a port that stays is nothing.
    """

    def __init__(self, database: Database, monitor: pyudev.Monitor) -> None:
        self._database = database
        self._monitor: pyudev.Monitor | None = monitor
        self._present: set[Endpoint] = set()
        self._looked_at = -1

    async def look(self, sight: Sight) -> None:
        """Reports what has changed since the last look; the first one reports all that is there."""
        self._looked_at = self._database.stamp()
        found = await asyncio.to_thread(self._database.ports)
        for sighting in self._changes(found):
            await sight(sighting)

    async def run(self, sight: Sight) -> None:
        """Looks whenever udev has news, for ever. Departures come before arrivals."""
        while True:
            await self._stirred()
            await self.look(sight)

    def close(self) -> None:
        self._monitor = None  # its socket goes with the last reference

    def _changes(self, found: set[Endpoint]) -> Iterator[Sighting]:
        for endpoint in _in_order(self._present - found):
            self._present.discard(endpoint)
            yield Sighting(endpoint, present=False)
        for endpoint in _in_order(found - self._present):
            if len(self._present) < policy.SIGHTINGS_KEPT:
                self._present.add(endpoint)
                yield Sighting(endpoint, present=True)

    async def _stirred(self) -> None:
        """Until there is news, or the database is no longer what it was: news may have got lost."""
        assert self._monitor is not None
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._monitor.fileno(), news.set)
        try:
            while not news.is_set() and self._database.stamp() == self._looked_at:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(policy.UDEV_RESCAN_EVERY):
                        await news.wait()
        finally:
            loop.remove_reader(self._monitor.fileno())
        self._drain(self._monitor)

    def _drain(self, monitor: pyudev.Monitor) -> None:
        """Takes all news at once: one look is enough for them."""
        try:
            while monitor.poll(timeout=0):
                pass
        except (OSError, ValueError) as error:  # ValueError is what pyudev makes of EINVAL, a malformed message
            lost = isinstance(error, OSError) and error.errno == errno.ENOBUFS
            log.warning("udev events were lost" if lost else "a udev event was unreadable", why=str(error))


def _in_order(endpoints: set[Endpoint]) -> list[Endpoint]:
    return sorted(endpoints, key=lambda endpoint: endpoint.address)


async def connect() -> tuple[Database, UdevPorts] | None:
    """udev's database and its ports, listened to already; None where udev cannot be had, which is logged."""
    try:
        database = await asyncio.to_thread(Database)
        ports = UdevPorts(database, database.listen())
    except (ImportError, OSError) as error:
        log.warning("udev cannot be used: only ports that usb.globs names are found", why=str(error))
        return None
    if not await asyncio.to_thread(_CONTROL.exists):
        log.info("udev does not run here: only ports that usb.globs names are found")
    return database, ports
