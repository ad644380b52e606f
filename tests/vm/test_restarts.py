"""A restart or an upgrade leaves alone what works: opening a port may reset a controller that runs a plant."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.vm.box import Box
from tests.vm.cables import UsbIpCable
from tests.vm.packages import built, bumped
from tests.vm.usb.cp2102 import Cp2102
from tests.vm.usb.esp_native import EspNative
from tests.vm.usb.hub import Hub

Cables = tuple[UsbIpCable, ...]


@pytest.fixture(scope="module")
async def cables(box: Box, hub: Hub) -> AsyncIterator[Cables]:
    """Two verified modules whose adapters would notice if anybody opened their ports."""
    cables = tuple(UsbIpCable(box.guest, hub, box.plant.module(), adapter) for adapter in (Cp2102, EspNative))
    async with AsyncExitStack() as stack:
        for cable in cables:
            await stack.enter_async_context(cable.plugged())
        for cable in cables:
            await box.until_verified(cable.module.identity.hardware_id)
        yield cables


@asynccontextmanager
async def left_alone(box: Box, cables: Cables, hub: Hub) -> AsyncIterator[None]:
    """In the end the daemon has had every occasion to touch the verified modules, and has touched another one only."""
    opened = [len(cable.circuit.history) for cable in cables]
    yield
    for cable in cables:
        await box.until_verified(cable.module.identity.hardware_id)
    other = UsbIpCable(box.guest, hub, box.plant.module(), Cp2102)
    async with other.plugged():
        await box.until_verified(other.module.identity.hardware_id)
    assert [len(cable.circuit.history) for cable in cables] == opened
    assert [(cable.circuit.resets, cable.module.boots) for cable in cables] == [(0, 1), (0, 1)]


async def test_a_restart_of_the_service(box: Box, cables: Cables, hub: Hub) -> None:
    async with left_alone(box, cables, hub):
        await box.restart()


async def test_an_upgrade_of_the_package(box: Box, cables: Cables, hub: Hub, share: Path, tmp_path: Path) -> None:
    """The machine keeps the later version."""
    later = await bumped(built("ucm-provisiond"), "99.0", tmp_path)
    shutil.copy(later, share)
    before = await box.show("InvocationID")
    async with left_alone(box, cables, hub):
        await box.install(later.name)
        assert await box.show("InvocationID") != before, "the new version does not run"
