"""Clients of mosquitto, and what tests wait for."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from tests.site.harness import Plant, connect_packet, tls_context
from ucm_site_api.mosquitto.files import CONTROL_USER, MosquittoFiles

DEADLINE = 10.0
ACCEPTED = b"\x20\x02\x00\x00"
NOT_AUTHORIZED = b"\x20\x02\x00\x05"

# Between two looks at something that tells nobody when it changes.
_LOOK_AGAIN = 0.02


async def accepted(plant: Plant, config: dict[str, Any]) -> bool:
    """Whether a client gets in. It reads first: under TLS 1.3 a refused certificate shows there."""
    credentials = config["mqtt_credentials"]
    encrypted = config["mqtt_protocol"] == "MQTTS"
    context = tls_context(credentials, plant.folder) if encrypted else None
    reader, writer = await asyncio.open_connection(config["mqtt_host"], config["mqtt_port"], ssl=context)
    try:
        writer.write(connect_packet("", credentials.get("username", ""), credentials.get("password", "")))
        async with asyncio.timeout(DEADLINE):
            answer = await reader.readexactly(4)
    except ssl.SSLError as refusal:
        assert "CERTIFICATE_REVOKED" in str(refusal), refusal
        return False
    finally:
        writer.transport.abort()
    assert answer in {ACCEPTED, NOT_AUTHORIZED}
    return answer == ACCEPTED


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again; mosquitto takes a signal in when it gets to it."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(_LOOK_AGAIN)


async def refused(plant: Plant, config: dict[str, Any]) -> None:
    """Return once a client is not let in."""

    async def is_refused() -> bool:
        return not await accepted(plant, config)

    await until(is_refused)


def password_witness(plant: Plant) -> dict[str, Any]:
    return dict(json.loads(files_of(plant).password_witness.read_text()))


def files_of(plant: Plant) -> MosquittoFiles:
    return MosquittoFiles(plant.folder / "site-api")


@asynccontextmanager
async def listening(plant: Plant, config: dict[str, Any], topic: str = "v1/from/#") -> AsyncIterator[aiomqtt.Client]:
    async with plant.client(config) as client:
        (granted,) = await client.subscribe(topic, qos=1)
        assert granted.value < 0x80
        yield client


async def dynamic_security(plant: Plant, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """What an operator does with mosquitto_ctrl: commands as the control client, and their answers."""
    password = files_of(plant).control_password.read_text().strip()
    tag = secrets.token_hex(4)
    async with aiomqtt.Client(
        "127.0.0.1", plant.site.mqtt_port, username=CONTROL_USER, password=password, identifier=""
    ) as client:
        await client.subscribe("$CONTROL/dynamic-security/v1/response")
        tagged = [command | {"correlationData": tag} for command in commands]
        await client.publish("$CONTROL/dynamic-security/v1", json.dumps({"commands": tagged}), qos=1)
        async with asyncio.timeout(DEADLINE):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                responses: list[dict[str, Any]] = json.loads(message.payload)["responses"]
                if responses[0].get("correlationData") == tag:
                    return responses
    raise AssertionError("mosquitto ended the connection")


async def broker_clients(plant: Plant) -> set[str]:
    (answer,) = await dynamic_security(plant, {"command": "listClients", "count": -1, "offset": 0})
    return set(answer["data"]["clients"])


def write_certificate(folder: Path, credentials: dict[str, str]) -> Path:
    """Key and certificate in one file, for programs that want a file."""
    file = folder / f"{secrets.token_hex(4)}.pem"
    file.write_text(credentials["private_key"] + credentials["certificate"])
    return file
