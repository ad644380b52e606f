"""Ports that appear and vanish: real device nodes, a clock that a test moves."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ucm_provision.core import policy
from ucm_provision.core.model import Sighting
from ucm_provision.discovery import usb
from ucm_provision.discovery.usb import Claim, StaticPorts, nobody_claims


class StepClock:
    """Sleeps until the test lets it go on. ``asleep`` is set whenever somebody sleeps."""

    def __init__(self) -> None:
        self.asleep = asyncio.Event()
        self.slept: list[float] = []
        self.time = 4e9  # far beyond any node's change time: all of them are old
        self._go_on = asyncio.Event()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def synchronized(self) -> bool:
        return True

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._go_on.clear()
        self.asleep.set()
        await self._go_on.wait()

    async def step(self) -> None:
        """One more round."""
        self.asleep.clear()
        self._go_on.set()
        await asyncio.wait_for(self.asleep.wait(), 5)


class Seen:
    """What was sighted, as (name, present) pairs since the last look."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock
        self.sightings: list[Sighting] = []

    async def sight(self, sighting: Sighting) -> None:
        self.sightings.append(sighting)

    def fresh(self) -> list[tuple[str, bool]]:
        fresh, self.sightings = self.sightings, []
        return [(Path(sighting.endpoint.address).name, sighting.present) for sighting in fresh]

    async def next_round(self) -> list[tuple[str, bool]]:
        await self.clock.step()
        return self.fresh()


@asynccontextmanager
async def watching(*patterns: str, claim: Callable[[int], Claim] = nobody_claims) -> AsyncIterator[Seen]:
    """Watches, and has looked once when entered."""
    clock = StepClock()
    seen = Seen(clock)
    task = asyncio.ensure_future(StaticPorts(patterns, clock, claim).run(seen.sight))
    await asyncio.wait_for(clock.asleep.wait(), 5)
    yield seen
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def terminal() -> "AsyncIterator[str]":
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def link(folder: Path, name: str, target: str) -> Path:
    path = folder / name
    path.symlink_to(target)
    return path


def changed_at(terminal: str) -> float:
    return Path(terminal).stat().st_ctime


def device_number(terminal: str) -> int:
    return Path(terminal).stat().st_rdev


def change_time(terminal: str) -> None:
    """Moves the node's change time on, and nothing else."""
    node = Path(terminal)
    made = node.stat()
    while node.stat().st_ctime_ns == made.st_ctime_ns:  # the kernel's clock ticks every few milliseconds
        node.chmod(stat.S_IMODE(made.st_mode))


async def test_what_is_there_at_the_start_is_sighted_at_once(tmp_path: Path, terminal: str) -> None:
    link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        assert seen.fresh() == [("ttyUSB0", True)]
        assert await seen.next_round() == []
    assert set(seen.clock.slept) == {policy.RESCAN_EVERY}


async def test_plug_and_unplug(tmp_path: Path, terminal: str) -> None:
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        assert seen.fresh() == []
        port = link(tmp_path, "ttyUSB0", terminal)
        assert await seen.next_round() == [("ttyUSB0", True)]
        port.unlink()
        assert await seen.next_round() == [("ttyUSB0", False)]


async def test_a_departure_names_the_endpoint_that_arrived(tmp_path: Path, terminal: str) -> None:
    port = link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        port.unlink()
        await seen.clock.step()
        arrived, departed = seen.sightings
        assert arrived.endpoint == departed.endpoint
        assert arrived.endpoint.key.startswith(f"{terminal}:")


async def test_another_device_at_the_same_address_is_a_new_plug(tmp_path: Path, terminal: str) -> None:
    port = link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        seen.fresh()
        port.unlink()
        link(tmp_path, "ttyUSB0", "/dev/null")
        assert await seen.next_round() == [("ttyUSB0", False), ("ttyUSB0", True)]


async def test_a_node_made_anew_between_two_looks_is_a_new_plug(tmp_path: Path, terminal: str) -> None:
    """The same path and number, another change time."""
    link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        seen.fresh()
        change_time(terminal)
        assert await seen.next_round() == [("ttyUSB0", False), ("ttyUSB0", True)]


async def test_using_a_port_does_not_make_it_a_new_one(tmp_path: Path, terminal: str) -> None:
    link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        seen.fresh()
        fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"hello")
        os.close(fd)
        assert await seen.next_round() == []


async def test_two_names_of_one_device_are_one_endpoint(tmp_path: Path, terminal: str) -> None:
    link(tmp_path, "by-id-module", terminal)
    link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*", f"{tmp_path}/by-id-*") as seen:
        assert seen.fresh() == [("ttyUSB0", True)]


async def test_a_name_that_comes_later_does_not_disturb(tmp_path: Path, terminal: str) -> None:
    """udev makes the links of /dev/serial/by-id after the node."""
    port = link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/by-id-*", f"{tmp_path}/ttyUSB*") as seen:
        seen.fresh()
        link(tmp_path, "by-id-module", terminal)
        assert await seen.next_round() == []
        port.unlink()
        assert await seen.next_round() == [("ttyUSB0", False), ("by-id-module", True)]


async def test_only_character_devices_are_ports(tmp_path: Path, terminal: str) -> None:
    (tmp_path / "ttyUSB0").write_text("a file")
    (tmp_path / "ttyUSB1").mkdir()
    link(tmp_path, "ttyUSB2", "/nowhere")
    link(tmp_path, "ttyUSB3", terminal)
    async with watching(f"{tmp_path}/ttyUSB*") as seen:
        assert seen.fresh() == [("ttyUSB3", True)]


async def test_a_pattern_without_wildcards_and_without_match(tmp_path: Path, terminal: str) -> None:
    async with watching(f"{tmp_path}/ttyUCM0", "/no/such/folder/*") as seen:
        assert seen.fresh() == []
        link(tmp_path, "ttyUCM0", terminal)
        assert await seen.next_round() == [("ttyUCM0", True)]


async def test_sightings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "SIGHTINGS_KEPT", 2)
    for name, device in enumerate(("null", "zero", "full", "random")):
        link(tmp_path, f"tty{name}", f"/dev/{device}")
    async with watching(f"{tmp_path}/tty*") as seen:
        assert seen.fresh() == [("tty0", True), ("tty1", True)]
        (tmp_path / "tty0").unlink()
        assert await seen.next_round() == [("tty0", False), ("tty2", True)]


async def test_a_port_whose_rights_are_still_being_set_is_waited_for_a_while(
    tmp_path: Path, terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """udev hands a node to its group some time after it appears, which would look like another plug."""
    monkeypatch.setattr(usb.os, "access", lambda *_: False)
    link(tmp_path, "ttyUSB0", terminal)
    clock = StepClock()
    clock.time = changed_at(terminal) + 0.1
    seen = Seen(clock)
    task = asyncio.ensure_future(StaticPorts([f"{tmp_path}/ttyUSB*"], clock).run(seen.sight))
    await asyncio.wait_for(clock.asleep.wait(), 5)
    assert seen.fresh() == []
    clock.time += policy.OPEN_RETRY
    assert await seen.next_round() == [("ttyUSB0", True)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_port_that_somebody_else_has_is_left_to_them_for_as_long(tmp_path: Path, terminal: str) -> None:
    claims = {device_number(terminal): Claim.TAKEN}
    link(tmp_path, "ttyUSB0", terminal)
    link(tmp_path, "ttyUSB1", "/dev/null")
    async with watching(f"{tmp_path}/ttyUSB*", claim=lambda number: claims.get(number, Claim.NONE)) as seen:
        assert seen.fresh() == [("ttyUSB1", True)]
        claims.clear()
        assert await seen.next_round() == [("ttyUSB0", True)]
        claims[device_number(terminal)] = Claim.TAKEN
        assert await seen.next_round() == [("ttyUSB0", False)]


async def test_a_port_that_somebody_else_may_yet_take_is_waited_for_a_while(tmp_path: Path, terminal: str) -> None:
    link(tmp_path, "ttyUSB0", terminal)
    async with watching(f"{tmp_path}/ttyUSB*", claim=lambda _: Claim.UNDECIDED) as seen:
        assert seen.fresh() == [("ttyUSB0", True)]  # as old as this clock finds it, nobody will decide any more
        seen.clock.time = changed_at(terminal) + policy.OPEN_RETRY - 0.1
        assert await seen.next_round() == [("ttyUSB0", False)]
        seen.clock.time = changed_at(terminal) + policy.OPEN_RETRY
        assert await seen.next_round() == [("ttyUSB0", True)]
