"""What the service may do, asked of the running system."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.vm.box import SERVICE, Box
from tests.vm.cables import FtdiCable

_EXPOSURE_LIMIT = 2.0
# Run before the daemon, as what it runs as: who it is, and how an attempt to open each device ends.
_PROBE = """\
import errno, json, os, sys

def opened(node):
    try:
        os.close(os.open(node, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"

nodes = {node: opened(node) for node in sys.argv[1:]}
print("PROBE", json.dumps({"user": os.getuid(), "nodes": nodes}))
"""
_PROBE_FILE = "/usr/local/lib/probe.py"


async def test_systemd_thinks_it_safe(box: Box) -> None:
    verdict = await box.guest.run(f"systemd-analyze security --no-pager {SERVICE}")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", verdict)
    assert found
    assert float(found[1]) <= _EXPOSURE_LIMIT, verdict


async def test_it_can_open_a_module_s_port_and_no_other(box: Box) -> None:
    await box.guest.write(_PROBE_FILE, _PROBE)
    ours, foreign = (
        FtdiCable(box.guest, box.plant.module(), port, serial) for port, serial in ((1, "UCM-1"), (2, "A9"))
    )
    async with ours.plugged():
        await box.until_verified(ours.module.identity.hardware_id)
        async with foreign.plugged():
            await box.guest.until("ls /dev", "^ttyUSB1$")
            await box.guest.run("udevadm settle")
            nodes = ("/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyS0", "/dev/ttyS1", "/dev/vda", "/dev/mem")
            probe = await probed(box, nodes)
    assert probe["nodes"].pop("/dev/ttyUSB0") == "opened"
    assert set(probe["nodes"].values()) <= {"EACCES", "EPERM"}, probe
    assert await box.guest.run("id --user ucm-provision") == f"{probe['user']}\n"


async def probed(box: Box, nodes: tuple[str, ...]) -> dict[str, Any]:
    """What the service would be told, were it to open those."""
    since = await box.now()
    async with box.drop_in(f"ExecStartPre=/usr/bin/python3 {_PROBE_FILE} {' '.join(nodes)}"):
        said = await box.said(since)
    (line,) = re.findall("^PROBE (.*)$", said, re.MULTILINE)
    answer: dict[str, Any] = json.loads(line)
    return answer
