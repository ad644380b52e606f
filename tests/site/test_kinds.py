"""What the provisioning calls make of each kind of device, and what they refuse."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.site.harness import Plant, new_hardware_id, plant_in

OWN = "C8795CBA5375484E829105E959663C8B"
UCM = {"hardware_id": OWN, "name": "Relay", "protocol": "MQTT"}
LOCAL = {"hardware_id": OWN, "name": "Relay"}
EMBEDDED = UCM | {"device_type": "DRYER"}
GATEWAY = {
    "hardware_id": OWN,
    "site_id": "the-gateways-own",
    "gateway_version": "3.0.0",
    "site_name": "Plant",
    "site_timezone": "UTC",
}
BY_HARDWARE = {"ucm": UCM, "embedded": EMBEDDED, "vucm": LOCAL, "link_master": LOCAL}
TYPES = {
    "ucm": ("HARDWARE_UCM", "MQTT_V1_PLAINTEXT"),
    "embedded": ("EMBEDDED_UCM", "MQTT_V1_PLAINTEXT"),
    "vucm": ("VIRTUAL_UCM", "MQTT_V1_LOCALHOST"),
    "link_master": ("LINK_MASTER_UCM", "LINK"),
    "link_slave": ("LINK_SLAVE_UCM", "LINK"),
    "standalone": ("STANDALONE", "MQTT_V1_TLS"),
    "lua_device": ("LUA", "UCM_LUA"),
}


async def add(plant: Plant, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = await plant.call("POST", f"/v3/provisioning/{kind}", json=body)
    assert status == 200, answer
    return dict(answer)


async def refused(plant: Plant, kind: str, body: dict[str, Any]) -> tuple[int, str | None]:
    status, answer = await plant.call("POST", f"/v3/provisioning/{kind}", json=body)
    (error,) = answer["errors"]
    return status, error.get("details", {}).get("path")


async def another_site(plant: Plant) -> str:
    status, made = await plant.call("POST", "/v3/sites", json={"name": "Elsewhere", "timezone": "UTC"})
    assert status == 200
    return str(made["site"]["id"])


async def own_site(plant: Plant) -> str:
    return str((await plant.call("GET", "/v3/site"))[1]["site"]["id"])


async def one_of(plant: Plant, kind: str) -> dict[str, Any]:
    """A device of a kind, with what it needs."""
    if kind == "link_slave":
        master = await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()})
        return await add(plant, kind, LOCAL | {"master_device_id": master["device_id"]})
    if kind == "lua_device":
        runtime = await add(plant, "ucm", UCM)
        return await add(plant, kind, {"runtime_id": runtime["device_id"], "blueprint_id": "b", "name": "Script"})
    return await add(plant, kind, BY_HARDWARE.get(kind, {"name": "Relay"}))


@pytest.mark.parametrize("kind", TYPES)
async def test_type_and_communication(plant: Plant, kind: str) -> None:
    made = await one_of(plant, kind)
    device = await plant.device(made["device_id"], "communication")
    assert (device["type"], device["communication"]["type"]) == TYPES[kind]


@pytest.mark.parametrize("kind", BY_HARDWARE)
async def test_again_is_the_same_device(plant: Plant, kind: str) -> None:
    body = BY_HARDWARE[kind]
    first = await add(plant, kind, body)
    before = await plant.device(first["device_id"])
    again = await add(plant, kind, body | {"name": "Another name", "hardware_id": OWN.lower()})
    after = await plant.device(first["device_id"])
    assert again["device_id"] == first["device_id"]
    assert after["name"] == "Relay"
    assert after["updated_at"] > before["updated_at"]
    assert len(await plant.site.devices()) == 1


@pytest.mark.parametrize("kind", BY_HARDWARE)
async def test_sixty_four_at_once_make_one_device(plant: Plant, kind: str) -> None:
    answers = await asyncio.gather(*(add(plant, kind, BY_HARDWARE[kind]) for _ in range(64)))
    assert len({answer["device_id"] for answer in answers}) == 1
    assert len(await plant.site.devices()) == 1


async def test_sixty_four_at_once_behind_a_master_make_one_slave(plant: Plant) -> None:
    master = await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()})
    body = LOCAL | {"master_device_id": master["device_id"]}
    answers = await asyncio.gather(*(add(plant, "link_slave", body) for _ in range(64)))
    assert len({answer["device_id"] for answer in answers}) == 1
    assert len(await plant.site.devices()) == 2


async def test_sixty_four_at_once_make_one_gateway(tmp_path: Path) -> None:
    async with plant_in(tmp_path, role="cloud") as plant:
        answers = await asyncio.gather(*(add(plant, "gateway", GATEWAY) for _ in range(64)))
        assert len({answer["gateway_device_id"] for answer in answers}) == 1
        assert len(await plant.site.devices()) == 1


@pytest.mark.parametrize("kind", BY_HARDWARE)
async def test_on_another_site_is_a_conflict(plant: Plant, kind: str) -> None:
    here = await own_site(plant)
    await add(plant, kind, BY_HARDWARE[kind])
    there = await another_site(plant)
    assert await refused(plant, kind, BY_HARDWARE[kind] | {"site_id": there}) == (409, "$.hardware_id")
    await add(plant, kind, BY_HARDWARE[kind] | {"site_id": here})


@pytest.mark.parametrize("first", BY_HARDWARE)
@pytest.mark.parametrize("second", BY_HARDWARE)
async def test_as_another_kind_is_a_conflict(plant: Plant, first: str, second: str) -> None:
    if first == second:
        return
    await add(plant, first, BY_HARDWARE[first])
    assert await refused(plant, second, BY_HARDWARE[second]) == (409, "$.hardware_id")
    assert len(await plant.site.devices()) == 1


async def test_another_embedded_device_is_another_kind(plant: Plant) -> None:
    await add(plant, "embedded", EMBEDDED)
    assert await refused(plant, "embedded", EMBEDDED | {"device_type": "WATER_TANK"}) == (409, "$.hardware_id")


@pytest.mark.parametrize("kind", ["vucm", "link_master", "link_slave"])
async def test_the_cloud_has_no_gateways_devices(tmp_path: Path, kind: str) -> None:
    async with plant_in(tmp_path, role="cloud") as plant:
        assert await refused(plant, kind, LOCAL | {"master_device_id": "any"}) == (422, None)
        assert await plant.site.devices() == []


async def test_a_gateway_has_no_gateways(plant: Plant) -> None:
    assert await refused(plant, "gateway", GATEWAY) == (422, None)
    assert (await plant.call("GET", "/v3/sites"))[1]["total_count"] == 1


async def test_gateway_again_keeps_its_site_as_it_is(tmp_path: Path) -> None:
    async with plant_in(tmp_path, role="cloud") as plant:
        first = await add(plant, "gateway", GATEWAY)
        again = await add(plant, "gateway", GATEWAY | {"site_name": "Another name"})
        assert again["gateway_device_id"] == first["gateway_device_id"]
        assert again["config"]["mqtt_credentials"] != first["config"]["mqtt_credentials"]
        device = await plant.device(first["gateway_device_id"], "site")
        assert device["site"]["name"] == "Plant"


@pytest.mark.parametrize("key", ["master_device_id", "device_id"])
async def test_link_slave_has_a_master_of_its_site(plant: Plant, key: str) -> None:
    here = await own_site(plant)
    master = await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()})
    made = await add(plant, "link_slave", LOCAL | {key: master["device_id"]})
    device = await plant.device(made["device_id"], "communication")
    assert device["communication"]["upstream_id"] == master["device_id"]
    ucm = await add(plant, "ucm", UCM | {"hardware_id": new_hardware_id()})
    there = await another_site(plant)
    slave = LOCAL | {"hardware_id": new_hardware_id(), "site_id": here}
    for wrong in (ucm["device_id"], made["device_id"], "nobody"):
        assert await refused(plant, "link_slave", slave | {key: wrong}) == (422, "$.master_device_id")
    elsewhere = slave | {"site_id": there, key: master["device_id"]}
    assert await refused(plant, "link_slave", elsewhere) == (422, "$.master_device_id")
    assert await refused(plant, "link_slave", slave) == (400, "$.master_device_id")


async def test_link_slave_moves_to_another_master(plant: Plant) -> None:
    one, other = [await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()}) for _ in range(2)]
    made = await add(plant, "link_slave", LOCAL | {"master_device_id": one["device_id"]})
    moved = await add(plant, "link_slave", LOCAL | {"master_device_id": other["device_id"]})
    assert moved == made
    device = await plant.device(made["device_id"], "communication")
    assert device["communication"]["upstream_id"] == other["device_id"]


@pytest.mark.parametrize("slug", [None, ""])
async def test_slug_is_made_from_the_name(plant: Plant, slug: str | None) -> None:
    bodies = [{"name": "Gas Sensor", "slug": slug, "site_id": None} for _ in range(3)]
    made = [(await add(plant, "standalone", body))["slug"] for body in bodies]
    assert made == ["gas-sensor", "gas-sensor-2", "gas-sensor-3"]


@pytest.mark.parametrize("kind", ["standalone", "lua_device"])
async def test_slug_that_is_taken_is_a_conflict(plant: Plant, kind: str) -> None:
    runtime = await add(plant, "ucm", UCM)
    body = {"name": "n", "runtime_id": runtime["device_id"], "blueprint_id": "b", "slug": "mine"}
    assert (await add(plant, kind, body))["slug"] == "mine"
    taken = "standalone" if kind == "lua_device" else "lua_device"
    assert await refused(plant, taken, body) == (409, "$.slug")
    assert await refused(plant, "standalone", body) == (409, "$.slug")


async def test_slugs_are_each_sites_own(plant: Plant) -> None:
    here, there = await own_site(plant), await another_site(plant)
    for site in (here, there):
        assert (await add(plant, "standalone", {"name": "n", "slug": "mine", "site_id": site}))["slug"] == "mine"
    found = [await plant.call("GET", f"/v3/sites/{site}/devices/mine") for site in (here, there)]
    assert [answer["device"]["site_id"] for _, answer in found] == [here, there]


@pytest.mark.parametrize("slug", ["Mine", "a b", "-a", "a--b", "a/b", "a\n", "x" * 64])
async def test_slug_that_is_none(plant: Plant, slug: str) -> None:
    assert await refused(plant, "standalone", {"name": "n", "slug": slug}) == (400, "$.slug")


async def test_twenty_standalone_devices_at_once_for_one_slug_make_one(plant: Plant) -> None:
    body = {"name": "n", "slug": "mine"}
    answers = await asyncio.gather(*(plant.call("POST", "/v3/provisioning/standalone", json=body) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 19


async def test_lua_device_is_on_the_site_of_its_runtime_and_not_reprovisioned(plant: Plant) -> None:
    there = await another_site(plant)
    runtime = await add(plant, "ucm", UCM | {"site_id": there})
    body = {"runtime_id": runtime["device_id"], "blueprint_id": "not-a-uuid", "name": "Gas", "slug": "gas"}
    made = await add(plant, "lua_device", body)
    device = await plant.device(made["device_id"], "communication")
    assert (device["site_id"], device["blueprint_id"]) == (there, "not-a-uuid")
    assert device["communication"]["upstream_id"] == runtime["device_id"]
    status, answer = await plant.call("POST", "/v3/provisioning/lua_device", json=body)
    assert status == 422
    assert "cannot be reprovisioned" in answer["errors"][0]["message"]
    for wrong in ("nobody", made["device_id"]):
        assert await refused(plant, "lua_device", body | {"runtime_id": wrong}) == (422, "$.runtime_id")


@pytest.mark.parametrize("kind", ["ucm", "embedded", "vucm", "link_master", "standalone"])
async def test_without_a_site_the_only_one_is_meant(plant: Plant, kind: str) -> None:
    body = BY_HARDWARE.get(kind, {"name": "n"})
    made = await add(plant, kind, body)
    assert (await plant.device(made["device_id"]))["site_id"] == await own_site(plant)
    await another_site(plant)
    assert await refused(plant, kind, body) == (422, "$.site_id")
    assert await refused(plant, kind, body | {"site_id": "nowhere"}) == (422, "$.site_id")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"site_timezone": "Mars/Olympus"}, "$.site_timezone"),
        ({"site_name": " "}, "$.site_name"),
        ({"site_id": "a\x1b[2J"}, "$.site_id"),
        ({"site_location": {"latitude": 91, "longitude": 0}}, "$.site_location.latitude"),
        ({"site_location": {"latitude": 0, "longitude": "east"}}, "$.site_location.longitude"),
        ({"site_location": {"latitude": "nan", "longitude": 0}}, "$.site_location.latitude"),
        ({"gateway_version": None}, "$.gateway_version"),
    ],
)
async def test_gateway_with_a_site_that_cannot_be(tmp_path: Path, change: dict[str, Any], path: str) -> None:
    async with plant_in(tmp_path, role="cloud") as plant:
        assert await refused(plant, "gateway", GATEWAY | change) == (400, path)
