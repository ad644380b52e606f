"""A fleet hears of a box over a real mosquitto, whatever becomes of either."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.fleet_broker import FleetBroker, fleet_broker, says, tells_of_verified
from tests.e2e.station import HARDWARE_ID, IMPATIENT, PASSPHRASE, POP, FastClock, Station, verified

pytestmark = pytest.mark.system

BOX = "plant-7"


@pytest.fixture
async def fleet(tmp_path: Path, station: Station) -> AsyncIterator[FleetBroker]:
    async with fleet_broker(tmp_path / "fleet", BOX) as fleet:
        station.more = f'[fleet]\nmqtt = "{fleet.credentials}"\ntopic = "fleet"\nname = "{BOX}"\n'
        yield fleet


async def test_every_step_of_a_module_is_an_event_and_the_status_is_kept(station: Station, fleet: FleetBroker) -> None:
    async with fleet.listening() as listener:
        async with station.daemon(clock=FastClock(5.0)) as running, station.module():
            await running.until(verified)
            await listener.until("events", tells_of_verified)
            assert (await listener.until("availability")).payload == b"online"
            async with fleet.listening() as late:
                online = await late.until("availability")
                assert (online.payload, online.retain) == (b"online", True)
                status = (await late.until("status", tells_of_verified)).json
        await listener.until("availability", says(b"offline"))
    events = listener.events()
    milestones = [event["milestone"] for event in events if "milestone" in event["changed"]]
    assert milestones == ["SEEN", "IDENTIFIED", "PROVISIONED", "PUSHED", "VERIFIED"]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    last = events[-1]
    assert (last["box"], last["module"]["hardware_id"], last["hold"]) == (BOX, HARDWARE_ID, None)
    assert last["module"]["endpoint"].endswith("ttyUCM0")
    assert (status["box"], status["sequence"], status["dropped"]) == (BOX, len(events), 0)
    assert status["started_at"] == last["started_at"]
    said = b"".join(message.payload for message in listener.seen)
    assert not any(secret.encode() in said for secret in (POP, PASSPHRASE))
    async with fleet.listening() as later:  # the box is gone, its last status is not
        assert (await later.until("availability")).payload == b"offline"
        assert (await later.until("status")).json["modules"]["VERIFIED"] == 1


async def test_a_hold_is_an_event_once_however_often_it_is_tried_again(station: Station, fleet: FleetBroker) -> None:
    station.pops = {HARDWARE_ID: "not the label's"}
    async with (
        fleet.listening() as listener,
        station.daemon(clock=FastClock(10.0), timing=IMPATIENT) as running,
        station.module(),
    ):
        held = await running.held("pop_wrong", "operator")
        await listener.until("events", lambda message: (message.json["hold"] or {}).get("waits") == "operator")
        holds = [(event["hold"]["waits"], event["hold"]["code"]) for event in listener.events() if event["hold"]]
        assert holds == [("retry_at", "pop_wrong"), ("operator", "pop_wrong")], "of three tries"
        assert listener.events()[-1]["hold"]["message"] == (held["hold"] or {})["message"]
        await listener.until("status", lambda message: message.json["needs_person"] == {"pop_wrong": 1})


async def test_a_box_that_dies_is_offline_by_its_last_will(station: Station, fleet: FleetBroker) -> None:
    async with fleet.listening() as listener, station.daemon_process() as daemon:
        await listener.until("availability", says(b"online"))
        await daemon.kill()
        await listener.until("availability", says(b"offline"))


async def test_without_its_broker_nothing_waits_and_nothing_is_lost(station: Station, fleet: FleetBroker) -> None:
    await fleet.process.stop()
    async with station.daemon(clock=FastClock(20.0)) as running, station.module() as module:
        await running.until(verified)
        await fleet.process.start()
        async with fleet.listening() as listener:
            await listener.until("events", tells_of_verified)
            assert [event["sequence"] for event in listener.events()] == list(range(1, len(listener.events()) + 1))
            await listener.until("availability", says(b"online"))
        await fleet.process.stop(by=signal.SIGKILL)
        await module.unplug()
        await running.until(lambda view: view["milestone"] == "VERIFIED" and not view["present"])
        await fleet.process.start()
        async with fleet.listening() as listener:
            await listener.until("availability", says(b"online"))


async def test_a_restart_tells_nothing_that_was_told_before(station: Station, fleet: FleetBroker) -> None:
    async with station.module():
        async with station.daemon() as running:
            await running.until(verified)
        async with fleet.listening() as listener, station.daemon(clock=FastClock(5.0)):
            await listener.until("availability", says(b"offline"))
            await listener.until("availability", says(b"online"))
            new = await listener.until("status", lambda message: not message.retain)
            assert (new.json["sequence"], new.json["modules"]["VERIFIED"]) == (0, 1)
            assert listener.events() == []


async def test_rights_for_one_box_are_enough(station: Station, fleet: FleetBroker) -> None:
    """A box that calls itself something else is heard by nobody, and goes on as ever."""
    station.more = station.more.replace(BOX, "another")
    async with fleet.listening() as listener:
        async with station.daemon() as running, station.module():
            await running.until(verified)
        await listener.client.subscribe("fleet/nowhere")
        assert len(listener.client.messages) == 0
