from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.station import Station, site_settings, station_at
from tests.kinds.platform import Platform, serving
from ucm_site_api import SiteApi


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteApi]:
    async with SiteApi(site_settings(tmp_path)) as site:
        yield site


@pytest.fixture
async def plant(site: SiteApi) -> AsyncIterator[Platform]:
    """An API with a real broker behind it."""
    async with serving(Platform(site)) as platform:
        yield platform


@pytest.fixture
def station(site: SiteApi, plant: Platform, tmp_path: Path) -> Station:
    """A box with modules on cables, at that API."""
    station = station_at(site, tmp_path)
    station.api_url = plant.url
    return station


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """An API alone."""
    async with serving(Platform()) as platform:
        yield platform


@pytest.fixture
def box(platform: Platform, tmp_path: Path) -> Station:
    """A box without modules, at the API alone."""
    token = tmp_path / "api-token"
    token.write_text("70c6c1d6f6f04b6f8c9d2b4d8f3b5a7e\n")
    return Station(tmp_path, platform.url, token, pops={})
