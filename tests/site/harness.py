"""A running site, and the clients that the tests speak to it with."""

import asyncio
import json
import secrets
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt

from ucm_site_api import Settings, SiteApi

DEADLINE = 5.0

ANY = ("127.0.0.1", 0)


@dataclass
class Clock:
    """The wall clock, moved by as much as a test wants."""

    offset: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings for one test: loopback, free ports."""
    base = Settings(state=folder / "state", listen=ANY, mqtt_listen=ANY, mqtts_listen=ANY, site_name="Demo plant")
    return replace(base, **changes)


def new_hardware_id() -> str:
    return secrets.token_hex(16).upper()


@dataclass
class Plant:
    """A site with a client that bears its token."""

    site: SiteApi
    http: aiohttp.ClientSession
    folder: Path

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.site.url + path, **kwargs) as response:
            assert response.headers["Content-Type"] == "application/json"
            return response.status, json.loads(await response.read() or b"null")

    async def provision(self, hardware_id: str, protocol: str = "MQTTS", **changes: Any) -> dict[str, Any]:
        body = {"hardware_id": hardware_id, "name": "My UCM", "protocol": protocol} | changes
        status, answer = await self.call("POST", "/v3/provisioning/ucm", json=body)
        assert status == 200, answer
        return dict(answer)

    async def config(self, hardware_id: str, protocol: str = "MQTTS") -> dict[str, Any]:
        return dict((await self.provision(hardware_id, protocol))["config"])

    async def device(self, reference: str, expand: str = "") -> dict[str, Any]:
        status, answer = await self.call("GET", f"/v3/devices/{reference}", params={"expand": expand})
        assert status == 200, answer
        return dict(answer["device"])

    def witness_config(self) -> dict[str, Any]:
        return dict(json.loads(self.site.witness_file.read_text()))

    def client(self, config: dict[str, Any], **options: Any) -> aiomqtt.Client:
        """A client with a module's credentials, as the platform's own devices connect: empty client id."""
        options.setdefault("identifier", "")
        address = {"hostname": config["mqtt_host"], "port": config["mqtt_port"], "timeout": DEADLINE}
        credentials = config["mqtt_credentials"]
        if config["mqtt_protocol"] == "MQTT":
            named = {"username": credentials["username"], "password": credentials["password"]}
            return aiomqtt.Client(**address, **named, **options)
        return aiomqtt.Client(**address, tls_context=tls_context(credentials, self.folder), **options)


@asynccontextmanager
async def plant_in(folder: Path, **changes: Any) -> AsyncIterator[Plant]:
    async with SiteApi(settings_in(folder, **changes)) as site, plant_of(site, folder) as plant:
        yield plant


@asynccontextmanager
async def plant_of(site: SiteApi, folder: Path) -> AsyncIterator[Plant]:
    token = site.token_file.read_text().strip()
    async with aiohttp.ClientSession(headers={"X-Enapter-Auth-Token": token}) as http:
        yield Plant(site, http, folder)


def tls_context(credentials: dict[str, str], folder: Path, *, present: bool = True) -> ssl.SSLContext:
    """What a module does: trust the chain it was given and nothing else, and not look at the host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=credentials["ca_chain"])
    if present:
        file = folder / f"{secrets.token_hex(4)}.pem"
        file.write_text(credentials["private_key"] + credentials["certificate"])
        context.load_cert_chain(file)
        file.unlink()
    return context


async def next_message(client: aiomqtt.Client) -> tuple[str, bytes]:
    async with asyncio.timeout(DEADLINE):
        message = await anext(aiter(client.messages))
    assert isinstance(message.payload, bytes)
    return str(message.topic), message.payload


def connect_packet(
    client_id: str = "", username: str = "", password: str = "", keep_alive: int = 60, *, clean: bool = True
) -> bytes:
    """An MQTT 3.1.1 CONNECT, for what client libraries do not let a test send."""
    flags = (0xC0 if username else 0) | (0x02 if clean else 0)
    words = [word.encode() for word in (client_id, *([username, password] if username else []))]
    payload = b"".join(struct.pack("!H", len(word)) + word for word in words)
    body = struct.pack("!H4sBBH", 4, b"MQTT", 4, flags, keep_alive) + payload
    assert len(body) < 16384
    return bytes([0x10, len(body) % 128 | 0x80, len(body) // 128]) + body


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Everything that the other side says until it ends the connection."""
    async with asyncio.timeout(DEADLINE):
        try:
            return await reader.read(-1)
        except ConnectionError:
            return b""
