"""Who, beside the daemon, has a module's port open?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ucm_provision.core.errors import Code
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped
from ucm_provision.doctor.usb import module_ports
from ucm_provision.transports.port_holder import Holder, holders_of

_CHECK = "holders"
_UNIT = re.compile(r"/(?P<unit>[^/]+\.service)(/|$)", re.MULTILINE)


def check(box: Box) -> Iterator[Finding]:
    names = [port.name for port in module_ports(box) if port.node]
    if not names:
        yield ok(_CHECK, "There is no port that anybody could hold.")
        return
    found = list(holders_of(names, box.file("/proc")))
    others = [holder for holder in found if holder.pid != box.daemon_pid]
    yield from (busy(holder, unit_of(_cgroup(box, holder))) for holder in others)
    if others:
        return
    if not box.is_root:
        yield skipped(_CHECK, f"Nobody that you may look at holds {', '.join(names)}.", needs_root=True)
    else:
        yield ok(_CHECK, "The daemon has modules' ports to itself." if found else "Nobody holds a module's port.")


def busy(holder: Holder, unit: str) -> Finding:
    """The finding for a port that somebody else has open. ``unit``: the service that it belongs to, if any."""
    return problem(
        _CHECK,
        f"{holder.name} (process {holder.pid}) holds {holder.address}: the daemon waits until it lets go.",
        f"It is the service {unit}." if unit else "Close it; the command ends it.",
        mend=f"sudo systemctl disable --now {quote(unit)}" if unit else f"sudo kill {holder.pid}",
        code=Code.PORT_BUSY,
    )


def unit_of(cgroup: str) -> str:
    """The system's service in the text of ``/proc/PID/cgroup``; empty for what a person has started."""
    found = None if "/user.slice/" in cgroup else _UNIT.search(cgroup)
    return found["unit"] if found else ""


def _cgroup(box: Box, holder: Holder) -> str:
    try:
        return Path(box.file(f"/proc/{holder.pid}/cgroup")).read_text()
    except OSError:
        return ""
