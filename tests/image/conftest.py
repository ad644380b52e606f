from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.station import site_settings
from tests.image.box import Box
from tests.image.engine import REPOSITORY, Engine
from ucm_site_api import SiteApi


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine that has built the image."""
    engine = Engine(REPOSITORY / ".image")
    engine.prepare()
    engine.build()
    yield engine
    engine.clean()


@pytest.fixture
async def box(engine: Engine, tmp_path: Path) -> AsyncIterator[Box]:
    async with SiteApi(site_settings(tmp_path)) as site:
        box = Box(engine, site, tmp_path)
        box.set_up()
        yield box
