"""A page of devices behind a hundred thousand others, over HTTP, in milliseconds."""

from __future__ import annotations

import json
import secrets
import sqlite3
import statistics
import time
import uuid
from contextlib import closing
from pathlib import Path

from tests.bench.http_load import HttpConnection
from tests.bench.result import Result
from tests.bench.site_calls import ANY_PORTS
from tests.bench.site_server import site_server
from ucm_site_api.registry import REGISTRY_FILE

OFFSET = 100_000
LIMIT = 50
DEVICES = OFFSET + 2 * LIMIT
ROUNDS = 51
MILLISECONDS = 10.0
EXPANSIONS = ("", "connectivity")


async def measure(folder: Path) -> list[Result]:
    """The median for the list of all devices and for that of a site, the only one and one of two."""
    state = folder / "state"
    async with site_server(state, *ANY_PORTS):
        pass  # the first start makes the registry
    site = _fill(state / REGISTRY_FILE)
    lists = (("devices", "/v3/devices"), ("a site's devices", f"/v3/sites/{site}/devices"))
    async with site_server(state, *ANY_PORTS) as server, HttpConnection(server) as connection:
        alone = [await _page(connection, what, path, expand) for what, path in lists for expand in EXPANSIONS]
        await connection.call("POST", "/v3/sites", b'{"name": "Another", "timezone": "UTC"}')
        return [*alone, await _page(connection, "the devices of one of two sites", lists[1][1], EXPANSIONS[1])]


async def _page(connection: HttpConnection, what: str, path: str, expand: str) -> Result:
    path, milliseconds = f"{path}?offset={OFFSET}&limit={LIMIT}&expand={expand}", []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        answer = await connection.call("GET", path)
        milliseconds.append((time.perf_counter() - started) * 1000)
        page = json.loads(answer)
        assert (len(page["devices"]), page["total_count"]) == (LIMIT, DEVICES)
    return Result(
        f"page of {what}{f' with {expand}' if expand else ''} at offset {OFFSET}, milliseconds",
        f"median of {ROUNDS}, the slowest {max(milliseconds):.1f}; {DEVICES} devices",
        statistics.median(milliseconds),
        MILLISECONDS,
    )


def _fill(path: Path) -> str:
    """Devices as provisioning calls would have made them; the id of their site."""
    with closing(sqlite3.connect(path)) as db:
        (site,) = db.execute("SELECT id FROM site").fetchone()
        moment = "2026-01-01T00:00:00.000000Z"
        devices = (
            (str(uuid.uuid4()), site, secrets.token_hex(16).upper(), f"UCM {n}", f"ucm-{n}", moment, moment)
            for n in range(DEVICES)
        )
        db.executemany(
            "INSERT INTO device (id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at,"
            " updated_at) VALUES (?, ?, 'HARDWARE_UCM', ?, 'ucm', ?, ?, 'MQTTS', ?, ?)",
            devices,
        )
        db.commit()
    return str(site)
