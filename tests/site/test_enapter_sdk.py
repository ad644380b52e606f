"""The platform's own Python SDK against the site API: its command line, and a device that is written with it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto.harness import mosquitto_running
from tests.site.harness import Plant, new_hardware_id, plant_of
from ucm_site_api import SiteApi

SDK = Path(__file__).parents[2] / ".venv" / "enapter"
DEADLINE = 30.0

DEVICE = """
import asyncio, enapter

class Relay(enapter.standalone.Device):
    async def run(self):
        while True:
            await self.send_properties({"vendor": "a test"})
            await self.send_telemetry({"closed": True})
            await asyncio.sleep(0.1)

asyncio.run(enapter.standalone.run(Relay()))
"""


@pytest.fixture(autouse=True)
def installed() -> None:
    if not (SDK / "enapter").is_dir():
        pytest.fail(f"The platform's SDK is not in {SDK}. Install it first:  tools/install-enapter", pytrace=False)


def environment(**own: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENAPTER_")}
    return kept | {"PYTHONPATH": str(SDK)} | own


class CommandLine:
    """`python -m enapter http api` with a site's token."""

    def __init__(self, plant: Plant, base: str) -> None:
        self._environment = environment(
            ENAPTER_HTTP_API_BASE_URL=plant.site.url + base,
            ENAPTER_HTTP_API_TOKEN=plant.site.token_file.read_text().strip(),
        )

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "enapter", "http", "api", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that it prints, one a line."""
        code, out, err = await self.run(*arguments)
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(params=["", "/api"], ids=["cloud-style", "gateway-style"])
def enapter(plant: Plant, request: pytest.FixtureRequest) -> CommandLine:
    return CommandLine(plant, request.param)


async def test_standalone_device_from_creation_to_deletion(plant: Plant, enapter: CommandLine) -> None:
    (made,) = await enapter("device", "create-standalone", "--name", "My relay", "--slug", "relay-7")
    assert (made["name"], made["slug"], made["type"]) == ("My relay", "relay-7", "STANDALONE")
    (renamed,) = await enapter("device", "update", made["id"], "--name", "Other", "--slug", "relay-8")
    assert (renamed["id"], renamed["name"], renamed["slug"]) == (made["id"], "Other", "relay-8")
    (found,) = await enapter("device", "get", "relay-8")
    assert found == renamed
    assert await enapter("device", "list") == [renamed]
    (assigned,) = await enapter("device", "assign-blueprint", made["id"], "--blueprint-id", "any-text")
    assert assigned["blueprint_id"] == "any-text"
    await enapter("device", "delete", made["id"])
    assert await enapter("device", "list") == []


async def test_virtual_ucm_and_the_lua_device_on_it(plant: Plant, enapter: CommandLine) -> None:
    own = f"V{new_hardware_id()}"
    (runtime,) = await enapter("device", "create-vucm", "--name", "Runtime", "--hardware-id", own)
    assert runtime["type"] == "VIRTUAL_UCM"
    assert runtime["communication"]["hardware_id"] == own
    lua = ("device", "create-lua", "--runtime-id", runtime["id"], "--blueprint-id", "bluepri1-50n3", "--slug", "gas")
    (script,) = await enapter(*lua)
    assert (script["type"], script["blueprint_id"], script["slug"]) == ("LUA", "bluepri1-50n3", "gas")
    code, _, err = await enapter.run(*lua)
    assert code == 1
    assert "cannot be reprovisioned" in err
    _, _, err = await enapter.run("device", "delete", runtime["id"])
    assert {device["id"] for device in await enapter("device", "list")} == {runtime["id"], script["id"]}
    await enapter("device", "delete", script["id"])
    await enapter("device", "delete", runtime["id"])
    assert await enapter("device", "list") == []


async def test_lists_of_more_than_a_page_end(plant: Plant, enapter: CommandLine) -> None:
    made = [(await plant.provision(new_hardware_id(), "MQTT"))["device_id"] for _ in range(60)]
    assert [device["id"] for device in await enapter("device", "list")] == made


async def test_sites(plant: Plant, enapter: CommandLine) -> None:
    (own,) = await enapter("site", "list")
    assert await enapter("site", "get") == [own]
    (made,) = await enapter("site", "create", "Plant 2", "--timezone", "Europe/Berlin")
    assert made["version"] == "V3"
    (changed,) = await enapter("site", "update", made["id"], "--name", "Plant 3")
    assert (changed["id"], changed["name"], changed["timezone"]) == (made["id"], "Plant 3", "Europe/Berlin")
    assert await enapter("site", "get", made["id"]) == [changed]
    await enapter("site", "delete", made["id"])
    assert await enapter("site", "list") == [own]


async def test_refusals_arrive_as_the_sdk_reads_them(enapter: CommandLine) -> None:
    code, _, err = await enapter.run("device", "get", "nobody")
    assert code == 1
    assert "No device 'nobody' here." in err
    assert "code=not_found" in err


@asynccontextmanager
async def device(config: dict[str, Any]) -> AsyncIterator[None]:
    """A device as somebody would write it, with the configuration as the platform hands it out."""
    encoded = base64.b64encode(json.dumps(config).encode()).decode()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DEVICE),
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(ENAPTER_STANDALONE_COMMUNICATION_CONFIG=encoded),
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def seen_online(enapter: CommandLine, device_id: str) -> dict[str, Any]:
    expand = ("--connectivity", "--properties", "--communication")
    async with asyncio.timeout(DEADLINE):
        while True:  # the SDK's own command line is the clock: it takes its time
            (found,) = await enapter("device", "get", device_id, *expand)
            if found["connectivity"]["status"] == "ONLINE" and found["properties"]:
                return dict(found)


@pytest.mark.system
@pytest.mark.parametrize(("protocol", "kind"), [("MQTT", "MQTT_V1_PLAINTEXT"), ("MQTTS", "MQTT_V1_TLS")])
async def test_device_written_with_the_sdk_is_online(tmp_path: Path, protocol: str, kind: str) -> None:
    async with (
        mosquitto_running(tmp_path) as (settings, _),
        SiteApi(settings) as site,
        plant_of(site, tmp_path) as plant,
    ):
        enapter = CommandLine(plant, "/api")
        (made,) = await enapter("device", "create-standalone", "--name", "My relay")
        arguments = ("device", "generate-communication-config", made["id"], "--protocol", protocol.lower())
        (answer,) = await enapter(*arguments)
        async with device(answer.get("config", answer)):
            online = await seen_online(enapter, made["id"])
        assert online["properties"] == {"vendor": "a test"}
        assert online["communication"]["type"] == kind
