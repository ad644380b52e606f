from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.wire.udev.bus import Bus, new_bus


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with new_bus() as bus:
        yield bus
