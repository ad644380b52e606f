"""What an operator is told about a move to another Wi-Fi, what they may ask, and what is refused before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.lan import at_rest, listed, of, on_lan, powered
from tests.e2e.moving import (
    NEW,
    NEW_PASSPHRASE,
    OLD,
    Moving,
    commits,
    ended,
    moving,
    networks_of,
    two_networks,
    until_campaign,
)
from tests.e2e.station import BIN, Station, station_at, ucmctl
from tests.mosquitto.harness import mosquitto_site
from ucm_sim import LanModule
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

FAILED, USAGE, NOT_FOUND, OPERATOR = 1, 2, 3, 4
FEW = 4


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteApi]:
    """Instead of the embedded broker."""
    async with mosquitto_site(tmp_path) as site:
        yield site


async def wifi(move: Moving, *arguments: str) -> tuple[int, str]:
    return await ucmctl(move.station.socket, "wifi", *arguments)


async def add(move: Moving, ssid: str, passphrase: str) -> tuple[int, str]:
    file = move.station.folder / "typed"
    file.write_text(passphrase)
    return await wifi(move, "add", ssid, "--passphrase-file", str(file))


async def off(move: Moving, module: LanModule) -> None:
    """Switched off, and the daemon knows that it is not there."""
    await module.power_off(goodbye=True)
    await move.running.until(of(module, lambda view: not view["present"]))


def untouched(move: Moving) -> bool:
    return commits(move.modules) == [1] * len(move.modules)


# ---- what is refused -----------------------------------------------------------------------------


async def test_what_cannot_be_is_refused_before_anything_is_touched(station: Station) -> None:
    async with moving(station, FEW) as move:
        requests = [module.posts for module in move.modules]
        for ssid in ("nowhere", "", NEW.upper(), "x" * 33):
            status, said = await wifi(move, "change", "--ssid", ssid)
            assert (status, said.partition(":")[0]) == (NOT_FOUND, "WIFI_UNKNOWN")
        for ssid, passphrase in (("x" * 33, "long enough"), ("", "long enough"), ("a\x07b", "long enough")):
            status, said = await add(move, ssid, passphrase)
            assert (status, said.partition(":")[0]) == (USAGE, "WIFI_INVALID")
        for passphrase in ("seven77", "x" * 64, "pässwörter"):
            status, said = await add(move, "another", passphrase)
            assert (status, said.partition(":")[0], passphrase in said) == (USAGE, "WIFI_INVALID", False)
        for option, value in (("--wave", "0"), ("--wave", "101"), ("--canary", "0"), ("--max-failures", "-1")):
            assert (await wifi(move, "change", "--ssid", NEW, option, value))[0] == USAGE
        status, said = await wifi(move, "campaigns")
        assert (status, said) == (0, "No campaigns yet.\n")
        assert (untouched(move), [module.posts for module in move.modules]) == (True, requests)


async def test_the_only_network_cannot_be_dropped(station: Station) -> None:
    async with moving(station, FEW) as move:
        assert (await wifi(move, "drop", NEW))[0] == 0
        status, said = await wifi(move, "change", "--ssid", OLD, "--drop")
        assert (status, said.partition(":")[0], "only network" in said) == (USAGE, "REQUEST_INVALID", True)
        status, said = await wifi(move, "change", "--ssid", OLD)
        assert (status, said.partition(":")[0]) == (FAILED, "CAMPAIGN_POINTLESS")
        assert untouched(move)


async def test_while_one_campaign_is_open_there_is_no_other(station: Station) -> None:
    async with moving(station, FEW) as move:
        await off(move, move.modules[0])
        assert (await move.begin("--stage"))["counts"] == {"done": FEW - 1, "pending": 1}
        status, said = await wifi(move, "change", "--ssid", NEW)
        assert (status, said.partition(":")[0]) == (FAILED, "CAMPAIGN_OPEN")
        assert commits(move.modules) == [1] + [2] * (FEW - 1)
        assert (await wifi(move, "abort"))[0] == 0
        assert (await move.begin())["counts"] == {"done": FEW - 1, "pending": 1}


async def test_a_network_that_is_dropped_under_way_ends_the_campaign_and_not_the_daemon(station: Station) -> None:
    async with moving(station, FEW) as move:
        late = move.modules[0]
        await off(move, late)
        await move.begin()
        assert (await wifi(move, "drop", NEW))[0] == 0
        await late.power_on()
        campaign = await until_campaign(station, ended)
        assert (campaign["state"], campaign["counts"]) == ("done", {"done": FEW - 1, "failed": 1})
        assert networks_of([late]) == {(OLD, "ONLINE"): 1}
        assert late.executed("commit") == 1


async def test_a_module_of_another_box_is_left_out(station: Station, site: SiteApi, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, air = on_lan(station_at(site, tmp_path / "other")), two_networks()
    other.box_id, (identity,) = "other-box", listed(other, 1)
    async with powered([identity], air=air) as (theirs,):
        async with other.daemon() as running:
            await running.until(of(theirs, at_rest))
        async with moving(station, FEW, air=air, besides=[identity]) as move:
            view = await move.running.until(of(theirs, at_rest))
            assert view["managed_by"] == "other-box"
            _, said = await wifi(move, "change", "--ssid", NEW, "--dry-run")
            reserved = theirs.executed("reserve")
            assert "left out: 1\n" in said
            assert 'managed by "other-box"' in said
            assert (await move.change())[1]["counts"] == {"done": FEW}
            assert (theirs.executed("commit"), theirs.executed("reserve")) == (1, reserved)
            assert networks_of([theirs]) == {(OLD, "ONLINE"): 1}


# ---- what is told --------------------------------------------------------------------------------


async def test_a_dry_run_says_which_modules_and_changes_nothing(station: Station) -> None:
    async with moving(station, FEW) as move:
        await off(move, move.modules[0])
        status, said = await wifi(move, "change", "--ssid", NEW, "--dry-run")
        assert status == 0
        head, now, later = said.split("\n\n")
        assert head == f"{FEW} modules would get {NEW}, {OLD}, each online on {NEW}; nothing was changed."
        assert now.splitlines()[0] == f"reached now: {FEW - 1}"
        assert all(module.identity.hardware_id in now for module in move.modules[1:])
        assert later.splitlines()[0] == "not reached now: 1"
        assert move.modules[0].identity.hardware_id in later
        assert "bring a cable" in later
        assert NEW_PASSPHRASE not in said
        assert (await wifi(move, "campaigns"))[1] == "No campaigns yet.\n"
        assert untouched(move)


async def test_progress_is_shown_until_nobody_is_under_way(station: Station) -> None:
    async with moving(station, FEW) as move:
        await off(move, move.modules[0])
        status, said = await wifi(move, "change", "--ssid", NEW)
        lines = said.splitlines()
        assert status == 0
        assert lines[0].startswith(f"change to {NEW}, {OLD}: running, 0 of {FEW} done")
        assert f"running, {FEW - 1} of {FEW} done, 1 pending" in lines[-2]
        assert lines[-1].split()[0] == "pending"
        assert lines[-1].endswith("not there now: bring a cable, or switch it on")
        await move.modules[0].power_on()
        await until_campaign(station, ended)
        assert f"done, {FEW} of {FEW} done" in (await wifi(move, "campaigns"))[1]


async def test_whoever_looks_on_may_leave(station: Station) -> None:
    """The campaign is the daemon's, and not that of the command that began it."""
    async with moving(station, FEW):
        looking = await asyncio.create_subprocess_exec(
            BIN / "ucmctl", "--socket", station.socket, "wifi", "change", "--ssid", NEW, stderr=asyncio.subprocess.PIPE
        )
        assert looking.stderr is not None
        await looking.stderr.readline()
        looking.kill()
        await looking.communicate()
        assert (await until_campaign(station, ended))["counts"] == {"done": FEW}


async def test_a_canary_that_failed_is_mended_retried_and_the_others_follow(station: Station) -> None:
    async with moving(station, FEW, air=two_networks("another passphrase")) as move:
        status, said = await wifi(move, "change", "--ssid", NEW)
        assert status == OPERATOR
        assert "the canary failed" in said
        assert "TRIAL_WIFI_AUTH_FAILED" in said
        assert "ucmctl wifi resume goes on" in said
        assert (await add(move, NEW, "another passphrase"))[0] == 0
        _, campaign = await move.campaign("pause")
        (failed,) = (each["hardware_id"] for each in campaign["members"] if each["state"] == "failed")
        assert (await ucmctl(station.socket, "retry", failed))[0] == 0
        status, campaign = await move.campaign("resume")
        assert (status, campaign["state"], campaign["counts"]) == (0, "done", {"done": FEW})
        assert networks_of(move.modules) == {(NEW, "ONLINE"): FEW}


# ---- pause, resume, abort ------------------------------------------------------------------------


async def test_a_paused_campaign_begins_nobody_until_it_is_resumed(station: Station) -> None:
    async with moving(station, FEW) as move:
        late = move.modules[0]
        await off(move, late)
        await move.begin()
        status, campaign = await move.campaign("pause")
        assert (status, campaign["state"], "paused it" in (campaign["reason"] or "")) == (0, "paused", True)
        await late.power_on()
        await move.running.until(of(late, lambda view: view["present"]))
        assert (await until_campaign(station, lambda campaign: campaign["idle"]))["counts"]["pending"] == 1
        assert late.executed("commit") == 1
        status, campaign = await move.campaign("resume")
        assert (status, campaign["state"], campaign["counts"]) == (0, "done", {"done": FEW})


async def test_an_aborted_campaign_leaves_the_others_as_they_are(station: Station) -> None:
    async with moving(station, FEW) as move:
        late = move.modules[0]
        await off(move, late)
        await move.begin()
        status, campaign = await move.campaign("abort")
        assert (status, campaign["state"], campaign["counts"]) == (0, "aborted", {"done": FEW - 1, "pending": 1})
        for command in ("resume", "pause", "abort"):
            status, said = await wifi(move, command, campaign["id"])
            assert (status, said.partition(":")[0]) == (FAILED, "CAMPAIGN_ENDED")
        status, said = await wifi(move, "abort", "no-such-number")
        assert (status, said.partition(":")[0]) == (NOT_FOUND, "CAMPAIGN_UNKNOWN")
        await late.power_on()
        await move.running.until(of(late, lambda view: view["present"]))
        await late.until(lambda module: module.phase_name == "ONLINE", timeout=20)
        assert (late.executed("commit"), late.ssid) == (1, OLD)
        _, said = await wifi(move, "show")
        assert said.index(OLD) < said.index(NEW)  # new modules get what they got before
