"""What discovery makes of plugs, unplugs and noise: its real code, on a bus that is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.wire.udev.bus import FTDI, Bus, Plug, watcher

pytestmark = pytest.mark.system

ONE, OTHER = Plug(), Plug("ttyUSB201", minor=201, socket=2)
STRANGER = Plug("ttyUSB209", minor=209, socket=9, ids=FTDI)


@contextmanager
def terminal_at(bus: Bus, plug: Plug) -> Iterator[None]:
    """The device node of a plug, for those who look at more than udev's database."""
    master, slave = os.openpty()
    node = bus.node(plug)
    node.symlink_to(os.ttyname(slave))
    try:
        yield
    finally:
        node.unlink()
        os.close(master)
        os.close(slave)


async def test_what_is_there_at_the_start_is_seen_at_once(bus: Bus) -> None:
    await bus.plug(ONE)
    await bus.plug(OTHER)
    async with watcher(bus) as watching:
        first, second = await watching.next(), await watching.next()
        assert [(first.name, first.present), (second.name, second.present)] == [(ONE.name, True), (OTHER.name, True)]


async def test_plug_and_unplug_and_plug(bus: Bus) -> None:
    async with watcher(bus) as watching:
        await bus.plug(ONE)
        arrived = await watching.next()
        assert (arrived.name, arrived.present) == (ONE.name, True)
        await bus.unplug(ONE)
        left = await watching.next()
        assert (left.name, left.present, left.key) == (ONE.name, False, arrived.key)
        await bus.plug(ONE.anew())
        again = await watching.next()
        assert (again.name, again.present) == (ONE.name, True)
        assert again.key != arrived.key


async def test_plug_unplug_and_replug_are_seen_where_no_event_comes(bus: Bus) -> None:
    """A container may see udev's database and hear none of its events."""
    async with watcher(bus, rescans=True) as watching:
        bus.fall_silent()
        await bus.plug(ONE)
        arrived = await watching.next()
        assert (arrived.name, arrived.present) == (ONE.name, True)
        await bus.unplug(ONE)
        await bus.plug(ONE.anew())
        left, again = await watching.next(), await watching.next()
        assert (left.present, left.key, again.present) == (False, arrived.key, True)
        assert again.key != arrived.key


async def test_the_key_is_made_of_boot_place_and_moment(bus: Bus) -> None:
    async with watcher(bus) as watching:
        await bus.plug(ONE)
        boot, _, rest = (await watching.next()).key.partition(":")
        assert len(boot) == 32
        assert rest == f"pci-0000:00:14.0-usb-0:1:1.0:/dev/{ONE.name}:{ONE.initialised}"


async def test_a_port_may_be_marked_for_a_link_driver(bus: Bus) -> None:
    await bus.plug(ONE)
    await bus.say(ONE, "change", ID_UCM_LINK="acme")
    async with watcher(bus) as watching:
        assert (await watching.next()).driver == "acme"


async def test_the_key_outlives_a_restart(bus: Bus) -> None:
    await bus.plug(ONE)
    async with watcher(bus) as watching:
        before = await watching.next()
    async with watcher(bus) as watching:
        assert await watching.next() == before


async def test_a_port_that_comes_back_under_another_name_is_another_endpoint(bus: Bus) -> None:
    """Native USB enumerates anew when the chip resets."""
    async with watcher(bus) as watching:
        await bus.plug(ONE)
        await watching.next()
        await bus.unplug(ONE)
        left = await watching.next()
        await bus.plug(ONE.anew(name="ttyUSB207", minor=207))
        came = await watching.next()
        assert (left.name, left.present, came.name, came.present) == (ONE.name, False, "ttyUSB207", True)
        assert came.key != left.key


async def test_a_plug_of_which_only_the_end_is_seen_is_a_new_one(bus: Bus) -> None:
    """Out and in again, faster than anybody looked."""
    async with watcher(bus) as watching:
        await bus.plug(ONE)
        first = await watching.next()
        await bus.say(ONE, "add", USEC_INITIALIZED="9000000")
        left, came = await watching.next(), await watching.next()
        assert (left.present, left.key) == (False, first.key)
        assert (came.name, came.present) == (ONE.name, True)
        assert came.key != first.key


@pytest.mark.parametrize("action", ["change", "add", "bind"])
async def test_an_event_about_a_port_that_stays_is_nothing(bus: Bus, action: str) -> None:
    async with watcher(bus) as watching:
        await bus.plug(ONE)
        await watching.next()
        await bus.say(ONE, action, ID_MODEL="of_no_interest")
        await bus.plug(OTHER)
        assert (await watching.next()).name == OTHER.name


async def test_only_marked_terminals_are_ports(bus: Bus) -> None:
    await bus.plug(STRANGER)
    async with watcher(bus) as watching:
        await bus.plug(Plug("ttyUSB208", minor=208, socket=8, ids=FTDI))
        await bus.plug(ONE)
        assert (await watching.next()).name == ONE.name


async def test_a_port_becomes_one_when_a_new_rule_marks_it_and_stops_when_a_rule_takes_it_out(bus: Bus) -> None:
    async with watcher(bus) as watching:
        await bus.plug(STRANGER)
        await bus.say(STRANGER, "change", ID_UCM="1")
        came = await watching.next()
        await bus.say(STRANGER, "change", ID_UCM="0")
        left = await watching.next()
        assert (came.name, came.present, left.name, left.present) == (STRANGER.name, True, STRANGER.name, False)


async def test_a_place_that_udev_cannot_name_is_known_by_its_device_path(bus: Bus) -> None:
    async with watcher(bus) as watching:
        await bus.plug(STRANGER)
        # In this order: who still looks at the plug may see the first without the second.
        await bus.say(STRANGER, "change", ID_PATH="", ID_UCM="1")
        assert f":{STRANGER.path}:" in (await watching.next()).key


async def test_what_pattern_and_udev_both_find_is_one_endpoint(bus: Bus) -> None:
    for plug in (ONE, STRANGER, OTHER):
        await bus.plug(plug)
    with terminal_at(bus, ONE), terminal_at(bus, OTHER):
        async with watcher(bus, "/dev/ttyUSB*") as watching:
            assert [(await watching.next()).name for _ in range(2)] == [ONE.name, OTHER.name]
            # The patterns' own rounds go by, and what they see is what udev leaves to them.
            for _ in range(2):
                with terminal_at(bus, STRANGER):
                    came = await watching.next()
                left = await watching.next()
                assert (came.name, came.present, left) == (STRANGER.name, True, replace(came, present=False))


async def test_nothing_stays_open(bus: Bus) -> None:
    async with watcher(bus) as watching:
        assert await watching.stop() == "left open: 0"
