"""Two boxes, each on a cable to a machine with modules, and a Wi-Fi network behind each cable. Needs root."""

import asyncio
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns import Namespace, cable, namespaces
from tests.sim.running import Running
from tests.sim.test_control import asked
from tests.wire.mdns.test_namespaces import Browser, browsing

pytestmark = pytest.mark.system

OLD, NEW = "192.0.2", "198.51.100"
NETWORKS = ["--network", "old=one", "--network", "new=two"]
SEGMENTS = ["--segment", f"old={OLD}.2", "--segment", f"new={NEW}.2"]
LAN = ["lan", "--address", f"{OLD}.2", "--port", "8080", "--boot-s", "0", "--verbose", *NETWORKS, *SEGMENTS]


@pytest.fixture
def site() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """A box in the old network, one in the new network, and the machine with the modules."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.fail("needs root and: apt-get install --no-install-recommends iproute2")
    with namespaces(3) as (old, new, machine):
        for box, network, interface in ((old, OLD, "lan0"), (new, NEW, "lan1")):
            cable(box, interface, machine, interface)
            for last, end in ((1, box), (2, machine)):
                end.ip("address", "add", f"{network}.{last}/24", "dev", interface)
                end.ip("link", "set", interface, "up")
        yield old, new, machine


async def connects(box: Namespace, address: str) -> bool:
    try:
        await asyncio.to_thread(box.run, "bash", "-c", f"exec 3<>/dev/tcp/{address}/8080")
    except subprocess.CalledProcessError:
        return False
    return True


async def heard(browser: Browser) -> list[dict[str, Any]]:
    """Everything that it has said since it was last asked."""
    said: list[dict[str, Any]] = []
    assert browser._process.stdin is not None
    browser._process.stdin.write(b"\n")
    await browser.says(lambda line: (said.append(line), "memory" in line)[1])
    return said


async def test_who_moves_is_seen_on_the_other_cable_alone(
    site: tuple[Namespace, Namespace, Namespace], tmp_path: Path
) -> None:
    old, new, machine = site
    control = tmp_path / "air.sock"
    command = [sys.executable, "-m", "ucm_sim.main", *LAN, "--control", str(control)]
    async with (
        browsing(old) as at_old,
        browsing(new) as at_new,
        machine.running(*command, stdout=PIPE, stderr=PIPE) as process,
    ):
        await Running(process).says(f"listening at {OLD}.2:8080")
        (module,) = await asked(control, {"do": "modules"})
        assert await at_old.sees(module["id"]) == (f"{OLD}.2:8080",)
        assert await connects(old, f"{OLD}.2")
        assert not await connects(new, f"{NEW}.2")
        await asked(control, {"do": "off", "ssid": "old"})
        assert not await connects(old, f"{OLD}.2")
        assert await at_new.sees(module["id"]) == (f"{NEW}.2:8080",)
        assert await connects(new, f"{NEW}.2")
        # No goodbye, and nothing of the new place.
        assert not any(said.get("id") for said in await heard(at_old))
