"""Devices and sites over HTTP: changed, configured, deleted, and listed by the hundred thousand."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.site.harness import Plant, closed, connect_packet, next_message
from tests.site.test_broker import ACCEPTED, answer_to, raw
from tests.site.test_kinds import LOCAL, OWN, UCM, add, another_site, one_of, own_site

MANY = 100_000


async def refused(plant: Plant, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str | None]:
    status, answer = await plant.call(method, f"/v3{path}", json=body)
    return status, answer["errors"][0].get("details", {}).get("path")


async def test_device_gets_another_name_and_slug(plant: Plant) -> None:
    made = await add(plant, "ucm", UCM)
    before = await plant.device(made["device_id"])
    status, answer = await plant.call("PATCH", "/v3/devices/relay", json={"name": " Pump ", "slug": "pump", "x": 1})
    assert status == 200
    assert answer["device"] == before | {
        "name": "Pump",
        "slug": "pump",
        "updated_at": answer["device"]["updated_at"],
    }
    assert answer["device"]["updated_at"] > before["updated_at"]
    for nothing in ({}, {"name": None, "slug": None}, {"slug": ""}, {"slug": "pump"}):
        status, answer = await plant.call("PATCH", f"/v3/devices/{made['device_id']}?expand=", json=nothing)
        assert (status, answer["device"]["name"], answer["device"]["slug"]) == (200, "Pump", "pump")


async def test_changes_that_cannot_be(plant: Plant) -> None:
    await add(plant, "ucm", UCM)
    await add(plant, "standalone", {"name": "n", "slug": "taken"})
    assert await refused(plant, "PATCH", "/devices/relay", {"slug": "taken"}) == (409, "$.slug")
    assert await refused(plant, "PATCH", "/devices/relay", {"slug": "A B"}) == (400, "$.slug")
    assert await refused(plant, "PATCH", "/devices/relay", {"name": "\x1b"}) == (400, "$.name")
    assert await refused(plant, "PATCH", "/devices/nobody", {"name": "n"}) == (404, None)
    assert (await plant.device("relay"))["name"] == "Relay"


async def test_blueprint_is_any_text(plant: Plant) -> None:
    made = await add(plant, "ucm", UCM)
    status, answer = await plant.call("POST", "/v3/devices/relay/assign_blueprint", json={"blueprint_id": "any"})
    assert (status, answer["device"]["blueprint_id"], answer["device"]["id"]) == (200, "any", made["device_id"])
    assert await refused(plant, "POST", "/devices/relay/assign_blueprint", {"blueprint_id": "\n"}) == (
        400,
        "$.blueprint_id",
    )


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
@pytest.mark.parametrize("kind", ["ucm", "embedded", "vucm", "standalone"])
async def test_generated_configuration_connects_and_ends_nothing(plant: Plant, kind: str, protocol: str) -> None:
    made = await one_of(plant, kind)
    path = f"/v3/devices/{made['device_id']}/generate_config"
    status, answer = await plant.call("POST", path, json={"protocol": protocol})
    assert status == 200
    config = answer["config"]
    device = await plant.device(made["device_id"], "communication")
    assert device["communication"]["hardware_id"] == config["hardware_id"]
    assert device["communication"]["type"] == {"MQTT": "MQTT_V1_PLAINTEXT", "MQTTS": "MQTT_V1_TLS"}[protocol]
    topic = f"v1/from/{config['hardware_id']}/{config['channel_id']}/v1/telemetry"
    async with plant.client(plant.witness_config()) as witness, plant.client(config) as module:
        await witness.subscribe(topic)
        await module.publish(topic, b"{}", qos=1)
        assert await next_message(witness) == (topic, b"{}")
    for earlier in [made["config"]] if "config" in made else []:
        async with plant.client(earlier):
            pass


@pytest.mark.parametrize("kind", ["lua_device", "link_master", "link_slave"])
async def test_device_without_a_connection_of_its_own_has_no_configuration(plant: Plant, kind: str) -> None:
    made = await one_of(plant, kind)
    path = f"/devices/{made['device_id']}/generate_config"
    assert await refused(plant, "POST", path, {"protocol": "MQTT"}) == (422, None)
    assert await refused(plant, "POST", path, {"protocol": "HTTP"}) == (400, "$.protocol")


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_deleted_device_is_gone_and_its_credentials_with_it(plant: Plant, protocol: str) -> None:
    config = (await plant.provision(OWN, protocol))["config"]
    async with plant.client(config) as module:
        await module.publish(f"v1/from/{OWN}/ucm/v1/register", b'{"a":1}', qos=1)
        status, answer = await plant.call("DELETE", "/v3/devices/my-ucm", data=b"whatever")
        assert (status, answer) == (200, {})
        with pytest.raises(aiomqtt.MqttError):
            await next_message(module)
    with pytest.raises(aiomqtt.MqttError):
        async with plant.client(config):
            pass
    assert await refused(plant, "GET", "/devices/my-ucm") == (404, None)
    assert await refused(plant, "DELETE", "/devices/my-ucm") == (404, None)
    again = await plant.provision(OWN, protocol)
    device = await plant.device(again["device_id"], "connectivity,properties")
    assert (device["connectivity"]["status"], device["properties"]) == ("UNKNOWN", {})
    assert [credential.number for credential in await plant.site.credentials(OWN)] == [1, 2]
    async with plant.client(again["config"]):
        pass


async def test_certificate_of_a_deleted_device_is_on_the_revocation_list(plant: Plant) -> None:
    await plant.provision(OWN, "MQTTS")
    (issued,) = await plant.site.credentials(OWN)
    await plant.call("DELETE", "/v3/devices/my-ucm")
    ended = await plant.site._registry.ended_certificates(plant.site._settings.now())
    assert [certificate.serial for certificate in ended] == [issued.serial]


@pytest.mark.parametrize("kind", ["lua_device", "link_slave"])
async def test_upstream_device_is_deleted_last(plant: Plant, kind: str) -> None:
    running = await one_of(plant, kind)
    upstream = (await plant.device(running["device_id"], "communication"))["communication"]["upstream_id"]
    assert await refused(plant, "DELETE", f"/devices/{upstream}") == (422, None)
    for device_id in (running["device_id"], upstream):
        assert (await plant.call("DELETE", f"/v3/devices/{device_id}"))[0] == 200
    assert await plant.site.devices() == []


async def test_deleted_while_it_is_configured(plant: Plant) -> None:
    """Whichever is first: no credential is accepted of a device that is gone."""
    for _ in range(5):
        user = (await plant.provision(OWN, "MQTT"))["config"]["mqtt_credentials"]
        deletion = plant.call("DELETE", "/v3/devices/my-ucm")
        renewal = plant.call("POST", "/v3/devices/my-ucm/generate_config", json={"protocol": "MQTT"})
        (deleted, _), (renewed, answer) = await asyncio.gather(deletion, renewal)
        assert deleted == 200
        assert renewed in {200, 404}
        users = [user, answer["config"]["mqtt_credentials"]] if renewed == 200 else [user]
        for one in users:
            packet = connect_packet("", one["username"], one["password"])
            assert await answer_to(plant, packet) != ACCEPTED


async def test_session_of_a_deleted_device_ends_at_once(plant: Plant) -> None:
    user = (await plant.provision(OWN, "MQTT"))["config"]["mqtt_credentials"]
    async with raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(connect_packet("", user["username"], user["password"]))
        assert await reader.readexactly(4) == ACCEPTED
        await plant.call("DELETE", "/v3/devices/my-ucm")
        assert await closed(reader) == b""


async def test_site_from_creation_to_deletion(plant: Plant) -> None:
    location = {"name": "Hall", "latitude": "52.5", "longitude": 13}
    status, made = await plant.call(
        "POST", "/v3/sites", json={"name": " Plant 2 ", "timezone": "Europe/Berlin", "location": location}
    )
    site = made["site"]
    assert (status, site["name"], site["location"]) == (
        200,
        "Plant 2",
        {"name": "Hall", "latitude": 52.5, "longitude": 13.0},
    )
    path = f"/sites/{site['id']}"
    assert (await plant.call("GET", f"/v3{path}"))[1] == made
    assert (await plant.call("PATCH", f"/v3{path}", json={"name": None}))[1] == made
    nowhere = {"name": None, "latitude": None, "longitude": None}
    _, changed = await plant.call(
        "PATCH", f"/v3{path}", json={"name": "Plant 3", "timezone": "UTC", "location": nowhere}
    )
    assert changed["site"] == site | {
        "name": "Plant 3",
        "timezone": "UTC",
        "location": {"name": "", "latitude": None, "longitude": None},
    }
    assert [one["name"] for one in (await plant.call("GET", "/v3/sites"))[1]["sites"]] == ["Demo plant", "Plant 3"]
    assert (await plant.call("GET", "/v3/sites?name=Plant%203"))[1]["total_count"] == 1
    assert (await plant.call("DELETE", f"/v3{path}")) == (200, {})
    assert await refused(plant, "GET", path) == (404, None)
    assert await refused(plant, "DELETE", path) == (404, None)


async def test_own_site_changes_under_its_shortcut(plant: Plant) -> None:
    assert (await plant.call("PATCH", "/api/v3/site", json={"name": "Plant"}))[1]["site"]["name"] == "Plant"
    assert (await plant.call("GET", "/v3/site"))[1]["site"]["name"] == "Plant"


async def test_site_that_cannot_be(plant: Plant) -> None:
    good = {"name": "n", "timezone": "UTC"}
    assert await refused(plant, "POST", "/sites", good | {"timezone": "Mars/Olympus"}) == (400, "$.timezone")
    assert await refused(plant, "POST", "/sites", good | {"name": ""}) == (400, "$.name")
    latitude = {"name": "x", "latitude": 90.1}
    assert await refused(plant, "POST", "/sites", good | {"location": latitude}) == (400, "$.location.latitude")
    assert await refused(plant, "PATCH", "/site", {"timezone": "x/../../y"}) == (400, "$.timezone")


async def test_site_with_devices_and_the_last_one_stay(plant: Plant) -> None:
    here, there = await own_site(plant), await another_site(plant)
    await add(plant, "vucm", LOCAL | {"site_id": there})
    assert await refused(plant, "DELETE", f"/sites/{there}") == (422, None)
    assert (await plant.call("DELETE", f"/v3/sites/{here}"))[0] == 200
    assert (await plant.call("GET", "/v3/site"))[1]["site"]["id"] == there
    await plant.call("DELETE", f"/v3/devices/{(await plant.site.devices())[0]['id']}")
    assert await refused(plant, "DELETE", f"/sites/{there}") == (422, None)


def fill(folder: Path, site_id: str) -> None:
    db = sqlite3.connect(folder / "state" / "registry.sqlite")
    moment = "2026-01-01T00:00:00.000000Z"
    rows = ((f"id-{n}", site_id, f"{n:032X}", f"Module {n}", f"module-{n}") for n in range(MANY))
    with db:
        db.executemany(
            "INSERT INTO device (id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at,"
            f" updated_at) VALUES (?, ?, 'HARDWARE_UCM', ?, 'ucm', ?, ?, 'MQTT', '{moment}', '{moment}')",
            rows,
        )
    db.close()


async def test_a_hundred_thousand_devices(plant: Plant) -> None:
    site_id = await own_site(plant)
    await asyncio.to_thread(fill, plant.folder, site_id)
    for path in ("/v3/devices", f"/v3/sites/{site_id}/devices"):
        seconds = []
        for offset, expected in ((0, 50), (MANY // 2, 50), (MANY - 7, 7), (MANY, 0), (10**12, 0)):
            begun = time.perf_counter()
            _, page = await plant.call("GET", path, params={"offset": offset, "expand": "connectivity"})
            seconds.append(time.perf_counter() - begun)
            assert page["total_count"] == MANY
            assert [device["id"] for device in page["devices"]] == [f"id-{offset + n}" for n in range(expected)]
        assert max(seconds) < 0.25, seconds
    begun = time.perf_counter()
    assert (await plant.device("module-99999"))["id"] == "id-99999"
    assert time.perf_counter() - begun < 0.1
