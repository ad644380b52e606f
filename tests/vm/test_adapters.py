"""Modules on the adapters of real UCM kits, behind the kernel's own drivers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.vm.box import Box
from tests.vm.cables import UsbIpCable
from tests.vm.usb.cp2102 import Cp2102
from tests.vm.usb.esp_native import EspNative
from tests.vm.usb.hub import Hub


@pytest.mark.parametrize(("adapter", "node"), [(Cp2102, "/dev/ttyUSB0"), (EspNative, "/dev/ttyACM0")])
async def test_opening_the_port_resets_nothing(
    box: Box, hub: Hub, adapter: type[Cp2102 | EspNative], node: str, measured: Callable[[str, str], None]
) -> None:
    module = box.plant.module()
    cable = UsbIpCable(box.guest, hub, module, adapter)
    async with cable.plugged():
        begun = time.monotonic()
        view = await box.until_verified(module.identity.hardware_id)
        measured(f"plugged in to VERIFIED, {adapter.__name__}", f"{time.monotonic() - begun:.1f} s")
        assert view["endpoint"] == node
        assert (True, True) in cable.circuit.history, "the kernel raises both lines when a port is opened"
        assert cable.circuit.history[-1] == (False, False)
        assert (cable.circuit.resets, module.boots) == (0, 1)
