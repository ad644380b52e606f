"""Clients of mosquitto, and what tests wait for."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
    """Whether a client gets in. Up to TLS 1.2 a certificate is refused in the handshake, where nothing gets lost."""
    credentials = config["mqtt_credentials"]
    context = tls_context(credentials, plant.folder) if config["mqtt_protocol"] == "MQTTS" else None
    if context is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        reader, writer = await asyncio.open_connection(config["mqtt_host"], config["mqtt_port"], ssl=context)
    except ssl.SSLError as refusal:
        if "CERTIFICATE_REVOKED" not in str(refusal):
            raise
        return False
    answer = await answer_to(
        connect_packet("", credentials.get("username", ""), credentials.get("password", "")), reader, writer
    )
    assert answer in {ACCEPTED, NOT_AUTHORIZED}
    return answer == ACCEPTED


async def answer_to(packet: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The first four bytes that come back, and the end of the connection."""
    try:
        writer.write(packet)
        async with asyncio.timeout(DEADLINE):
            return await reader.readexactly(4)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again; mosquitto takes a signal in when it gets to it."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 -- it is another process that changes
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


async def nothing_came(client: aiomqtt.Client) -> bool:
    """A round trip to the broker later there is no message: it answers in the order in which it was asked."""
    await client.subscribe("v1/nowhere")
    return len(client.messages) == 0


@asynccontextmanager
async def commanding(plant: Plant) -> AsyncIterator[aiomqtt.Client]:
    """Somebody who may speak to every module, as an operator would add them."""
    name, password = "commander", secrets.token_hex(8)
    may = {"acltype": "publishClientSend", "topic": "v1/to/#", "allow": True}
    answers = await dynamic_security(
        plant,
        {"command": "createRole", "rolename": name, "acls": [may]},
        {"command": "createClient", "username": name, "password": password, "roles": [{"rolename": name}]},
    )
    assert not any("error" in answer for answer in answers)
    async with aiomqtt.Client(
        "127.0.0.1", plant.site.mqtt_port, username=name, password=password, identifier=""
    ) as client:
        yield client


async def dynamic_security(plant: Plant, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """What an operator does with mosquitto_ctrl: commands as the control client, and their answers."""
    return await control(files_of(plant), plant.site.mqtt_port, *commands)


async def control(files: MosquittoFiles, port: int, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """The same with a mosquitto that no site API uses."""
    password = files.control_password.read_text().strip()
    tag = secrets.token_hex(4)
    async with aiomqtt.Client("127.0.0.1", port, username=CONTROL_USER, password=password, identifier="") as client:
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
