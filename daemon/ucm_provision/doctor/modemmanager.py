"""ModemManager tries its commands on whatever looks like a modem, and keeps the port while it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ucm_provision.core.errors import Code
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, warn
from ucm_provision.doctor.usb import ModulePort, module_ports

_CHECK = "modemmanager"


def check(box: Box) -> Iterator[Finding]:
    yield judge(module_ports(box), runs=box.runs("ModemManager"))


def judge(ports: Sequence[ModulePort], *, runs: bool) -> Finding:
    if not runs:
        return ok(_CHECK, "ModemManager does not run.")
    tried = [port.name for port in ports if port.adapter and not port.adapter.modems_keep_off]
    if not tried:
        return ok(_CHECK, "ModemManager runs, and leaves modules' ports alone.")
    return warn(
        _CHECK,
        f"ModemManager runs and was not told to leave {', '.join(tried)} alone: after each plug it holds a port for "
        "some 20 s and writes to it.",
        "On a box with a modem, mark the port with a udev rule instead: ucmctl suggest prints one.",
        mend="sudo systemctl disable --now ModemManager",
        code=Code.PORT_BUSY,
    )
