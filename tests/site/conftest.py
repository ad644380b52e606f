"""One running site for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.site.harness import Clock, Plant, plant_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def plant(tmp_path: Path, clock: Clock) -> AsyncIterator[Plant]:
    async with plant_in(tmp_path, now=clock) as running:
        yield running
