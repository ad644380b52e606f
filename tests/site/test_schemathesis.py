"""Schemathesis against the API and its own document: thousands of requests, well-formed and not."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.site.harness import Plant, new_hardware_id, plant_in
from tests.site.test_kinds import LOCAL, UCM, add, own_site
from ucm_site_api.routes import OPERATIONS

INSTALL = "make .venv/.dev"
FEWEST_CASES = 2000
# Calls that changed something: a document that asks for the impossible would be kept without any.
FEWEST_REACHED = 8
DEADLINE = 240.0
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
)


@pytest.fixture(autouse=True)
def installed() -> None:
    if importlib.util.find_spec("schemathesis") is None:
        pytest.fail(f"schemathesis is missing:  {INSTALL}", pytrace=False)


async def seeded(plant: Plant, role: str) -> dict[str, list[str]]:
    """Ids that exist, by the names under which requests have them: what is random alone gets no further than 404."""
    site = await own_site(plant)
    masters = (
        ["none"]
        if role == "cloud"
        else [(await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()}))["device_id"]]
    )
    devices = [(await add(plant, "ucm", UCM | {"hardware_id": new_hardware_id()}))["device_id"] for _ in range(40)]
    return {
        "path.site": [site],
        "path.device": devices,
        "body.site_id": [site],
        "body.runtime_id": devices[:20],
        "body.hardware_id": [new_hardware_id() for _ in range(500)],
        "body.master_device_id": masters,
        "body.timezone": ["UTC", "Europe/Berlin"],
        "body.site_timezone": ["UTC", "Europe/Berlin"],
    }


def configuration(dictionaries: dict[str, list[str]]) -> str:
    lines = []
    for key, values in dictionaries.items():
        name = key.replace(".", "-")
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for key in dictionaries:
        lines.append(f'"{key}" = {{ dictionary = "{key.replace(".", "-")}", probability = 0.7 }}')
    return "\n".join(lines)


async def schemathesis(folder: Path, plant: Plant, dictionaries: dict[str, list[str]]) -> tuple[int | None, str]:
    (folder / "schemathesis.toml").write_text(configuration(dictionaries))
    token = plant.site.token_file.read_text().strip()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", "schemathesis.toml", "run", f"{plant.site.url}/v3/openapi.json"),
        *("--header", f"X-Enapter-Auth-Token: {token}", "--checks", ",".join(CHECKS)),
        *("--max-examples", "40", "--seed", "1", "--generation-database", "none", "--warnings", "off", "--no-color"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.timeout(DEADLINE + 30)
@pytest.mark.parametrize("role", ["gateway", "cloud"])
async def test_no_request_finds_what_the_document_does_not_say(tmp_path: Path, role: str) -> None:
    async with plant_in(tmp_path, role=role, rate_limit=0) as plant:
        dictionaries = await seeded(plant, role)
        with capture_logs() as lines:
            code, said = await schemathesis(tmp_path, plant, dictionaries)
        assert code == 0, said
        generated = re.search(r"(\d+) generated", said)
        assert generated is not None, said
        assert int(generated[1]) >= FEWEST_CASES, said
        reached = {one.name for one in OPERATIONS if one.changes} & {line["event"] for line in lines}
        assert len(reached) >= FEWEST_REACHED, reached


async def test_document_is_for_everybody_and_for_each_prefix(plant: Plant) -> None:
    for prefix in ("/v3", "/api/v3"):
        status, document = await plant.call(
            "GET", f"{prefix}/openapi.json", headers={"X-Enapter-Auth-Token": "not one of ours"}
        )
        assert status == 200
        assert document["servers"] == [{"url": prefix}]
        ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
        assert len(ids) == len(set(ids))
        assert [path for path in document["paths"] if path.startswith("/provisioning/")] == [
            f"/provisioning/{kind}"
            for kind in ["ucm", "embedded", "gateway", "vucm", "link_master", "link_slave", "standalone", "lua_device"]
        ]
        for path in document["paths"].values():
            for operation in path.values():
                errors: dict[str, Any] = {
                    status: described for status, described in operation["responses"].items() if status != "200"
                }
                assert {"400", "401", "403", "429", "500"} <= errors.keys()
                for described in errors.values():
                    schema = described["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}
