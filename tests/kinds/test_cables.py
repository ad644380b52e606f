"""Modules of every kind on real terminals, and what the manifest wishes of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.station import HARDWARE_ID, POP, FastClock, Station, ucmctl, verified
from tests.kinds.asking import ended
from tests.kinds.platform import Platform
from ucm_sim import Attached, SerialModule

FIRST_SLAVE = Attached("435840FFE5CD4E9DA93545DDF7E6D5FB", "ENP-AO6")
SECOND_SLAVE = Attached("535840FFE5CD4E9DA93545DDF7E6D5FB", "ENP-AI6")


def link_master(station: Station, *slaves: Attached) -> SerialModule:
    return station.module(product="LINK_MASTER", model="ENP-LINK", attached=slaves)


def write_manifest(station: Station, *lines: str) -> Path:
    path = station.folder / "site.csv"
    path.write_text("\n".join(["hardware_id,kind,name,slug,pop,master,blueprint", *lines, ""]))
    return path


async def import_manifest(station: Station, *lines: str) -> tuple[int, str]:
    return await ucmctl(station.socket, "manifest", "import", str(write_manifest(station, *lines)))


def untouched(module: SerialModule) -> bool:
    return (module.executed("begin"), module.active_generation) == (0, 0)


@pytest.mark.parametrize("product", ["ELECTROLYSER", "DRYER", "WATER_TANK"])
async def test_an_embedded_device_goes_all_the_way(station: Station, plant: Platform, product: str) -> None:
    async with station.daemon() as running, station.module(product=product, model="EL4.1") as module:
        view = await running.until(verified)
    (body,) = plant.calls("embedded")
    assert (body["device_type"], body["hardware_id"], body["name"]) == (product, HARDWARE_ID, "EL4.1 663C8B")
    assert (view["product"], view["generation"], module.active_generation) == (product, 1, 1)
    assert (view["evidence"] or {})["reported_phase"] == "ONLINE"


async def test_a_link_master_is_added_with_its_slaves_and_left_as_it_is(station: Station, plant: Platform) -> None:
    async with station.daemon() as running, link_master(station, FIRST_SLAVE, SECOND_SLAVE) as module:
        view = await running.until(verified)
        assert untouched(module)
        _, said = await ucmctl(station.socket, "show", HARDWARE_ID)
        _, listed = await ucmctl(station.socket, "list")
    evidence = view["evidence"]
    assert evidence is not None
    assert (evidence["generation"], evidence["seen_by"]) == (0, "api")
    assert (view["protocol"], len(plant.calls("link_master"))) == (None, 1)
    slaves = {slave.hardware_id: plant.of_hardware(slave.hardware_id) for slave in (FIRST_SLAVE, SECOND_SLAVE)}
    assert [(each["hardware_id"], each["device_id"]) for each in view["attached"]] == [
        (hardware_id, device["id"]) for hardware_id, device in slaves.items() if device
    ]
    assert {body["master_device_id"] for body in plant.calls("link_slave")} == {view["device_id"]}
    assert "evidence     api has the device's record and those of 2 LINK slaves" in said
    assert all(hardware_id in said for hardware_id in slaves)
    assert "verified" in listed


@pytest.mark.parametrize("call", ["link_master", "link_slave", "look-up"])
async def test_lost_answers_add_nothing_twice(station: Station, plant: Platform, call: str) -> None:
    plant.lost[call] = 1
    async with station.daemon(clock=FastClock(50.0)) as running, link_master(station, FIRST_SLAVE):
        await running.until(verified)
    assert len(plant.devices) == 2


async def test_a_daemon_that_is_stopped_between_master_and_slave_goes_on(station: Station, plant: Platform) -> None:
    plant.slow["link_slave"], plant.arrived["link_slave"] = asyncio.Event(), asyncio.Event()
    async with link_master(station, FIRST_SLAVE, SECOND_SLAVE):
        async with station.daemon_process() as daemon:
            await plant.arrived["link_slave"].wait()
            await daemon.kill()
        plant.slow.pop("link_slave").set()
        async with station.daemon() as running:
            view = await running.until(verified)
    assert len(plant.devices) == 3
    assert all(slave["device_id"] for slave in view["attached"])
    assert len(plant.calls("link_master")) == 1


async def test_an_api_without_link_says_so_itself(station: Station, plant: Platform) -> None:
    plant.refused["link_master"] = (422, "unprocessable_entity", "LINK needs a Gateway 3.")
    async with station.daemon() as running, link_master(station) as module:
        view = await running.held("api_rejected", "operator")
        assert "LINK needs a Gateway 3." in (view["hold"] or {}).get("message", "")
        plant.refused.clear()
        assert (await ucmctl(station.socket, "retry", view["session"]))[0] == 0
        await running.until(verified)
        assert untouched(module)


async def test_a_device_that_the_api_does_not_show_is_not_verified(station: Station, plant: Platform) -> None:
    plant.refused["look-up"] = (404, "not_found", "no such device")
    async with station.daemon(clock=FastClock(50.0)) as running, link_master(station):
        await running.held("not_recorded", "operator")
        assert len(plant.calls("link_master")) == 3  # added again each time, which is one device
        assert len(plant.devices) == 1


# ---- what the manifest wishes --------------------------------------------------------------------


@pytest.mark.parametrize("master", [False, True], ids=["ucm", "link master"])
async def test_a_wished_slug_is_set_after_provisioning(station: Station, plant: Platform, master: bool) -> None:
    async with station.daemon() as running:
        slave = f"{FIRST_SLAVE.hardware_id},link_slave,Outputs,outputs,,{HARDWARE_ID}," if master else ""
        assert (await import_manifest(station, f"{HARDWARE_ID},,Boiler,boiler-1,{POP},,", slave))[0] == 0
        async with link_master(station, FIRST_SLAVE) if master else station.module():
            view = await running.until(verified)
    assert (view["name"], view["slug"], view["warnings"]) == ("Boiler", "boiler-1", [])
    assert plant.calls("rename")[0] == {"name": "Boiler", "slug": "boiler-1"}
    assert (plant.named("boiler-1") or {})["id"] == view["device_id"]
    if master:
        assert (plant.named("outputs") or {})["communication"]["hardware_id"] == FIRST_SLAVE.hardware_id


@pytest.mark.parametrize("status", [403, 409, 422])
async def test_a_slug_that_is_refused_is_a_warning(station: Station, plant: Platform, status: int) -> None:
    plant.refused["rename"] = (status, "forbidden", "Not yours to name.")
    async with station.daemon() as running:
        await import_manifest(station, f"{HARDWARE_ID},,Boiler,boiler-1,{POP},,")
        async with station.module():
            view = await running.until(verified)
    assert any("Not yours to name." in warning for warning in view["warnings"])
    assert view["slug"] != "boiler-1"


async def test_a_module_that_is_not_what_the_manifest_says(station: Station, plant: Platform) -> None:
    async with station.daemon() as running:
        await import_manifest(station, f"{HARDWARE_ID},dryer,,,{POP},,")
        async with station.module() as module:
            view = await running.held("kind_mismatch", "operator")
            assert "a dryer is expected, it is a ucm" in (view["hold"] or {}).get("message", "")
            assert (untouched(module), plant.calls("ucm")) == (True, [])
            await import_manifest(station, f"{HARDWARE_ID},ucm,,,{POP},,")
            await running.until(verified)


async def test_a_slave_behind_the_wrong_master(station: Station, plant: Platform) -> None:
    async with station.daemon() as running:
        other = "B" + HARDWARE_ID
        slave = f"{FIRST_SLAVE.hardware_id},link_slave,,,,{other},"
        await import_manifest(station, f"{HARDWARE_ID},,,,{POP},,", slave)
        async with link_master(station, FIRST_SLAVE):
            await running.held("kind_mismatch", "operator")
    assert plant.calls("link_slave") == []


async def test_the_blueprint_s_lua_device_is_added_once_the_module_is_verified(
    station: Station, plant: Platform
) -> None:
    plant.lost["lua_device"] = 1
    line = f"{HARDWARE_ID},ucm,Boiler,,{POP},,blueprint-1"
    async with station.module():
        async with station.daemon(clock=FastClock(50.0)) as running:
            await import_manifest(station, line)
            view = await running.until(verified)
            assert (await ended(station))["by"] == f"the manifest, for {HARDWARE_ID}"
        async with station.daemon() as running:
            await running.until(verified)
            await import_manifest(station, line)
    (device,) = [device for device in plant.devices.values() if device["type"] == "lua_device"]
    assert (device["asked"]["runtime_id"], device["asked"]["blueprint_id"]) == (view["device_id"], "blueprint-1")
    assert device["name"] == "Boiler"
    assert len(plant.calls("lua_device")) == 1


async def test_the_manifest_takes_effect_at_once_and_survives_a_restart(station: Station, plant: Platform) -> None:
    station.pops = {}
    async with station.module():
        async with station.daemon() as running:
            view = await running.held("pop_missing", "operator")
            assert view["announced_id"] == HARDWARE_ID
            assert (await import_manifest(station, f"{HARDWARE_ID},,Boiler,,,,"))[0] == 0
            assert running.daemon.record.session(view["session"]).hold is not None
            status, said = await import_manifest(station, f"{HARDWARE_ID},,Boiler,,{POP},,")
            assert (status, said) == (0, "1 modules are expected now.\n")
            assert (await running.until(verified))["name"] == "Boiler"
        async with station.daemon() as running:
            assert running.daemon._plan.expected[HARDWARE_ID].name == "Boiler"
    kept = list((station.folder / "state").iterdir())
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert POP.encode() not in b"".join(path.read_bytes() for path in kept)


async def test_a_manifest_with_mistakes_changes_nothing(station: Station) -> None:
    async with station.daemon() as running:
        assert (await import_manifest(station, f"{HARDWARE_ID},,Boiler,,{POP},,"))[0] == 0
        mistakes = (f"{HARDWARE_ID},toaster,Pump,,secret-1,,", "short,,,,secret-2,,")
        for command in ("check", "import"):
            path = write_manifest(station, *mistakes)
            status, said = await ucmctl(station.socket, "manifest", command, str(path))
            assert status == 1
            assert [line.partition(": ")[0] for line in said.splitlines()] == [
                f"{path}, line 2, kind",
                f"{path}, line 3, hardware_id",
                "MANIFEST_REFUSED",
            ]
            assert "secret" not in said
        assert [module.name for module in running.daemon._plan.expected.values()] == ["Boiler"]
        status, said = await ucmctl(station.socket, "manifest", "check", str(write_manifest(station)))
        assert (status, said) == (0, "0 modules.\n")
        assert len(running.daemon._plan.expected) == 1


async def test_an_export_is_an_import(station: Station) -> None:
    line = f"{HARDWARE_ID},link_slave,Outputs,outputs,{POP},B{HARDWARE_ID},"
    exported = station.folder / "exported.csv"
    async with station.daemon() as running:
        await import_manifest(station, line)
        before = dict(running.daemon._plan.expected)
        assert (await ucmctl(station.socket, "manifest", "export", str(exported))) == (0, "")
        assert exported.stat().st_mode & 0o777 == 0o600
        assert (await import_manifest(station))[0] == 0
        assert running.daemon._plan.expected[HARDWARE_ID].name == ""  # the configured file's line again
        assert (await ucmctl(station.socket, "manifest", "import", str(exported)))[0] == 0
        assert dict(running.daemon._plan.expected) == before


async def test_a_template_lists_what_is_plugged_in(station: Station, plant: Platform) -> None:
    async with station.daemon() as running, link_master(station, FIRST_SLAVE):
        view = await running.until(verified)
        waiting = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
        async with station.module(1, hardware_id=waiting):
            await running.held("pop_missing", "operator")
            _, said = await ucmctl(station.socket, "manifest", "template")
            _, modules = await ucmctl(station.socket, "list", "--json")
    assert said.splitlines() == [
        "hardware_id,kind,name,slug,protocol,pop,master,blueprint",
        f"{HARDWARE_ID},link_master,ENP-LINK 663C8B,{view['slug']},,,,",
        f"{FIRST_SLAVE.hardware_id},link_slave,ENP-AO6 E6D5FB,,,,{HARDWARE_ID},",
        f"{waiting},,,,,,,",
    ]
    assert len(json.loads(modules)["modules"]) == 2
