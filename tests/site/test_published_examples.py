"""The examples of the platform's provisioning page, sent by curl as they are printed: no content type of their own.

Where the page prints another call's path, the path is the one of the heading.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.site.harness import DEADLINE, Plant, new_hardware_id, plant_in
from ucm_site_api.records import Site

SITE = "sitebba0-79f2-4e9e-a6f0-69a310ab110b"
RUNTIME = "ucmbbba0-79f2-4e9e-a6f0-69a310ab110b"
MASTER = "02618484-5c16-4159-998a-ef4acc16666c"
CONFIG = {
    *("mqtt_host", "mqtt_port", "mqtt_credentials", "time_sync_protocol", "time_sync_host", "time_sync_port"),
    *("hardware_id", "channel_id"),
}


class Example(NamedTuple):
    kind: str
    body: str
    answer: set[str]
    channel: str | None = None
    role: str = "gateway"


EXAMPLES = [
    Example(
        "ucm",
        """{
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "C8795CBA5375484E829105E959663C8B",
"name": "My UCM",
"protocol": "MQTTS"
}""",
        {"config", "device_id", "slug"},
        channel="ucm",
    ),
    Example(
        "vucm",
        """{
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "V8795CBA5375484E829105E959663C8B",
"name": "My VUCM"
}""",
        {"device_id"},
    ),
    Example(
        "embedded",
        """{
"device_type": "ELECTROLYSER",
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "BCC415CBA5375484E829105E959663C8B",
"name": "My Electrolyser",
"protocol": "MQTTS"
}""",
        {"config", "device_id", "slug"},
        channel="ucm",
    ),
    Example(
        "link_master",
        """{
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "BCC415CBA5375484E829105E959663C8B",
"name": "Enapter Link 1"
}""",
        {"device_id"},
    ),
    Example(
        "link_slave",
        """{
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "435840FFE5CD4E9DA93545DDF7E6D5FB",
"name": "ENP-AO6 BCC4",
"master_device_id": "02618484-5c16-4159-998a-ef4acc16666c"
}""",
        {"device_id"},
    ),
    Example(
        "standalone",
        """{
"site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
"name": "My Device"
}""",
        {"device_id", "slug"},
    ),
    Example(
        "lua_device",
        """{
"runtime_id": "ucmbbba0-79f2-4e9e-a6f0-69a310ab110b",
"blueprint_id": "bluepri1-50n3-4t9d-e6v0-69i310cb110e",
"name": "Gas sensor",
"slug": "gas-sensor-1"
}""",
        {"device_id", "slug"},
    ),
    Example(
        "gateway",
        """{
"site_id": "fecbbba0-79f2-4e9e-a6f0-69a310ab110b",
"hardware_id": "B27925CBA5375484E829105E959663C8B",
"gateway_version": "3.0.0",
"site_name": "My Site",
"site_timezone": "Europe/Berlin",
"site_location": {
"latitude": 52.520008,
"longitude": 13.404954
}
}""",
        {"config", "gateway_device_id"},
        channel="gw",
        role="cloud",
    ),
]


async def curl(*arguments: str) -> tuple[int, str, Any]:
    """Status, content type and body."""
    assert shutil.which("curl"), "curl is missing: apt-get install curl"
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--max-time", str(DEADLINE)),
        *("--write-out", "\n%{http_code}\n%{content_type}", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    body, status, content_type = out.decode().rsplit("\n", 2)
    return int(status), content_type, json.loads(body)


async def with_the_ids_of_the_page(plant: Plant) -> None:
    """The site, the runtime and the master that the examples name."""
    await plant.site._registry.add_site(Site(SITE, "My Site", "UTC"), plant.site._settings.now())
    runtime = await plant.provision(new_hardware_id(), "MQTT", site_id=SITE)
    body = {"site_id": SITE, "hardware_id": new_hardware_id(), "name": "Master"}
    _, master = await plant.call("POST", "/v3/provisioning/link_master", json=body)
    db = sqlite3.connect(plant.folder / "state" / "registry.sqlite")
    with db:
        for chosen, made in ((RUNTIME, runtime), (MASTER, master)):
            db.execute("UPDATE credential SET device_id = ? WHERE device_id = ?", (chosen, made["device_id"]))
            db.execute("UPDATE device SET id = ? WHERE id = ?", (chosen, made["device_id"]))
    db.close()


@pytest.mark.parametrize("prefix", ["/v3", "/api/v3"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.kind)
async def test_example(tmp_path: Path, example: Example, prefix: str) -> None:
    async with plant_in(tmp_path, role=example.role) as plant:
        if example.role == "gateway":
            await with_the_ids_of_the_page(plant)
        url = f"{plant.site.url}{prefix}/provisioning/{example.kind}"
        token = plant.site.token_file.read_text().strip()
        status, content_type, answer = await curl(
            "-X", "POST", url, "-H", f"X-Enapter-Auth-Token: {token}", "-d", example.body
        )
        assert (status, content_type) == (200, "application/json"), answer
        assert answer.keys() == example.answer
        if example.channel is not None:
            config = answer["config"]
            assert config.keys() == CONFIG | {"mqtt_protocol"}
            assert config["mqtt_credentials"].keys() == {"protocol", "private_key", "certificate", "ca_chain"}
            assert config["hardware_id"] == json.loads(example.body)["hardware_id"]
            assert config["channel_id"] == example.channel


async def test_gateway_brings_its_site_along(tmp_path: Path) -> None:
    example = next(example for example in EXAMPLES if example.kind == "gateway")
    async with plant_in(tmp_path, role="cloud") as plant:
        _, made = await plant.call("POST", "/v3/provisioning/gateway", data=example.body)
        gateway = await plant.device(made["gateway_device_id"], "site,communication")
    assert gateway["type"] == "GATEWAY"
    assert gateway["communication"]["type"] == "MQTT_V1_TLS"
    assert gateway["site"]["id"] == "fecbbba0-79f2-4e9e-a6f0-69a310ab110b"
    assert gateway["site"]["timezone"] == "Europe/Berlin"
    assert gateway["site"]["location"] == {"name": "", "latitude": 52.520008, "longitude": 13.404954}
