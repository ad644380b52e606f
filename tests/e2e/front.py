"""A server before the site API that fails, lies or listens in a chosen way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.e2e.station import DEADLINE, Station
from ucm_site_api import SiteApi

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Front:
    """A server before the site API that fails in a chosen way until it is mended.

    Attributes:
        failing: How POSTs are answered instead.
        asked: How many POSTs there were.
        hangs_up: Whether every connection is cut at its first request.
        calls: How many requests there were.
    """

    def __init__(self, site: SiteApi) -> None:
        self._site = site
        self.hangs_up = False
        self.calls = 0
        self._called = asyncio.Condition()
        self.failing: Answer | None = None
        self.asked = 0
        self.alter: Callable[[dict[str, Any]], None] = lambda _: None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await self._count()
        if self.hangs_up and request.transport:
            request.transport.abort()
        if request.method == "POST":
            self.asked += 1
            if self.failing:
                return await self.failing(request)
        async with (
            aiohttp.ClientSession() as client,
            client.request(
                request.method, self._site.url + request.path_qs, headers=request.headers, data=await request.read()
            ) as answer,
        ):
            body = await answer.json()
            if request.method == "POST" and answer.status == 200:
                self.alter(body)
            return web.json_response(body, status=answer.status)

    async def called(self, count: int) -> None:
        """Waits until there were so many requests."""
        async with asyncio.timeout(DEADLINE), self._called:
            await self._called.wait_for(lambda: self.calls >= count)

    async def _count(self) -> None:
        async with self._called:
            self.calls += 1
            self._called.notify_all()

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        async def failing(_: web.Request) -> web.StreamResponse:
            errors = [{"code": "refused", "message": f"the API says {status}"}]
            return web.json_response({"errors": errors}, status=status, headers=headers)

        self.failing = failing


@asynccontextmanager
async def front_of(site: SiteApi, station: Station) -> AsyncIterator[Front]:
    """The station asks it instead of the site API."""
    front = Front(site)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        station.api_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield front
    finally:
        await runner.cleanup()
