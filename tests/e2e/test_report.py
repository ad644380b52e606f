"""The commissioning report of a real site: what was verified, what failed on the way, and what did not get there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.e2e.front import Front
from tests.e2e.station import HARDWARE_ID, IMPATIENT, FastClock, Station, ucmctl, verified


async def report(station: Station, *arguments: str) -> dict[str, Any]:
    status, out = await ucmctl(station.socket, "report", "--json", *arguments)
    assert status == 0, out
    found: dict[str, Any] = json.loads(out)
    return found


async def test_the_report_of_a_site_that_had_its_troubles(station: Station, front: Front) -> None:
    front.refuse(503)
    async with (
        station.daemon(clock=FastClock(20.0), timing=IMPATIENT) as running,
        station.module(rssi_dbm=-81),
        station.module(1, hardware_id="0" * 32, pop="not the label's"),
    ):
        await running.held("api_failed")
        front.failing = None
        await running.until(verified)
        await running.held("pop_missing")
        found = await report(station, "--engineer", "Jana Berg")
    assert (found["engineer"], found["box"]) == ("Jana Berg", "box-under-test")
    unknown, module = found["modules"]
    assert module["hardware_id"] == HARDWARE_ID
    assert (module["result"], module["signal"]) == ("verified_with_warning", {"rssi_dbm": -81, "quality": "weak"})
    assert module["how"].startswith('The module reported ONLINE on "plant-wifi" with configuration 1, and the witness')
    assert [failure["code"] for failure in module["failures"]] == ["api_failed"]
    assert (unknown["result"], unknown["reason"]["code"]) == ("not_verified", "pop_missing")
    assert found["site"]["id"], "the API's own site, though the configuration names none"


async def test_the_report_outlives_the_daemon_and_knows_what_is_old(station: Station) -> None:
    async with station.module():
        async with station.daemon() as running:
            await running.until(verified)
        async with station.daemon():
            everything = await report(station)
            (module,) = everything["modules"]
            later = datetime.fromtimestamp(module["verified_at"] + 2, UTC).isoformat()
            nothing = await report(station, "--since", later)
    assert (everything["counts"]["verified"], everything["counts"]["older"]) == (1, 0)
    assert (nothing["counts"]["modules"], nothing["counts"]["older"], nothing["modules"]) == (0, 1, [])
