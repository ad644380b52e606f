"""What a whole test bed cannot be brought to do: lose events, be without udev, have a thousand ports."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, Endpoint, Sighting
from ucm_provision.discovery import udev
from ucm_provision.discovery.ports import watching
from ucm_provision.discovery.udev import UdevPorts
from ucm_provision.discovery.usb import StaticPorts
from ucm_provision.host.clock import SystemClock

DEADLINE = 5


def endpoint(number: int, plug: int = 0) -> Endpoint:
    return Endpoint(Carrier.SERIAL, f"/dev/ttyUSB{number:04}", f"boot:place-{number}:{plug}")


class Events:
    """udev's socket, as pyudev shows it: readable, and then what a test wants of it."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._theirs.close()

    def happen(self) -> None:
        self._theirs.send(b"!")

    def fileno(self) -> int:
        return self._ours.fileno()

    def poll(self, timeout: float) -> bytes | None:
        assert timeout == 0
        try:
            data = self._ours.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if self.failure is not None:
            raise self.failure
        return data


class Plant:
    """Ports that a test plugs in, and what was sighted of them."""

    def __init__(self, events: Events) -> None:
        self.there: set[Endpoint] = set()
        self.stamp = 1
        self.looks = 0
        self.sightings: asyncio.Queue[Sighting] = asyncio.Queue()
        self.watched = UdevPorts(SimpleNamespace(ports=self._ports, stamp=lambda: self.stamp), events)

    def _ports(self) -> set[Endpoint]:
        self.looks += 1
        return set(self.there)

    def plug(self, *there: Endpoint) -> None:
        """What is there from now on, and udev's note of it."""
        self.there = set(there)
        self.stamp += 1

    async def next(self) -> tuple[str, bool]:
        sighting = await asyncio.wait_for(self.sightings.get(), DEADLINE)
        return sighting.endpoint.address, sighting.present

    async def look(self) -> list[Sighting]:
        await self.watched.look(self.sightings.put)
        return [self.sightings.get_nowait() for _ in range(self.sightings.qsize())]


@pytest.fixture
def events() -> Iterator[Events]:
    with Events() as events:
        yield events


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)), "udev events were lost"),
        (ValueError("Invalid argument"), "a udev event was unreadable"),
    ],
)
async def test_after_lost_events_it_looks_what_is_there(
    events: Events, failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "UDEV_RESCAN_EVERY", 600)
    plant = Plant(events)
    plant.there = {endpoint(1)}
    await plant.look()
    running = asyncio.ensure_future(plant.watched.run(plant.sightings.put))
    with capture_logs() as logged:
        events.failure = failure
        plant.there = {endpoint(2)}
        events.happen()
        assert [await plant.next(), await plant.next()] == [("/dev/ttyUSB0001", False), ("/dev/ttyUSB0002", True)]
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [(said, "warning")]
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_without_any_event_it_looks_when_udev_has_written(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container shares udev's database, but its own network namespace hears no events."""
    monkeypatch.setattr(policy, "UDEV_RESCAN_EVERY", 0.01)
    plant = Plant(events)
    await plant.look()
    running = asyncio.ensure_future(plant.watched.run(plant.sightings.put))
    plant.plug(endpoint(1))
    assert await plant.next() == ("/dev/ttyUSB0001", True)
    assert plant.looks == 2
    plant.plug()
    assert await plant.next() == ("/dev/ttyUSB0001", False)
    assert plant.looks == 3
    running.cancel()
    await asyncio.wait([running])


def test_the_database_s_stamp_changes_whenever_udev_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udev, "_DATA", tmp_path / "data")
    database = udev.Database()
    assert database.stamp() != database.stamp()  # nobody sees what udev writes
    (tmp_path / "data").mkdir()
    assert database.stamp() != database.stamp()  # too young to tell whether more has been written since
    written = time.time_ns() - 3_600_000_000_000
    os.utime(tmp_path / "data", ns=(written, written))
    assert database.stamp() == database.stamp() == written
    (tmp_path / "data" / "c188:0").touch()
    assert database.stamp() > written


async def test_a_burst_of_events_is_one_look(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "UDEV_RESCAN_EVERY", 600)
    plant, looks = Plant(events), 0

    def ports() -> set[Endpoint]:
        nonlocal looks
        looks += 1
        return {endpoint(looks)}

    plant.watched = UdevPorts(SimpleNamespace(ports=ports, stamp=lambda: -1), events)
    for _ in range(50):
        events.happen()
    running = asyncio.ensure_future(plant.watched.run(plant.sightings.put))
    assert await plant.next() == ("/dev/ttyUSB0001", True)
    events.happen()
    assert await plant.next() == ("/dev/ttyUSB0001", False)
    assert looks == 2
    running.cancel()
    await asyncio.wait([running])


async def test_it_watches_nothing_any_more_once_it_is_cancelled(events: Events) -> None:
    plant = Plant(events)
    running = asyncio.ensure_future(plant.watched.run(plant.sightings.put))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert not asyncio.get_running_loop().remove_reader(events.fileno())


async def test_sightings_are_bounded(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "SIGHTINGS_KEPT", 2)
    plant = Plant(events)
    plant.there = {endpoint(number) for number in range(4)}
    assert [s.endpoint for s in await plant.look()] == [endpoint(0), endpoint(1)]
    plant.there.discard(endpoint(0))
    assert await plant.look() == [Sighting(endpoint(0), present=False), Sighting(endpoint(2), present=True)]


ports = st.sets(st.builds(endpoint, st.integers(0, 5), st.integers(0, 2)), max_size=8)


@given(st.lists(ports, max_size=6))
def test_sightings_add_up_to_what_is_there(rounds: list[set[Endpoint]]) -> None:
    async def replay(events: Events) -> None:
        plant, known = Plant(events), set[Endpoint]()
        for there in rounds:
            plant.there = there
            changes = await plant.look()
            assert [c.present for c in changes] == sorted(c.present for c in changes)  # departures first
            for change in changes:
                (known.add if change.present else known.remove)(change.endpoint)
            assert known == there

    with Events() as events:
        asyncio.run(replay(events))


def no_libudev() -> None:
    raise ImportError("No library named udev")


def no_netlink(_: object) -> None:
    raise OSError("Could not create udev monitor")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda patch: patch.setattr(udev.pyudev, "Context", no_libudev),
        lambda patch: patch.setattr(udev.Database, "listen", no_netlink),
    ],
    ids=["no libudev", "no netlink"],
)
async def test_where_udev_cannot_be_had_patterns_still_work(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    with capture_logs() as logged:
        async with watching(["/dev/nul[l]"], SystemClock(), by_udev=True) as found:
            seen: asyncio.Queue[Sighting] = asyncio.Queue()
            await found.look(seen.put)
    assert seen.get_nowait().endpoint.address == "/dev/null"
    assert [entry["log_level"] for entry in logged] == ["warning"]


async def test_without_a_running_udev_it_says_so_once_and_patterns_still_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udev, "_CONTROL", udev.Path("/no/such/file"))
    seen: asyncio.Queue[Sighting] = asyncio.Queue()
    with capture_logs() as logged:
        async with watching(["/dev/nul[l]"], SystemClock(), by_udev=True) as found:
            await found.look(seen.put)
            await found.look(seen.put)
    assert "/dev/null" in [seen.get_nowait().endpoint.address for _ in range(seen.qsize())]
    assert [entry["log_level"] for entry in logged] == ["info"]


async def test_switched_off_udev_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udev.pyudev, "Context", no_libudev)
    with capture_logs() as logged:
        async with watching([], SystemClock(), by_udev=False) as found:
            assert isinstance(found, StaticPorts)
    assert logged == []


def test_the_boot_is_told_by_the_kernel_else_by_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCM_BOOT_ID", "0123456789abcdef0123456789abcdef")
    by_kernel = udev._boot_id()
    assert by_kernel == udev._BOOT_ID.read_text().strip().replace("-", "")
    monkeypatch.setattr(udev, "_BOOT_ID", udev.Path("/no/such/file"))
    assert udev._boot_id() == "0123456789abcdef0123456789abcdef"
    monkeypatch.delenv("UCM_BOOT_ID")
    assert udev._boot_id() == ""
