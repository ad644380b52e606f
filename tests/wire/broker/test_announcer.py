"""The fleet's announcer against a scripted broker: nothing waits for it, and what it says comes in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.wire.broker.leaks import nothing_left_behind
from tests.wire.broker.servers import CONNECT, DISCONNECT, PUBLISH, ScriptedBroker, closed_port, serving
from tests.wire.broker.test_witness import PATIENT, write_file
from tests.wire.broker.witnessing import WallClock
from ucm_provision.broker.announcer import Announcer, Place
from ucm_provision.broker.witness import CONNECTED
from ucm_provision.core import policy

PLACE = Place("fleet/plant-7", "box-a")
ONLINE, OFFLINE = ("fleet/plant-7/availability", b"online"), ("fleet/plant-7/availability", b"offline")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.json"


@asynccontextmanager
async def running(file: Path, place: Place = PLACE) -> AsyncIterator[Announcer]:
    async with nothing_left_behind():
        announcer = Announcer(file, place, WallClock(), timing=PATIENT)
        task = asyncio.create_task(announcer.run())
        try:
            yield announcer
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


async def until_status(announcer: Announcer, wanted: str) -> None:
    async with asyncio.timeout(5):
        while wanted not in announcer.status:  # noqa: ASYNC110 -- a status tells nobody when it changes
            await asyncio.sleep(0.005)


def event(number: int) -> tuple[str, bytes]:
    return ("fleet/plant-7/events", b"%d" % number)


async def test_it_says_that_it_is_there_then_how_things_are_then_what_happened(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as announcer:
            announcer.tell("events", b"1")
            announcer.keep("status", b"old")
            announcer.keep("status", b"new")
            announcer.tell("events", b"2")
            await broker.until_published(b"2")
    status = ("fleet/plant-7/status", b"new")
    assert broker.published() == [ONLINE, status, event(1), event(2), OFFLINE]
    assert broker.types()[-1] == DISCONNECT, "in order: no last will"


async def test_the_broker_is_given_a_last_will_and_always_the_same_client_id(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        for _ in range(2):
            async with running(file):
                await broker.until_published(b"online")
                broker.packets = [packet for packet in broker.packets if packet[0] == CONNECT]
        async with running(file, Place("fleet/plant-8", "box-b")):
            await broker.until_published(b"online")
    first, second, other = (body for kind, body in broker.packets if kind == CONNECT)
    assert first == second
    assert b"fleet/plant-7/availability\x00\x07offline" in first
    will_with_qos_1_retained, flags = 0b0010_1100, first[7]
    assert flags & 0b0011_1100 == will_with_qos_1_retained
    identifiers = [int.from_bytes(body[10:12], "big") and body[12 : 12 + body[11]] for body in (first, other)]
    assert identifiers[0] != identifiers[1]
    assert all(isinstance(each, bytes) and each.isalnum() and len(each) <= 23 for each in identifiers)


async def test_what_was_not_acknowledged_is_told_again_in_order(file: Path) -> None:
    async with serving(ScriptedBroker(puback=False)) as broker:
        write_file(file, broker.port)
        async with running(file) as announcer:
            await broker.until(PUBLISH)
            for number in range(5):
                announcer.tell("events", b"%d" % number)
            broker.puback = True
            broker.drop_clients()
            await broker.until_published(b"4")
            broker.packets.clear()
            broker.puback = False
            announcer.tell("events", b"5")
            announcer.tell("events", b"6")
            await broker.until_published(b"6")
            broker.packets.clear()
            broker.puback = True
            broker.drop_clients()
            await broker.until_published(b"6")
    assert broker.published() == [ONLINE, event(5), event(6), OFFLINE]


async def test_the_last_of_how_things_are_is_told_on_every_connection(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as announcer:
            announcer.keep("status", b"so")
            await broker.until_published(b"so")
            broker.packets.clear()
            broker.drop_clients()
            await broker.until_published(b"so")
            assert broker.published() == [ONLINE, ("fleet/plant-7/status", b"so")]


def spoil(file: Path, broken: str) -> None:
    if broken == "no file":
        file.unlink()
    if broken == "no JSON":
        file.write_text("{")


@pytest.mark.parametrize("broken", ["nobody there", "no file", "no JSON", "refused"])
async def test_nobody_waits_for_a_broker_that_is_not_there(file: Path, broken: str) -> None:
    told = policy.FLEET_QUEUE + 100
    async with serving(ScriptedBroker(connack=5)) as broker:
        with closed_port() as port:
            write_file(file, broker.port if broken == "refused" else port)
            spoil(file, broken)
            async with running(file) as announcer:
                before = asyncio.get_running_loop().time()
                for number in range(told):
                    announcer.tell("events", b"%d" % number)
                assert asyncio.get_running_loop().time() - before < 0.5
                assert announcer.dropped == 100
                await until_status(
                    announcer, {"no file": "No such file", "no JSON": "truncated"}.get(broken, "cannot be used (")
                )
                assert "hunter2" not in announcer.status
                broker.connack = 0
                write_file(file, broker.port)  # heals without a restart
                await until_status(announcer, CONNECTED)
                await broker.until_published(b"%d" % (told - 1))
    events = [payload for topic, payload in broker.published() if topic.endswith("/events")]
    assert events == [b"%d" % number for number in range(100, told)], "the oldest are missing, and nothing else"


async def test_a_broker_that_answers_nothing_holds_up_nobody_s_end(file: Path) -> None:
    async with serving(ScriptedBroker(puback=False)) as broker:
        write_file(file, broker.port)
        async with running(file) as announcer:
            announcer.tell("events", b"1")
            await broker.until(PUBLISH)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < policy.FLEET_FAREWELL + 2 * policy.BROKER_CLOSE_DEADLINE


async def test_a_flood_goes_out_in_order_and_whole(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as announcer:
            await until_status(announcer, CONNECTED)
            for number in range(500):
                announcer.tell("events", b"%d" % number)
            await broker.until_published(b"499")
    assert [each for each in broker.published() if each[0].endswith("/events")] == [event(n) for n in range(500)]
    assert announcer.dropped == 0
