"""The first module ever plugged into a new box."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.vm.box import Box
from tests.vm.cables import FtdiCable


async def test_a_module_plugged_into_a_new_box_is_verified(box: Box, measured: Callable[[str, str], None]) -> None:
    assert "ftdi_sio" not in await box.guest.run("lsmod"), "the driver was loaded before"
    module = box.plant.module()
    cable = FtdiCable(box.guest, module)
    async with cable.plugged():
        begun = time.monotonic()
        view = await box.until_verified(module.identity.hardware_id)
        measured("device_add to VERIFIED, first plug after boot", f"{time.monotonic() - begun:.1f} s")
    assert view["evidence"]["seen_by"] == "witness"
