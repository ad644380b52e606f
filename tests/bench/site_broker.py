"""Provisioning calls for MQTT with mosquitto: each is answered after dynamic security has made the module's client.

The peer is a bare client of a second mosquitto, fresh as well, that sends the very same messages (a role, the end of
what may have been left, a client: three commands in each) and waits for the answer to each, with as many of them under
way as there are HTTP connections here. mosquitto writes its whole file for every command, so both grow from no module
to a thousand, some hundreds in turns: at the same sizes, and in the same weather.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from itertools import islice
from pathlib import Path

import msgspec

from tests.bench.control_client import ControlClient
from tests.bench.http_load import calls_a_second
from tests.bench.result import Result
from tests.bench.site_calls import CONNECTIONS, new_modules
from tests.bench.site_server import SiteServer, site_server
from tests.mosquitto.harness import mosquitto_running
from ucm_site_api.messages import PasswordCredentials
from ucm_site_api.mosquitto.clients import commands_to_admit

DEVICES = 1000
IN_TURNS = 250
ROUNDS = 3
SHARE = 0.8


async def measure(folder: Path) -> list[Result]:
    """Calls a second over what `$CONTROL` itself manages."""
    seconds = [await _provisioned(folder / f"{number}") for number in range(ROUNDS)]
    ratio = statistics.median(raw / ours for ours, raw in seconds)
    ours, raw = (DEVICES / statistics.median(column) for column in zip(*seconds, strict=True))
    return [
        Result(
            f"MQTT provisioning calls over {DEVICES} modules with mosquitto, over $CONTROL alone",
            f"{ours:.0f} calls a second at {CONNECTIONS} connections, {raw:.0f} without a server",
            ratio,
            SHARE,
            at_most=False,
        )
    ]


async def _provisioned(folder: Path) -> tuple[float, float]:
    """Seconds for all modules with the server, and those for their commands alone."""
    ours, raw, modules = 0.0, 0.0, new_modules("MQTT")
    async with AsyncExitStack() as stack:
        server = await _server(stack, folder / "site")
        client = await _client(stack, folder / "raw")
        for _ in range(DEVICES // IN_TURNS):
            raw += await asyncio.to_thread(_commanded, client)
            bodies = islice(modules, IN_TURNS)
            ours += IN_TURNS / await calls_a_second(server, "/v3/provisioning/ucm", bodies, CONNECTIONS)
    return ours, raw


async def _server(stack: AsyncExitStack, folder: Path) -> SiteServer:
    settings, _ = await stack.enter_async_context(mosquitto_running(folder))
    listeners = {"--mqtt-listen": settings.mqtt_listen, "--mqtts-listen": settings.mqtts_listen}
    options = [f"{option}={host}:{port}" for option, (host, port) in listeners.items()]
    return await stack.enter_async_context(site_server(settings.state, "--broker=mosquitto", *options))


async def _client(stack: AsyncExitStack, folder: Path) -> ControlClient:
    settings, mosquitto = await stack.enter_async_context(mosquitto_running(folder))
    password = mosquitto.files.control_password.read_text().strip()
    return stack.enter_context(closing(ControlClient(settings.mqtt_listen[1], password)))


def _commanded(client: ControlClient) -> float:
    messages = list(islice(_messages(), IN_TURNS))
    started = time.perf_counter()
    answers = client.carry_out(messages, CONNECTIONS)
    taken = time.perf_counter() - started
    # There was nothing to delete; all else was done.
    assert all(answer.count(b'"error"') == answer.count(b'"Client not found"') == 1 for answer in answers)
    return taken


def _messages() -> Iterator[bytes]:
    """What the server sends to mosquitto for new modules."""
    while True:
        hardware_id, tag = secrets.token_hex(16).upper(), secrets.token_hex(8)
        commands = commands_to_admit(hardware_id, PasswordCredentials(f"{hardware_id}.1", secrets.token_hex(32)))
        yield msgspec.json.encode({"commands": [command | {"correlationData": tag} for command in commands]})
