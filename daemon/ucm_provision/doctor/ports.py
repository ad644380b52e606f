"""May the daemon open the ports that carry modules, and will it find any?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shlex import quote

from ucm_provision.core.errors import Code
from ucm_provision.doctor.account import READ, WRITE, Account, group_name, ownership
from ucm_provision.doctor.box import RESTART, Box
from ucm_provision.doctor.finding import Finding, ok, problem
from ucm_provision.doctor.usb import ModulePort, adapters_of, module_ports

_CHECK = "ports"


def check(box: Box) -> Iterator[Finding]:
    ports = module_ports(box)
    if not ports and (blind := _blind(box)):
        yield blind
        return
    complaints = [complaint for port in ports for complaint in _complaints(box, port)]
    yield from complaints
    if not complaints:
        names = ", ".join(port.name for port in ports)
        yield ok(_CHECK, f"Modules' ports: {names}." if ports else "No module's port is plugged in.")


def _blind(box: Box) -> Finding | None:
    """The finding where no port is ever found."""
    has_udev = box.has_udev or any(adapter.is_settled for adapter in adapters_of(box))
    if has_udev or box.settings.values.usb.globs or box.unsettled:
        return None
    return problem(
        _CHECK,
        "udev does not run here and usb.globs is empty, so no serial port is ever found.",
        "In a container: share the machine's /run/udev and /dev with it. Or name the ports, for example "
        'usb.globs = ["/dev/ttyUSB*"].',
        mend=f"sudoedit {quote(str(box.path))}",
    )


def _complaints(box: Box, port: ModulePort) -> Iterator[Finding]:
    if port.node is None:
        yield _without_node(port)
        return
    if box.account and not box.account.may(port.node, READ | WRITE):
        yield denied(port, port.node, box.account, in_container=box.is_container, then_restart=box.then_restart)
    if not is_allowed(port.name, port.node, box.unit, _drivers(box.file("/proc/devices"))):
        yield fenced(port.name, os.major(port.node.st_rdev), _drivers(box.file("/proc/devices")))


def _without_node(port: ModulePort) -> Finding:
    return problem(
        _CHECK,
        f"udev marks {port.name}, but there is no such device here.",
        "In a container: share the machine's /dev with it, as the head of the Dockerfile shows.",
        code=Code.PORT_UNUSABLE,
    )


def denied(
    port: ModulePort,
    node: os.stat_result,
    account: Account,
    *,
    in_container: bool,
    then_restart: Callable[[str], str],
) -> Finding:
    """The finding for a port whose mode keeps the daemon out."""
    group = group_name(node.st_gid)
    what = f"The daemon's user {account.name} may not open {port.name}: it is {ownership(node)}."
    if in_container:
        why, mend = f"Start the container with --group-add {node.st_gid}.", ""
    elif port.by_udev:
        why = "The rule gives it to the daemon; udev had not read the rule, or there was no such group, when it came."
        mend = f"sudo udevadm control --reload && sudo udevadm trigger {port.name}"
    else:
        why = f"It needs the group {group}."
        mend = then_restart(f"sudo usermod -aG {group} {account.name}")
    return problem(_CHECK, what, why, mend=mend, code=Code.PORT_DENIED)


def is_allowed(name: str, node: os.stat_result, unit: Mapping[str, str], drivers: Mapping[int, str]) -> bool:
    """Whether the service's sandbox lets it open the node (systemd.resource-control(5), ``DeviceAllow=``).

    Args:
        unit: The service's properties.
        drivers: The names of character devices by major number.
    """
    allowed = {line.partition(" ")[0] for line in unit.get("DeviceAllow", "").splitlines()}
    if not allowed:
        return True
    major = os.major(node.st_rdev)
    return not allowed.isdisjoint({name, f"char-{major}", f"char-{drivers.get(major)}", "char-*"})


def fenced(name: str, major: int, drivers: Mapping[int, str]) -> Finding:
    """The finding for a port that the service's sandbox keeps the daemon from."""
    return problem(
        _CHECK,
        f"The service may not open {name}: its unit allows USB serial ports only.",
        f"In the editor that opens, write [Service] and below it DeviceAllow=char-{drivers.get(major, major)} rw",
        mend=f"sudo systemctl edit ucm-provisiond && {RESTART}",
        code=Code.PORT_DENIED,
    )


def _drivers(file: Path) -> dict[int, str]:
    try:
        characters = file.read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split() for line in characters.splitlines()[1:])
    return {int(number): name for number, name in pairs}
