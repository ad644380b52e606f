"""The first module ever plugged into a new box."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.vm.box import SERVICE, Box
from tests.vm.cables import FtdiCable


async def test_a_module_plugged_into_a_new_box_is_verified(box: Box, measured: Callable[[str, str], None]) -> None:
    assert "ftdi_sio" not in await box.guest.run("lsmod"), "the adapter's driver was loaded before"
    module = box.plant.module()
    cable = FtdiCable(box.guest, module)
    async with cable.plugged():
        begun = time.monotonic()
        view = await box.until_verified(module.identity.hardware_id)
        measured("device_add to VERIFIED, the first plug after boot", f"{time.monotonic() - begun:.1f} s")
        assert view["evidence"]["seen_by"] == "witness"
        assert module.phase_name == "ONLINE"


async def test_a_service_that_started_before_any_driver_may_open_its_ports(box: Box) -> None:
    """The unit allows major numbers; a name would mean nothing until the driver is there."""
    await box.guest.run(
        f"systemctl stop {SERVICE} && systemctl mask --runtime modprobe@usbserial.service modprobe@cdc_acm.service"
        " && modprobe --remove ftdi_sio usbserial"
    )
    module = box.plant.module()
    try:
        await box.restart()
        assert "ttyUSB" not in await box.guest.run("cat /proc/devices")
        async with FtdiCable(box.guest, module).plugged():
            await box.until_verified(module.identity.hardware_id)
    finally:
        await box.guest.run("systemctl unmask --runtime modprobe@usbserial.service modprobe@cdc_acm.service")
