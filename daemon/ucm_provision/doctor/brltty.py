"""brltty, the driver for Braille displays, takes common USB serial adapters for such displays.

It detaches the kernel's driver, so the port vanishes half a second after it was plugged in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ucm_provision.core.errors import Code
from ucm_provision.doctor import rules
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, warn
from ucm_provision.doctor.usb import module_ports

_CHECK = "brltty"
_MEND = "sudo apt remove brltty"
# The kernel's own words: "usbfs: interface 0 claimed by ch341 while 'brltty' sets config #1".
_CLAIMED = "while 'brltty' sets config"


@dataclass(frozen=True, slots=True)
class Signs:
    """
    Attributes:
        claims: The rule file with which brltty wants adapters that modules have; empty: none does.
        caught: The kernel has seen it take an adapter.
    """

    runs: bool
    claims: str
    caught: bool


def check(box: Box) -> Iterator[Finding]:
    adapters = {port.adapter.ids for port in module_ports(box) if port.adapter}
    log = box.run("dmesg") or ""
    yield judge(Signs(box.runs("brltty"), _claiming(box, rules.marked_ids(box.root) | adapters), _CLAIMED in log))


def _claiming(box: Box, ours: Collection[tuple[str, str]]) -> str:
    for file in rules.in_force(box.root):
        if "brltty" in file.name and rules.ids(rules.text(file)).intersection(ours):
            return str(file)
    return ""


def judge(signs: Signs) -> Finding:
    if signs.caught:
        return problem(
            _CHECK,
            "brltty (for Braille displays) has taken a USB serial adapter: the kernel's log says so.",
            "The port vanishes half a second after it was plugged in. After the command, plug it in anew.",
            mend=_MEND,
            code=Code.DEVICE_GONE,
        )
    if signs.claims:
        return problem(
            _CHECK,
            f"brltty (for Braille displays) takes modules' adapters for its own: {signs.claims}.",
            "The port vanishes half a second after it was plugged in.",
            mend=_MEND,
            code=Code.DEVICE_GONE,
        )
    if signs.runs:
        return warn(
            _CHECK,
            "brltty (for Braille displays) runs.",
            "Where a port vanishes half a second after it was plugged in, brltty has taken it.",
            mend=_MEND,
        )
    return ok(_CHECK, "brltty is not in the way.")
