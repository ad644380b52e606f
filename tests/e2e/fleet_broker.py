"""A fleet's own broker: a real mosquitto, rights for one box, and somebody who listens to the whole fleet."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from tests.mosquitto.clients import control
from tests.mosquitto.harness import MosquittoProcess, mosquitto_running

DEADLINE = 30.0


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    retain: bool

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


@dataclass
class Listener:
    """Everything that the broker passed on, and a way to wait for more."""

    client: aiomqtt.Client
    seen: list[Message] = field(default_factory=list)

    async def until(self, topic: str, wanted: Callable[[Message], bool] = lambda _: True) -> Message:
        """The first message on a topic that ends so, seen or to come, that is wanted."""
        for message in self.seen:
            if message.topic.endswith(f"/{topic}") and wanted(message):
                return message
        async with asyncio.timeout(DEADLINE):
            async for received in self.client.messages:
                assert isinstance(received.payload, bytes)
                message = Message(received.topic.value, received.payload, received.retain)
                self.seen.append(message)
                if message.topic.endswith(f"/{topic}") and wanted(message):
                    return message
        raise AssertionError("the broker ended the connection")

    def events(self) -> list[Any]:
        return [message.json for message in self.seen if message.topic.endswith("/events")]


def says(payload: bytes) -> Callable[[Message], bool]:
    return lambda message: message.payload == payload


def tells_of_verified(message: Message) -> bool:
    """An event of a module that is verified, or a status with one that is."""
    return message.json.get("milestone") == "VERIFIED" or message.json.get("modules", {}).get("VERIFIED") == 1


@dataclass
class FleetBroker:
    """``credentials``: a file for one box, which may publish below ``prefix`` and do nothing else."""

    process: MosquittoProcess
    port: int
    prefix: str
    credentials: Path
    listener_password: str

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        async with aiomqtt.Client(
            "127.0.0.1", self.port, username="headquarters", password=self.listener_password, identifier=""
        ) as client:
            await client.subscribe("fleet/#", qos=1)
            yield Listener(client)


@asynccontextmanager
async def fleet_broker(folder: Path, box: str) -> AsyncIterator[FleetBroker]:
    """Set up as docs/OPERATIONS.md tells an operator to."""
    await asyncio.to_thread(folder.mkdir)
    prefix, ours, theirs = f"fleet/{box}", secrets.token_hex(8), secrets.token_hex(8)
    async with mosquitto_running(folder) as (settings, process):
        port = settings.mqtt_listen[1]
        roles = {
            "box": [{"acltype": "publishClientSend", "topic": f"{prefix}/#", "allow": True}],
            "headquarters": [
                {"acltype": "subscribePattern", "topic": "fleet/#", "allow": True},
                {"acltype": "publishClientReceive", "topic": "fleet/#", "allow": True},
            ],
        }
        for name, password in (("box", ours), ("headquarters", theirs)):
            answers = await control(
                process.files,
                port,
                {"command": "createRole", "rolename": name, "acls": roles[name]},
                {"command": "createClient", "username": name, "password": password, "roles": [{"rolename": name}]},
            )
            assert not any("error" in answer for answer in answers), answers
        credentials = folder / "fleet.json"
        credentials.write_text(
            json.dumps(
                {
                    "mqtt_host": "127.0.0.1",
                    "mqtt_port": port,
                    "mqtt_protocol": "MQTT",
                    "mqtt_credentials": {"username": "box", "password": ours},
                }
            )
        )
        yield FleetBroker(process, port, prefix, credentials, theirs)
