from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.front import Front, front_of
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
    async with front_of(site, station) as front:
        yield front
