"""All modules of a site move from one Wi-Fi to another, on a real mosquitto whose log tells what went wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.front import Front, front_of
from tests.e2e.lan import powered
from tests.e2e.moving import (
    NEW,
    OLD,
    Moving,
    begun,
    campaign_of,
    commits,
    ended,
    evidence,
    expected,
    half_done,
    know_the_new_network,
    moving,
    networks_of,
    refusals,
    two_networks,
    until_campaign,
)
from tests.e2e.station import Station, station_at, ucmctl, verified
from tests.mosquitto.harness import MosquittoProcess, mosquitto_running
from ucm_provision.wire import CampaignView
from ucm_sim import LanModule
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

MANY, SOME = 200, 30
TENTH, FIFTH = SOME // 10, SOME // 5
OPERATOR = 4


@asynccontextmanager
async def site_with_log(folder: Path, **settings: object) -> AsyncIterator[tuple[SiteApi, MosquittoProcess]]:
    async with mosquitto_running(folder, **settings) as (chosen, process), SiteApi(chosen) as site:
        yield site, process


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[SiteApi, MosquittoProcess]]:
    async with site_with_log(tmp_path) as both:
        yield both


@pytest.fixture
def site(both: tuple[SiteApi, MosquittoProcess]) -> SiteApi:
    """Instead of the embedded broker."""
    return both[0]


@pytest.fixture
def mosquitto(both: tuple[SiteApi, MosquittoProcess]) -> MosquittoProcess:
    return both[1]


async def issued(site: SiteApi, modules: list[LanModule]) -> set[int]:
    """How often the API was asked for credentials of each module."""
    return {len(await site.credentials(module.identity.hardware_id)) for module in modules}


def codes_of_failed(move: Moving) -> dict[str, str]:
    holds = {hardware_id: view["hold"] for hardware_id, view in move.views().items()}
    return {hardware_id: hold["code"] for hardware_id, hold in holds.items() if hold}


@pytest.mark.timeout(240)
async def test_two_hundred_modules_move(station: Station, site: SiteApi, mosquitto: MosquittoProcess) -> None:
    async with moving(station, MANY) as move:
        before = move.devices()
        status, campaign = await move.change("--wave", "40")
        assert (status, campaign["state"], campaign["counts"]) == (0, "done", {"done": MANY})
        assert networks_of(move.modules) == {(NEW, "ONLINE"): MANY}
        assert evidence(move.views().values()) == {NEW: MANY}
        assert (move.devices(), len(await site.devices())) == (before, MANY)
        # Once for the site, once to move; the canary once more, to prove the network before the API is asked.
        assert commits(move.modules) == [2] * (MANY - 1) + [3]
        assert await issued(site, move.modules) == {2}
        assert refusals(mosquitto) == []


async def test_a_wrong_passphrase_touches_the_canary_alone(
    station: Station, site: SiteApi, mosquitto: MosquittoProcess
) -> None:
    async with moving(station, SOME, air=two_networks("what the router has")) as move:
        status, campaign = await move.change()
        assert (status, campaign["state"]) == (OPERATOR, "paused")
        assert campaign["counts"] == {"failed": 1, "pending": SOME - 1}
        assert list(codes_of_failed(move).values()) == ["trial_wifi_auth_failed"]
        assert commits(move.modules) == [1] * (SOME - 1) + [2]
        assert networks_of(move.modules) == {(OLD, "ONLINE"): SOME}
        assert await issued(site, move.modules) == {1}  # the API was not asked
        assert refusals(mosquitto) == []


async def test_who_does_not_hear_the_network_stays_where_it_was(
    station: Station, site: SiteApi, mosquitto: MosquittoProcess
) -> None:
    async with moving(station, SOME) as move:
        far = move.modules[-TENTH:]
        for module in far:
            module.radio.leave_range(NEW)
            module.radio.set_rssi(OLD, -80)  # nobody's canary
        status, campaign = await move.change("--max-failures", str(TENTH))
        assert (status, campaign["state"]) == (OPERATOR, "done")
        assert campaign["counts"] == {"done": SOME - TENTH, "failed": TENTH}
        assert codes_of_failed(move) == {each.identity.hardware_id: "trial_wifi_not_found" for each in far}
        assert networks_of(far) == {(OLD, "ONLINE"): TENTH}
        assert networks_of(move.modules[:-TENTH]) == {(NEW, "ONLINE"): SOME - TENTH}
        assert refusals(mosquitto) == []


async def test_who_falls_back_on_dead_credentials_gets_fresh_ones(tmp_path: Path) -> None:
    async with (
        site_with_log(tmp_path, rotation_grace=timedelta(0)) as (site, mosquitto),
        front_of(site, station := station_at(site, tmp_path)) as front,
        moving(station, SOME) as move,
    ):
        front.alter = lambda _: site._broker.attention.set()  # or ends that nobody saw coming may be a minute late
        far = move.modules[-TENTH:]
        for module in far:
            module.radio.leave_range(NEW)
            module.radio.set_rssi(OLD, -80)
        _, campaign = await move.change("--max-failures", str(TENTH))
        assert campaign["counts"] == {"done": SOME - TENTH, "failed": TENTH}
        assert codes_of_failed(move) == {each.identity.hardware_id: "trial_wifi_not_found" for each in far}
        assert all("fresh credentials" in (each["message"] or "") for each in campaign["members"] if each["code"])
        assert networks_of(far) == {(OLD, "ONLINE"): TENTH}
        assert networks_of(move.modules[:-TENTH]) == {(NEW, "ONLINE"): SOME - TENTH}
        assert commits(far) == [3] * TENTH
        told = refusals(mosquitto)
        assert any("verify failed" in line for line in told)
        assert any("not authorised" in line for line in told)


@pytest.mark.parametrize(("moment", "count"), [(begun, 8), (half_done, SOME)])
async def test_kill_9_in_the_middle_changes_nothing(
    station: Station, moment: Callable[[CampaignView], bool], count: int
) -> None:
    async with powered(expected(station, count), air=two_networks(), telemetry_every_s=0.0) as modules:
        async with station.daemon_process() as daemon:
            await daemon.until(lambda views: views if sum(verified(view) for view in views) == count else [])
            await know_the_new_network(station)
            await campaign_of(station, "change", "--ssid", NEW, "--no-wait")
            await until_campaign(station, moment)
            await daemon.kill()
        async with station.daemon_process():
            campaign = await until_campaign(station, ended)
        assert (campaign["state"], campaign["counts"]) == ("done", {"done": count})
        assert networks_of(modules) == {(NEW, "ONLINE"): count}
    assert commits(modules) == [2] * (count - 1) + [3]


async def test_an_api_that_is_away_for_a_minute(station: Station, front: Front) -> None:
    async with moving(station, SOME) as move:
        await move.change("--no-wait")
        await until_campaign(station, half_done)
        front.hangs_up, began = True, move.clock.monotonic()
        while move.clock.monotonic() - began < 60.0:
            await front.called(front.calls + 1)
        front.hangs_up = False
        campaign = await until_campaign(station, ended)
        assert (campaign["state"], campaign["counts"]) == ("done", {"done": SOME})
        assert networks_of(move.modules) == {(NEW, "ONLINE"): SOME}
        assert commits(move.modules) == [2] * (SOME - 1) + [3]


async def test_who_is_off_meanwhile_is_taken_up_when_it_is_on_again(station: Station) -> None:
    async with moving(station, SOME) as move:
        _, campaign = await move.change("--no-wait", "--wave", "4")
        last = [each["hardware_id"] for each in campaign["members"][-FIFTH:]]
        off = [module for module in move.modules if module.identity.hardware_id in last]
        for module in off:
            await module.power_off(goodbye=True)
        campaign = await until_campaign(station, lambda campaign: campaign["idle"])
        assert (campaign["state"], campaign["counts"]) == ("running", {"done": SOME - FIFTH, "pending": FIFTH})
        for module in off:
            await module.power_on()
        campaign = await until_campaign(station, ended)
        assert (campaign["state"], campaign["counts"]) == ("done", {"done": SOME})
        assert commits(move.modules) == [2] * (SOME - 1) + [3]


async def test_staged_modules_follow_by_themselves_when_the_old_network_goes(station: Station) -> None:
    async with moving(station, SOME) as move:
        assert (await move.change("--stage"))[1]["counts"] == {"done": SOME}
        assert networks_of(move.modules) == {(OLD, "ONLINE"): SOME}
        move.air.switch_off(OLD)
        for module in move.modules:
            await module.until(lambda module: (module.ssid, module.phase_name) == (NEW, "ONLINE"), timeout=30)
        # Each says so itself, asked where it is now.
        status, said = await ucmctl(station.socket, "verify", "--all", "--json")
        assert (status, [module["well"] for module in json.loads(said)["modules"]]) == (0, [True] * SOME)
        assert (await move.change())[1]["counts"] == {"done": SOME}
        assert (await move.change("--drop", ssid=OLD))[1]["counts"] == {"done": SOME}
        assert networks_of(move.modules) == {(NEW, "ONLINE"): SOME}
        assert commits(move.modules) == [4] * (SOME - 1) + [5]
        _, said = await ucmctl(station.socket, "wifi", "show")
        assert (NEW in said.partition("\n\n")[0], OLD in said.partition("\n\n")[0]) == (True, False)
