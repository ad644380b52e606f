"""The server is killed at every statement of every call; asked again, it has done it once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.site.harness import Plant, plant_in
from tests.site.test_kinds import EMBEDDED, GATEWAY, LOCAL, UCM, add, new_hardware_id

DEADLINE = 20.0
FEWEST_POINTS = 6


class Rows(NamedTuple):
    """What a registry has, as far as a call may change it."""

    sites: int
    devices: int
    credentials: int
    blueprints: int


class Case(NamedTuple):
    """`again` is what the same call answers once it is done."""

    method: str
    path: str
    body: dict[str, Any] | None
    again: int = 200
    role: str = "gateway"


CASES = {
    "ucm": Case("POST", "/provisioning/ucm", UCM),
    "embedded": Case("POST", "/provisioning/embedded", EMBEDDED | {"protocol": "MQTTS"}),
    "vucm": Case("POST", "/provisioning/vucm", LOCAL),
    "link_master": Case("POST", "/provisioning/link_master", LOCAL),
    "link_slave": Case("POST", "/provisioning/link_slave", LOCAL | {"master_device_id": "{master}"}),
    "standalone": Case("POST", "/provisioning/standalone", {"name": "n", "slug": "mine"}, again=409),
    "lua_device": Case(
        "POST",
        "/provisioning/lua_device",
        {"runtime_id": "{runtime}", "blueprint_id": "b", "name": "n", "slug": "mine"},
        again=422,
    ),
    "gateway": Case("POST", "/provisioning/gateway", GATEWAY, role="cloud"),
    "assign_blueprint": Case("POST", "/devices/{runtime}/assign_blueprint", {"blueprint_id": "b"}),
    "delete": Case("DELETE", "/devices/{runtime}", None, again=404),
    "delete_site": Case("DELETE", "/sites/{site}", None, again=404),
    "create_site": Case("POST", "/sites", {"name": "n", "timezone": "UTC"}),
}
# These leave nothing to know them by: asked again they do it again.
NOT_IDEMPOTENT = {"create_site"}


class Servers:
    """The process that forks servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @asynccontextmanager
    async def serving(self, state: Path, role: str, at: int | str) -> AsyncIterator[str]:
        """The URL of a server."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"state": str(state), "role": role, "at": at}).encode() + b"\n")
        async with asyncio.timeout(DEADLINE):
            started = json.loads(await stdout.readline())
        gone = os.pidfd_open(started["pid"])
        try:
            yield started["url"]
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(gone, signal.SIGKILL)
            await _readable(gone)
            os.close(gone)


async def _readable(descriptor: int) -> None:
    """A process's descriptor is readable once it has ended, and its folder is free."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("mortal_servers.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    yield Servers(process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


async def prepared(folder: Path, role: str) -> dict[str, str]:
    """A registry with what the calls refer to."""
    async with plant_in(folder, role=role) as plant:
        return await referred_to(plant, role)


async def referred_to(plant: Plant, role: str) -> dict[str, str]:
    """What the calls refer to, by the names that the cases have for it."""
    ids = {}
    if role == "gateway":
        ids["master"] = (await _local(plant))["device_id"]
        ids["runtime"] = (await plant.provision(new_hardware_id(), "MQTTS"))["device_id"]
    _, made = await plant.call("POST", "/v3/sites", json={"name": "Empty", "timezone": "UTC"})
    ids["site"] = made["site"]["id"]
    _, own = await plant.call("GET", "/v3/site")
    return ids | {"own": own["site"]["id"]}


async def _local(plant: Plant) -> dict[str, Any]:
    return await add(plant, "link_master", LOCAL | {"hardware_id": new_hardware_id()})


def rows(state: Path) -> Rows:
    db = sqlite3.connect(state / "registry.sqlite")
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        queries = (
            "SELECT count(*) FROM site",
            "SELECT count(*) FROM device",
            "SELECT count(*) FROM credential WHERE valid_until IS NULL",
            "SELECT count(*) FROM device WHERE blueprint_id IS NOT NULL",
        )
        return Rows(*(db.execute(query).fetchone()[0] for query in queries))
    finally:
        db.close()


def body_of(case: Case, ids: dict[str, str]) -> dict[str, Any] | None:
    if case.body is None:
        return None
    body = {name: value.format(**ids) if isinstance(value, str) else value for name, value in case.body.items()}
    if case.path.startswith("/provisioning/") and "site_id" not in body and "runtime_id" not in body:
        body["site_id"] = ids["own"]
    return body


async def ask(url: str, state: Path, case: Case, ids: dict[str, str]) -> int | None:
    """The status; None if the server died."""
    headers = {"X-Enapter-Auth-Token": (state / "api-token").read_text().strip()}
    body = body_of(case, ids)
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.request(case.method, f"{url}/v3{case.path.format(**ids)}", json=body) as response,
        ):
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return None


@pytest.mark.parametrize("kind", CASES)
async def test_killed_at_every_statement(tmp_path: Path, servers: Servers, kind: str) -> None:
    case = CASES[kind]
    template = tmp_path / "template"
    template.mkdir()
    ids = await prepared(template, case.role)
    old, died = rows(template / "state"), []
    new = await undisturbed(tmp_path, servers, case, ids)
    assert new != old
    for at in chain(["answer"], count(1)):
        state = shutil.copytree(template / "state", tmp_path / f"at-{at}")
        async with servers.serving(state, case.role, at) as url:
            status = await ask(url, state, case, ids)
        if status is not None:
            assert status == 200
            assert len(died) >= FEWEST_POINTS
            break
        died.append(at)
        left = rows(state)
        assert left in {old, new}, at
        assert at != "answer" or left == new
        if kind in NOT_IDEMPOTENT:
            continue
        async with servers.serving(state, case.role, 0) as url:
            assert await ask(url, state, case, ids) == (case.again if left == new else 200), at
        assert rows(state) == new, at
        shutil.rmtree(state)


async def undisturbed(folder: Path, servers: Servers, case: Case, ids: dict[str, str]) -> Rows:
    """What a call makes of the registry, once and once more."""
    state = shutil.copytree(folder / "template" / "state", folder / "undisturbed")
    async with servers.serving(state, case.role, 0) as url:
        assert await ask(url, state, case, ids) == 200
        return rows(state)
