"""ucmctl forget and --all, on a real daemon with real modules: what is wiped is empty, and comes back as a new one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.lan import all_are, at_rest, holding, listed, new_identity, of, on_lan, powered
from tests.e2e.station import HARDWARE_ID, PASSPHRASE, SSID, FastClock, Station, ucmctl, verified
from ucm_site_api import SiteApi


async def test_a_wiped_module_is_empty_and_is_provisioned_anew_when_it_is_plugged_in_again(
    station: Station, site: SiteApi, tmp_path: Path
) -> None:
    async with station.daemon() as running, station.module() as module:
        first = await running.until(at_rest)
        status, said = await ucmctl(station.socket, "forget", HARDWARE_ID[:8], "--wipe", "--yes")
        assert status == 0, said
        assert said.splitlines()[1:] == [
            f"Its device {first['device_id']} stays in the provisioning API, with its data.",
            "The manifest still lists it: without a change there it is provisioned again when it comes back.",
        ]
        await module.until(lambda module: module.unprovisioned, timeout=5)
        flash = (tmp_path / f"module-{HARDWARE_ID}.flash").read_bytes()
        assert (PASSPHRASE.encode() in flash, (first["device_id"] or "").encode() in flash) == (False, False)
        assert (running.views(), running.daemon.status()["modules"]) == ([], {})
        assert [device["id"] for device in await site.devices()] == [first["device_id"]]
        await module.unplug()
        await module.plug(tmp_path / "ttyUCM7")
        second = await running.until(at_rest)
        assert (second["device_id"], second["adopted"], second["generation"]) == (first["device_id"], False, 2)
        assert second["session"] != first["session"]
        assert module.executed("reset") == 1


async def test_what_is_only_forgotten_keeps_its_configuration_and_is_found_again(
    station: Station, tmp_path: Path
) -> None:
    async with station.module() as module:
        async with station.daemon() as running:
            await running.until(at_rest)
            status, _ = await ucmctl(station.socket, "forget", HARDWARE_ID, "--yes")
            assert (status, running.views()) == (0, [])
        async with station.daemon_process() as daemon:  # and a restart does not find it where it was
            await daemon.answering()
            assert await daemon.ctl("list") == {"modules": []}
            await module.unplug()
            await module.plug(tmp_path / "ttyUCM7")
            (again,) = await daemon.until_verified()
        assert (again["adopted"], module.active_generation, module.executed("reset")) == (True, 1, 0)


async def test_a_wipe_over_the_lan(station: Station) -> None:
    async with powered(listed(on_lan(station), 1)) as (module,), station.daemon() as running:
        await running.until(of(module, at_rest))
        hardware_id = module.identity.hardware_id
        status, said = await ucmctl(station.socket, "forget", hardware_id, "--wipe", "--yes", "--json")
        answer = json.loads(said)
        assert (status, answer["wiped"], answer["listed"]) == (0, True, True)
        await module.until(lambda module: module.unprovisioned, timeout=5)


async def test_a_module_that_is_unplugged_cannot_be_wiped(station: Station) -> None:
    async with station.daemon() as running:
        async with station.module():
            await running.until(at_rest)
        await running.until(lambda view: not view["present"])
        status, said = await ucmctl(station.socket, "forget", HARDWARE_ID, "--wipe", "--yes")
        assert (status, said.partition(":")[0], len(running.views())) == (5, "DEVICE_GONE", 1)


async def test_a_script_must_say_yes_and_force_goes_with_a_wipe(station: Station) -> None:
    async with station.daemon() as running, station.module():
        await running.until(at_rest)
        for options, words in (([], "give --yes"), (["--force", "--yes"], "--force goes with --wipe")):
            status, said = await ucmctl(station.socket, "forget", HARDWARE_ID, *options)
            assert (status, words in said, len(running.views())) == (2, True, 1)


async def test_all_that_the_manifest_lists_are_approved_and_no_stranger(station: Station) -> None:
    on_lan(station).policy = 'lan = "ask"'
    identities = [*listed(station, 2), new_identity()]
    async with powered(identities) as (*ours, stranger), station.daemon() as running:
        await all_are(running, [*ours, stranger], holding("approval_needed"))
        status, said = await ucmctl(station.socket, "approve", "--all")
        assert (status, [identity.hardware_id in said for identity in identities]) == (0, [True, True, False])
        await all_are(running, ours, verified)
        await running.until(of(stranger, holding("approval_needed")))
        assert stranger.posts == 0
        status, said = await ucmctl(station.socket, "retry", "--all")
        assert (status, said) == (0, "No module waits for that.\n")


async def test_all_that_wait_are_tried_again(station: Station) -> None:
    station.pops = {}
    async with station.daemon(clock=FastClock(1.0)) as running, station.module():
        await running.held("pop_missing", "operator")
        status, said = await ucmctl(station.socket, "retry", "--all", "--json")
        assert (status, len(json.loads(said)["modules"])) == (0, 1)
        await running.held("pop_missing", "operator")
        _, said = await ucmctl(station.socket, "show", json.loads(said)["modules"][0]["session"])
        assert "Goes on: " in said
        assert SSID not in said
