from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.front import Front
from tests.e2e.station import Station, site_settings, station_at
from ucm_site_api import SiteApi


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteApi]:
    async with SiteApi(site_settings(tmp_path)) as site:
        yield site


@pytest.fixture
def station(site: SiteApi, tmp_path: Path) -> Station:
    return station_at(site, tmp_path)


@pytest.fixture
async def front(site: SiteApi, station: Station) -> AsyncIterator[Front]:
    front = Front(site)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    station.api_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield front
    await runner.cleanup()
