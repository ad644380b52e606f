"""What a real daemon tells Prometheus of what happens to real modules."""

from __future__ import annotations

import asyncio
import re

import aiohttp

from tests.e2e.front import Front
from tests.e2e.station import DEADLINE, HARDWARE_ID, IMPATIENT, FastClock, Station, verified
from tests.unit.control.test_metrics import Samples, samples

OTHER_ID = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


async def scraped(station: Station) -> tuple[str, Samples]:
    async with (
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(station.socket))) as client,
        client.get("/metrics") as answer,
    ):
        assert answer.status == 200
        text = await answer.text()
        return text, samples(text)


async def test_modules_failures_and_certificates_are_counted(station: Station) -> None:
    station.pops |= {OTHER_ID: "not the label's"}
    async with (
        station.daemon(clock=FastClock(10.0), timing=IMPATIENT) as running,
        station.module(),
        station.module(1, hardware_id=OTHER_ID, pop="the label's"),
    ):
        view = await running.until(verified)
        await running.held("pop_wrong", "operator")
        text, found = await scraped(station)
    assert (found["modules", ("VERIFIED",)], found["modules", ("SEEN",)], found["modules", ("PUSHED",)]) == (1, 1, 0)
    assert found["modules_waiting", ("pop_wrong", "operator")] == 1
    assert found["session_failures_total", ("pop_wrong",)] == 3
    assert found["endpoints", ("serial",)] == 2
    assert (found["api_up", ()], found["witness_up", ()], found["clock_synchronized", ()]) == (1, 1, 0)
    year = 365 * 86400
    assert 0 < found["certificate_earliest_end_timestamp_seconds", ()] - view["updated_at"] < 3 * year
    assert found["journal_bytes", ()] > 10_000
    assert found["state_free_bytes", ()] > 0
    assert not re.search(f"{HARDWARE_ID}|{OTHER_ID}|ttyUCM", text), "no series of a module's own"


async def test_an_outage_shows_and_ends(station: Station, front: Front) -> None:
    front.hangs_up = True
    async with station.daemon(clock=FastClock(20.0)) as running, station.module():
        await running.held("api_unreachable")
        _, found = await scraped(station)
        assert (found["api_up", ()], found["paused", ("api_unreachable",)]) == (0, 1)
        assert found["modules_waiting", ("api_unreachable", "retry_at")] == 1
        front.hangs_up = False
        await running.until(verified)
        _, found = await scraped(station)
    assert found["api_up", ()] == 1
    assert not [name for name, _ in found if name in ("paused", "modules_waiting")]


async def test_what_is_under_way_shows(station: Station) -> None:
    async with station.daemon() as running, station.module():
        await running.until(lambda view: (view["activity"] or {}).get("step") == "push")
        async with asyncio.timeout(DEADLINE):
            _, found = await scraped(station)
    steps = {step: count for (name, (step,)), count in _labelled(found).items() if name == "sessions_under_way"}
    assert steps.keys() == {"identify", "provision", "check", "push", "verify"}
    assert sum(steps.values()) == 1


def _labelled(found: Samples) -> Samples:
    return {(name, labels): value for (name, labels), value in found.items() if len(labels) == 1}
