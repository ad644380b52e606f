"""`ucmctl doctor` on machines whose firewall, interfaces and other responders are the test's own."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.avahi import avahi
from tests.e2e.station import BIN
from tests.netns import Namespace, cable, namespaces
from tests.wire.mdns.lan import new_id
from tests.wire.mdns.test_namespaces import browsing

pytestmark = pytest.mark.system

# A program that does not share mDNS's port, as old ones do not.
SELFISH = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as port:
    port.bind(("", 5353))
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def box() -> Iterator[Namespace]:
    """A machine with one interface, at whose other end there is nobody."""
    with namespaces(2) as (box, other):
        cable(box, "lan0", other, "far0")
        other.ip("link", "set", "far0", "up")
        box.ip("link", "set", "lan0", "up")
        yield box


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ucm-provision.toml"
    path.write_text(f'[box]\nid = "box-a"\n[api]\nurl = "gateway"\n[state]\ndir = "{tmp_path}/state"\n')
    return path


def mdns(box: Namespace, config: Path) -> list[dict[str, Any]]:
    """What the doctor says of it there."""
    said = json.loads(ask(box, config))
    return [each for each in said["findings"] if each["check"] == "mdns"]


def ask(box: Namespace, config: Path) -> str:
    # It ends with another status wherever there is a problem.
    return box.run("sh", "-c", f"{BIN}/ucmctl doctor --json --config {config} || test $? = 4").stdout


def address(box: Namespace, *addresses: str) -> None:
    for each in addresses:
        box.ip("addr", "add", each, "dev", "lan0", "nodad")


def refuse(box: Namespace, command: str, chain: str) -> None:
    """The firewall of a machine that lets nothing in or out but on the loopback interface."""
    if shutil.which(command) is None:
        pytest.fail(f"{command} is missing: apt-get install --no-install-recommends iptables")
    box.run(command, "-A", chain, "-i" if chain == "INPUT" else "-o", "lo", "-j", "ACCEPT")
    box.run(command, "-P", chain, "DROP")


@pytest.mark.parametrize("addresses", [("10.77.0.1/24",), ("fd77::1/64",), ("10.77.0.1/24", "fd77::1/64")])
def test_an_interface_where_modules_can_be_heard(box: Namespace, config: Path, addresses: tuple[str, ...]) -> None:
    address(box, *addresses)
    (found,) = mdns(box, config)
    assert (found["level"], found["summary"]) == ("ok", "Modules on the LAN can be heard on lan0.")


@pytest.mark.parametrize(("command", "one"), [("iptables", "10.77.0.1/24"), ("ip6tables", "fd77::1/64")])
@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
def test_a_firewall_in_the_way(box: Namespace, config: Path, command: str, one: str, chain: str) -> None:
    address(box, one)
    refuse(box, command, chain)
    (found,) = mdns(box, config)
    way = {"INPUT": "in", "OUTPUT": "out"}[chain]
    assert found["level"] == "problem"
    assert f"a firewall does not let mDNS (UDP port 5353) {way}." in found["summary"]


def test_no_interface_is_up(box: Namespace, config: Path) -> None:
    box.ip("link", "set", "lan0", "down")
    (found,) = mdns(box, config)
    assert found["level"] == "warn"


async def test_avahi_and_a_running_daemon_share_the_port(box: Namespace, config: Path, tmp_path: Path) -> None:
    address(box, "10.77.0.1/24")
    module = new_id()
    async with browsing(box) as browser, avahi(box, tmp_path, module):
        await browser.sees(module)
        (found,) = await asyncio.to_thread(mdns, box, config)
    assert found["level"] == "ok"


async def test_a_program_that_does_not_share_the_port(box: Namespace, config: Path) -> None:
    address(box, "10.77.0.1/24")
    async with box.running(sys.executable, "-c", SELFISH, stdin=PIPE, stdout=PIPE) as selfish:
        assert selfish.stdout is not None
        await selfish.stdout.readline()
        (found,) = await asyncio.to_thread(mdns, box, config)
    assert (found["level"], found["mend"]) == ("problem", "sudo ss -ulpn 'sport = :5353'")
