"""Gateways that announce themselves on the loopback, real ones and others."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from tests.e2e.station import DEADLINE, Station, ucmctl

SERVICE = "_enapter-gw-http._tcp.local."


def new_name() -> str:
    return f"GW {uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def announced(name: str, port: int) -> AsyncIterator[None]:
    """A responder of its own says that the Gateway of that name is at that port."""
    host = f"gw-{uuid.uuid4().hex[:12]}.local."
    service = AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port=port, server=host, parsed_addresses=["127.0.0.1"], properties={}
    )
    async with AsyncZeroconf(interfaces=["127.0.0.1"]) as responder:
        await (await responder.async_register_service(service, cooperating_responders=True))
        yield


@asynccontextmanager
async def impostor() -> AsyncIterator[tuple[int, list[dict[str, str]]]]:
    """Its port, and the headers of every request that it got. It agrees to everything."""
    heard: list[dict[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        heard.append(dict(request.headers))
        return web.json_response({})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1], heard
    finally:
        await runner.cleanup()


async def choice(station: Station) -> dict[str, Any]:
    """What ``ucmctl api show`` answers."""
    status, said = await ucmctl(station.socket, "api", "show", "--json")
    assert status == 0, said
    answer: dict[str, Any] = json.loads(said)
    return answer


async def shown(station: Station, name: str, true: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
    """The Gateway in ``ucmctl api show``, once it stands there like that. An operator looks again and again, too."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for gateway in (await choice(station))["gateways"]:
                if gateway["name"] == name and true(gateway):
                    found: dict[str, Any] = gateway
                    return found


async def accept(station: Station, name: str, token_file: Path) -> tuple[int, str]:
    return await ucmctl(station.socket, "api", "accept", name, "--token-file", str(token_file))
