"""A provisioning API in memory that knows all eight calls, for what a test wants to go wrong.

Modules that are to get online need a broker: their calls are passed on to a real site API behind it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.wire.cloud.answers import password_answer
from ucm_site_api import SiteApi

Json = dict[str, Any]

SITE_ID = "site-1"
SLUGGED = {"standalone", "lua_device"}
CONFIGURED = {"ucm", "embedded", "gateway"}


class Platform:
    """One site. A call is a kind of device, ``look-up`` of a device, ``rename`` and ``site``.

    ``lost``: so many answers to the call get lost, after it was carried out. ``unheard``: so many calls get
    lost before. ``refused``: status, code and message of every answer to the call.
    """

    def __init__(self, site: SiteApi | None = None) -> None:
        self._site = site
        self.url = ""
        self.devices: dict[str, Json] = {}
        self.asked: list[tuple[str, Json]] = []
        self.lost: Counter[str] = Counter()
        self.unheard: Counter[str] = Counter()
        self.refused: dict[str, tuple[int, str, str]] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.arrived: dict[str, asyncio.Event] = {}

    def calls(self, kind: str) -> list[Json]:
        return [body for asked, body in self.asked if asked == kind]

    def of_hardware(self, hardware_id: str) -> Json | None:
        return next((device for device in self.devices.values() if _hardware_id(device) == hardware_id), None)

    def named(self, slug: str) -> Json | None:
        return next((device for device in self.devices.values() if device["slug"] == slug), None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v3/")
        body = await request.json() if request.method in ("POST", "PATCH") else {}
        if path.startswith("provisioning/"):
            call, carry_out = path.removeprefix("provisioning/"), self._provision(request, path, body)
        elif request.method == "PATCH":
            call, carry_out = "rename", self._rename(request, path.removeprefix("devices/"), body)
        else:
            call = "site" if path == "site" else "look-up"
            carry_out = self._look_up(request, path.removeprefix("devices/"))
        return await self._faulty(request, call, body, carry_out)

    async def _faulty(self, request: web.Request, call: str, body: Json, carry_out: Any) -> web.StreamResponse:
        self.asked.append((call, body))
        if call in self.refused or self.unheard[call]:
            carry_out.close()
            if call in self.refused:
                status, code, message = self.refused[call]
                return refusal(status, code, message)
            self.unheard[call] -= 1
            return _cut(request)
        answer: web.StreamResponse = await carry_out
        if call in self.arrived:
            self.arrived[call].set()
        if call in self.slow:
            await self.slow[call].wait()
        if self.lost[call]:
            self.lost[call] -= 1
            return _cut(request)
        return answer

    # ---- what a healthy API does -----------------------------------------------------------------

    async def _provision(self, request: web.Request, path: str, body: Json) -> web.StreamResponse:
        kind = path.removeprefix("provisioning/")
        if self._site and kind in ("ucm", "embedded"):
            return await self._pass_on(request, "provisioning/ucm", {**body, "device_type": None})
        device = self.of_hardware(body["hardware_id"]) if "hardware_id" in body else None
        if kind in SLUGGED and body["slug"] and self.named(body["slug"]):
            return refusal(422, "unprocessable_entity", f"a {kind} cannot be reprovisioned")
        device = device or self._add(kind, body)
        key = "gateway_device_id" if kind == "gateway" else "device_id"
        answer = {key: device["id"], "slug": device["slug"]}
        if kind in CONFIGURED:
            answer["config"] = password_answer()["config"] | {"hardware_id": body["hardware_id"]}
        return web.json_response(answer)

    def _add(self, kind: str, body: Json) -> Json:
        device = {
            "id": str(uuid.uuid4()),
            "name": body.get("name", body.get("site_name")),
            "slug": body.get("slug") or f"{kind.replace('_', '-')}-{len(self.devices)}",
            "site_id": body.get("site_id", SITE_ID),
            "type": kind,
            "communication": {"hardware_id": body.get("hardware_id")},
            "asked": body,
        }
        self.devices[device["id"]] = device
        return device

    async def _look_up(self, request: web.Request, path: str) -> web.StreamResponse:
        device = self.devices.get(path) or self.named(path)
        if device:
            return web.json_response({"device": device})
        if self._site:
            return await self._pass_on(request, f"devices/{path}" if path != "site" else path, None)
        if path == "site":
            return web.json_response({"site": {"id": SITE_ID}})
        return refusal(404, "not_found", "no such device")

    async def _rename(self, request: web.Request, device_id: str, body: Json) -> web.StreamResponse:
        device = self.devices.get(device_id) or await self._borrow(request, device_id)
        if device is None:
            return refusal(404, "not_found", "no such device")
        other = self.named(body["slug"])
        if other and other["id"] != device_id:
            return refusal(409, "conflict", "the slug is taken")
        device.update({key: value for key, value in body.items() if value is not None})
        return web.json_response({"device": device})

    async def _borrow(self, request: web.Request, device_id: str) -> Json | None:
        """A device of the site API behind, from now on with a name of our own."""
        if self._site is None:
            return None
        answer = await self._pass_on(request, f"devices/{device_id}", None)
        if answer.status != 200:
            return None
        assert isinstance(answer, web.Response)
        assert isinstance(answer.text, str)
        device: Json = json.loads(answer.text)["device"]
        self.devices[device_id] = device
        return device

    async def _pass_on(self, request: web.Request, path: str, body: Json | None) -> web.StreamResponse:
        assert self._site is not None
        token = {"X-Enapter-Auth-Token": request.headers["X-Enapter-Auth-Token"]}
        method = "GET" if body is None else "POST"
        url = f"{self._site.url}/v3/{path}?{request.query_string or 'expand=communication'}"
        async with (
            aiohttp.ClientSession(headers=token) as client,
            client.request(method, url, json=body) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")


def _hardware_id(device: Json) -> str | None:
    hardware_id: str | None = device["communication"]["hardware_id"]
    return hardware_id


def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


@asynccontextmanager
async def serving(platform: Platform) -> AsyncIterator[Platform]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", platform.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        for held in platform.slow.values():
            held.set()
        await runner.cleanup()
