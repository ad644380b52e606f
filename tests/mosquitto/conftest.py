"""A site whose broker is a real mosquitto, for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mosquitto.harness import MosquittoProcess, mosquitto_running
from tests.site.harness import Clock, Plant, plant_of
from ucm_site_api import SiteApi


@dataclass
class MosquittoPlant(Plant):
    """A site with its mosquitto's process."""

    mosquitto: MosquittoProcess


@pytest.fixture
def clock() -> Clock:
    """The site's clock; mosquitto has the machine's own."""
    return Clock()


@pytest.fixture
async def plant(tmp_path: Path, clock: Clock) -> AsyncIterator[MosquittoPlant]:
    async with (
        mosquitto_running(tmp_path, now=clock) as (settings, process),
        SiteApi(settings) as site,
        plant_of(site, tmp_path) as bearer,
    ):
        yield MosquittoPlant(bearer.site, bearer.http, bearer.folder, process)
