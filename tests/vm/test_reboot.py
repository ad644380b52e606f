"""The box goes down in the middle of a push: in order, or because somebody has pulled its plug."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.vm.box import Box
from tests.vm.cables import FtdiCable
from tests.vm.interruptions import SLOW, in_the_middle_of_a_push
from tests.vm.machine.guest import Guest

GoDown = Callable[[Guest], Awaitable[None]]


@pytest.mark.parametrize("go_down", [Guest.reboot, Guest.cut_power], ids=["reboot", "power cut"])
async def test_the_work_goes_on_after(box: Box, go_down: GoDown) -> None:
    module = box.plant.module(baud=SLOW)
    devices = len(await box.plant.site.devices())
    async with FtdiCable(box.guest, module).plugged():
        await in_the_middle_of_a_push(module)
        await go_down(box.guest)
        await box.until_verified(module.identity.hardware_id, within=120)
        assert (module.executed("commit"), module.active_generation) == (1, 1)
        assert len(await box.plant.site.devices()) == devices + 1
