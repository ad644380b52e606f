from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.wire.network.bus import Bus, NetworkManager, network_manager, require_dbusmock, running


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    require_dbusmock()
    bus = Bus(tmp_path)
    async with running(bus):
        yield bus


@pytest.fixture
async def manager(bus: Bus) -> AsyncIterator[NetworkManager]:
    async with network_manager(bus) as manager:
        yield manager
