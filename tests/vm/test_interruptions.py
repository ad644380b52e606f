"""What happens in the middle of a push costs nothing: the work goes on, and nothing is done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.vm.box import SERVICE, Box
from tests.vm.cables import FtdiCable
from tests.vm.interruptions import SLOW, in_the_middle_of_a_push


@asynccontextmanager
async def a_push_to_interrupt(box: Box) -> AsyncIterator[FtdiCable]:
    """A module in the middle of its first push. In the end it must be one verified device."""
    module = box.plant.module(baud=SLOW)
    cable = FtdiCable(box.guest, module)
    devices = len(await box.plant.site.devices())
    async with cable.plugged():
        await in_the_middle_of_a_push(module)
        yield cable
        await box.until_verified(module.identity.hardware_id, within=120)
    assert (module.executed("commit"), module.active_generation) == (1, 1)
    assert len(await box.plant.site.devices()) == devices + 1


async def test_a_cable_pulled_and_plugged_into_another_port(box: Box) -> None:
    async with a_push_to_interrupt(box) as cable:
        await cable.unplug()
        gone = await box.until_module(cable.module.identity.hardware_id, present=False)
        assert gone["milestone"] != "VERIFIED"
        cable.port = 3
        await cable.plug()


async def test_a_killed_daemon_is_started_again(box: Box) -> None:
    restarts = int(await box.show("NRestarts"))
    async with a_push_to_interrupt(box):
        await box.guest.run(f"systemctl kill --signal KILL {SERVICE}")
    assert int(await box.show("NRestarts")) == restarts + 1


async def test_a_daemon_that_makes_no_progress_is_killed_and_started_again(box: Box) -> None:
    # The unit's own half minute would only make this longer.
    async with box.drop_in("WatchdogSec=10s"):
        since = await box.now()
        async with a_push_to_interrupt(box):
            await box.guest.run(f"systemctl kill --signal STOP {SERVICE}")
            await box.until_shown("NRestarts", "^1$")
        assert "Watchdog timeout" in await box.said(since)
