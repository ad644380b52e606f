"""mosquitto away, restarted, or with less than it should have: the site goes on."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.mosquitto.clients import accepted, broker_clients, dynamic_security, files_of, refused, until
from tests.mosquitto.conftest import MosquittoPlant
from tests.mosquitto.harness import mosquitto_running
from tests.site.harness import new_hardware_id, plant_of
from ucm_site_api import SiteApi, SiteStartError
from ucm_site_api.mosquitto import control

pytestmark = pytest.mark.system


async def ask(plant: MosquittoPlant, hardware_id: str, protocol: str) -> tuple[int, Any]:
    body = {"hardware_id": hardware_id, "name": "Relay", "protocol": protocol}
    return await plant.call("POST", "/v3/provisioning/ucm", json=body)


def assert_unavailable(answer: tuple[int, Any]) -> None:
    status, body = answer
    assert status == 503
    assert body["errors"][0]["code"] == "service_unavailable"


async def until_connected(plant: MosquittoPlant) -> None:
    """A password can be issued again."""

    async def connected() -> bool:
        status, _ = await ask(plant, "F" * 32, "MQTT")
        return status == 200

    await until(connected)


async def test_call_without_mosquitto_changes_nothing_and_asking_again_finishes_it(plant: MosquittoPlant) -> None:
    own, new = new_hardware_id(), new_hardware_id()
    first = await plant.config(own, "MQTT")
    before = await plant.site.devices(), await plant.site.credentials(own)
    await plant.mosquitto.stop()
    for hardware_id in (own, new):
        assert_unavailable(await ask(plant, hardware_id, "MQTT"))
    assert (await plant.site.devices(), await plant.site.credentials(own)) == before
    assert (await ask(plant, own, "MQTTS"))[0] == 200, "a certificate needs no broker"

    assert await plant.mosquitto.start()
    await until_connected(plant)
    assert await accepted(plant, first)
    for hardware_id in (own, new):
        assert await accepted(plant, await plant.config(hardware_id, "MQTT"))


async def test_call_that_gets_no_answer_changes_nothing(plant: MosquittoPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    own = new_hardware_id()
    monkeypatch.setattr(control, "_ANSWER_SECONDS", 0.3)
    plant.mosquitto.send_signal(signal.SIGSTOP)
    try:
        assert_unavailable(await ask(plant, own, "MQTT"))
    finally:
        plant.mosquitto.send_signal(signal.SIGCONT)
    assert await plant.site.devices() == []
    monkeypatch.undo()
    # mosquitto has made the client meanwhile, with a password that nobody has.
    assert await accepted(plant, await plant.config(own, "MQTT"))
    assert len(await plant.site.credentials(own)) == 1


async def test_call_that_the_registry_refuses_leaves_no_client(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    body = {"hardware_id": own, "name": "x", "protocol": "MQTT", "site_id": "elsewhere"}
    assert (await plant.call("POST", "/v3/provisioning/ucm", json=body))[0] == 422
    assert f"{own}.1" not in await broker_clients(plant)


async def test_twenty_calls_at_once_for_one_module(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    configs = await asyncio.gather(*(plant.config(own, ("MQTT", "MQTTS")[n % 2]) for n in range(20)))
    assert [credential.number for credential in await plant.site.credentials(own)] == list(range(1, 21))
    assert all([await accepted(plant, config) for config in configs])


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
async def test_restart_of_mosquitto(plant: MosquittoPlant, by: signal.Signals) -> None:
    own = new_hardware_id()
    ended = await plant.config(new_hardware_id())
    configs = [await plant.config(own, protocol) for protocol in ("MQTT", "MQTTS")]
    await plant.mosquitto.stop(by)
    await plant.site.revoke(ended["hardware_id"], 1)  # with nobody there who could be told
    assert await plant.mosquitto.start()
    await until_connected(plant)
    assert not await accepted(plant, ended)
    for number, config in enumerate(configs):
        async with plant.client(config) as module:
            await publish_until_seen(plant, module, own, number)


async def publish_until_seen(plant: MosquittoPlant, module: aiomqtt.Client, own: str, number: int) -> None:
    async def seen() -> bool:
        await module.publish(f"v1/from/{own}/ucm/v1/properties", f'{{"n": {number}}}', qos=1)
        (view,) = [view for view in await plant.site.devices() if view["communication"]["hardware_id"] == own]
        return bool(view["properties"] == {"n": number})

    await until(seen)


async def test_restart_of_the_server(tmp_path: Path) -> None:
    own = new_hardware_id()
    async with mosquitto_running(tmp_path) as (settings, _):
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as plant:
            configs = [await plant.config(own, protocol) for protocol in ("MQTT", "MQTTS")]
            witness = plant.witness_config()
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as plant:
            await site.enforce_ends()
            assert plant.witness_config() == witness
            for config in configs:
                assert await accepted(plant, config)
            assert not needing(await site.devices())


def needing(devices: list[dict[str, Any]]) -> list[str]:
    views = [device["communication"] for device in devices]
    return [view["hardware_id"] for view in views if view["needs_reprovisioning"]]


async def test_lost_and_left_clients_are_noticed_at_the_start(tmp_path: Path) -> None:
    names = lost, kept, certified, stray = [new_hardware_id() for _ in range(4)]
    async with mosquitto_running(tmp_path) as (settings, process):
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as bearer:
            for hardware_id in names[:2]:
                await bearer.config(hardware_id, "MQTT")
            await bearer.config(certified, "MQTTS")
        plant = MosquittoPlant(bearer.site, bearer.http, tmp_path, process)
        await dynamic_security(
            plant,
            {"command": "deleteClient", "username": f"{lost}.1"},
            {"command": "createClient", "username": f"{stray}.1", "password": "x"},
            {"command": "createClient", "username": "operators-own", "password": "x"},
        )
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as bearer:
            await site.enforce_ends()
            assert needing(await site.devices()) == [lost]
            left = await broker_clients(plant)
            assert left >= {f"{kept}.1", "operators-own"}
            assert not left & {f"{stray}.1", f"{lost}.1"}
            config = await bearer.config(lost, "MQTT")
            assert needing(await site.devices()) == []
            assert await accepted(bearer, config)
            await site.enforce_ends()
            assert needing(await site.devices()) == []


async def test_client_that_comes_back_from_a_backup_is_needed_no_more(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    config = await plant.config(own, "MQTT")
    backup = files_of(plant).clients.read_bytes()
    await dynamic_security(plant, {"command": "deleteClient", "username": f"{own}.1"})
    await plant.site.enforce_ends()
    assert needing(await plant.site.devices()) == [own]
    await plant.mosquitto.stop()
    files_of(plant).clients.write_bytes(backup)
    assert await plant.mosquitto.start()
    await until_connected(plant)
    await plant.site.enforce_ends()
    assert needing(await plant.site.devices()) == []
    assert await accepted(plant, config)


async def test_server_starts_without_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mosquitto_running(tmp_path) as (settings, process):
        await process.stop()
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as bearer:
            plant = MosquittoPlant(bearer.site, bearer.http, tmp_path, process)
            assert_unavailable(await ask(plant, new_hardware_id(), "MQTT"))
            assert await process.start()
            await until_connected(plant)


async def test_server_without_a_bootstrap_says_what_to_do(tmp_path: Path) -> None:
    async with mosquitto_running(tmp_path) as (settings, process):
        process.files.control_password.unlink()
        with pytest.raises(SiteStartError, match="broker bootstrap"):
            async with SiteApi(settings):
                pass


async def test_process_that_took_over_the_number_is_left_alone(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    config = await plant.config(own)
    await plant.mosquitto.stop()
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        files_of(plant).process_id.write_text(f"{stranger.pid}\n")
        await plant.site.revoke(own, 1)
        assert stranger.returncode is None
    finally:
        stranger.terminate()
        await stranger.wait()
    assert stranger.returncode == -signal.SIGTERM
    assert await plant.mosquitto.start()
    await refused(plant, config)
