"""What a restart keeps, and what a start that cannot work says."""

import asyncio
import json
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.site.harness import new_hardware_id, next_message, plant_in, settings_in
from tests.site.test_command_line import serving
from ucm_site_api import ConfigurationError, SiteApi, SiteStartError


async def test_devices_tokens_and_credentials_survive(tmp_path: Path) -> None:
    own = new_hardware_id()
    async with plant_in(tmp_path) as plant:
        configs = [await plant.config(own, protocol) for protocol in ("MQTT", "MQTTS")]
        devices, witness = await plant.site.devices(), plant.witness_config()
        token = plant.site.token_file.read_text()
        fixed = {
            "listen": ("127.0.0.1", int(plant.site.url.rpartition(":")[2])),
            "mqtt_listen": ("127.0.0.1", plant.site.mqtt_port),
            "mqtts_listen": ("127.0.0.1", plant.site.mqtts_port),
        }
    async with plant_in(tmp_path, **fixed, site_name="Another name") as plant:
        assert plant.site.token_file.read_text() == token
        assert plant.witness_config() == witness
        assert await plant.site.devices() == devices
        assert (await plant.call("GET", "/v3/site"))[1]["site"]["name"] == "Demo plant"
        async with plant.client(witness) as listener:
            await listener.subscribe(f"v1/from/{own}/#")
            for config in configs:
                async with plant.client(config) as module:
                    await module.publish(f"v1/from/{own}/ucm/x", b"back", qos=1)
                assert (await next_message(listener))[1] == b"back"
        assert (await plant.provision(own))["device_id"] == devices[0]["id"]


async def test_witness_file_follows_the_address_and_is_made_anew_when_it_is_gone(tmp_path: Path) -> None:
    async with plant_in(tmp_path) as plant:
        first = plant.witness_config()
    async with plant_in(tmp_path, public_host="localhost") as plant:
        moved = plant.witness_config()
        assert moved["mqtt_host"] == "localhost"
        assert moved["mqtt_port"] == plant.site.mqtts_port
        assert moved["mqtt_credentials"] == first["mqtt_credentials"]
        plant.site.witness_file.write_text("{")
    async with plant_in(tmp_path) as plant:
        anew = plant.witness_config()
        assert anew["mqtt_credentials"]["certificate"] != first["mqtt_credentials"]["certificate"]
        for config in (anew, first | {"mqtt_port": plant.site.mqtts_port}):
            async with plant.client(config):
                pass


async def test_files_are_private_and_have_the_published_keys(tmp_path: Path) -> None:
    async with plant_in(tmp_path) as plant:
        for file in plant.site.token_file.parent.iterdir():
            readable = stat.S_IMODE(file.stat().st_mode)
            assert readable == 0o600, file
        assert stat.S_IMODE(plant.site.token_file.parent.stat().st_mode) == 0o700
        witness = plant.witness_config()
        assert witness.keys() == {"mqtt_host", "mqtt_port", "mqtt_protocol", "mqtt_credentials"}
        assert witness["mqtt_protocol"] == "MQTTS"
        assert witness["mqtt_credentials"].keys() == {"protocol", "private_key", "certificate", "ca_chain"}


async def test_only_digests_of_tokens_are_kept(tmp_path: Path) -> None:
    async with plant_in(tmp_path) as plant:
        token = plant.site.token_file.read_text().strip()
        assert len(token) == 64
    for file in (tmp_path / "state").iterdir():
        assert file.name == "api-token" or token.encode() not in file.read_bytes()


async def refusal(folder: Path, **changes: object) -> str:
    with pytest.raises(SiteStartError) as caught:
        async with SiteApi(settings_in(folder, **changes)):
            pass
    return str(caught.value)


@pytest.mark.parametrize("which", ["listen", "mqtt_listen", "mqtts_listen"])
async def test_port_in_use(tmp_path: Path, which: str) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sentence = await refusal(tmp_path, **{which: ("127.0.0.1", port)})
    assert f"127.0.0.1:{port}" in sentence
    assert "in use" in sentence
    server.close()
    await server.wait_closed()
    async with plant_in(tmp_path):
        pass  # the refused start left nothing that is in the way


async def test_address_of_another_machine(tmp_path: Path) -> None:
    assert "Cannot listen on 192.0.2.1:0" in await refusal(tmp_path, listen=("192.0.2.1", 0))


async def test_one_server_for_one_state_folder(tmp_path: Path) -> None:
    async with plant_in(tmp_path):
        assert "Another ucm-site-api" in await refusal(tmp_path)


async def test_state_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    assert "cannot be used" in await refusal(tmp_path)


async def test_registry_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "registry.sqlite").write_text("not a database" * 1000)
    assert "cannot be opened" in await refusal(tmp_path)


async def test_registry_of_a_newer_version(tmp_path: Path) -> None:
    async with plant_in(tmp_path):
        pass
    db = sqlite3.connect(tmp_path / "state" / "registry.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert "newer version" in await refusal(tmp_path)


@pytest.mark.parametrize("lost", ["ca.key", "ca.crt"])
async def test_half_an_authority(tmp_path: Path, lost: str) -> None:
    async with plant_in(tmp_path) as plant:
        await plant.provision(new_hardware_id())
    (tmp_path / "state" / lost).unlink()
    assert "backup" in await refusal(tmp_path)


async def test_authority_of_a_start_that_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ca.key").write_text("half")
    async with plant_in(tmp_path) as plant:
        await plant.provision(new_hardware_id())


async def test_clock_that_was_never_set(tmp_path: Path) -> None:
    assert "clock says 1970" in await refusal(tmp_path, now=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    async with plant_in(tmp_path):
        pass


async def test_clock_after_the_authority(tmp_path: Path) -> None:
    async with plant_in(tmp_path):
        pass
    assert "clock says 2099" in await refusal(tmp_path, now=lambda: datetime(2099, 1, 1, tzinfo=UTC))


async def test_first_start_that_was_cut_short_makes_another_token(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "api-token").write_text("of a start that never finished\n")
    async with plant_in(tmp_path) as plant:
        assert (await plant.call("GET", "/v3/site"))[0] == 200


@pytest.mark.parametrize(
    "changes",
    [{"site_timezone": "Mars/Olympus"}, {"site_name": " "}, {"mqtts_listen": ("0.0.0.0", 0)}],
)
def test_settings_that_can_never_work(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        settings_in(tmp_path, **changes)


async def test_every_address_with_a_public_host(tmp_path: Path) -> None:
    everywhere = ("0.0.0.0", 0)
    changes = {"listen": everywhere, "mqtts_listen": everywhere, "public_host": "127.0.0.1"}
    async with plant_in(tmp_path, **changes) as plant:
        config = await plant.config(new_hardware_id())
        assert json.dumps(config).count("0.0.0.0") == 0
        async with plant.client(config):
            pass


async def test_killed_in_the_middle_keeps_what_was_answered(tmp_path: Path) -> None:
    answered: list[dict[str, object]] = []
    token_file = tmp_path / "state" / "api-token"
    async with serving(tmp_path / "state") as (process, shown):
        url = shown.split()[2]
        headers = {"X-Enapter-Auth-Token": token_file.read_text().strip()}
        async with aiohttp.ClientSession(headers=headers) as http:

            async def provision_on_and_on() -> None:
                while True:
                    body = {"hardware_id": new_hardware_id(), "name": "Relay", "protocol": "MQTT"}
                    async with http.post(f"{url}/provisioning/ucm", json=body) as response:
                        answered.append(await response.json())
                        if len(answered) == 40:
                            process.kill()

            results = await asyncio.gather(*(provision_on_and_on() for _ in range(8)), return_exceptions=True)
            assert all(isinstance(result, (aiohttp.ClientError, ConnectionError)) for result in results)
    async with plant_in(tmp_path) as plant:
        devices = {device["id"]: device["communication"]["hardware_id"] for device in await plant.site.devices()}
        assert {answer["device_id"] for answer in answered} <= devices.keys()
        for hardware_id in devices.values():
            assert len(await plant.site.credentials(hardware_id)) == 1
