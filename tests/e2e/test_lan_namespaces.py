"""Modules, a box and an independent responder, each a machine of its own on a network of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from tests.avahi import avahi
from tests.e2e.machines import MODULE_PORT, Machine, daemon, flood, site
from tests.e2e.station import DaemonProcess, verified
from tests.netns import Namespace, namespaces
from ucm_provision.wire import ModuleView

pytestmark = pytest.mark.system

# Ten thousand within a minute, in five seconds.
STRANGERS, A_SECOND = 10_000, 2_000
GROWTH_MOST = 40 * 1024 * 1024


@pytest.fixture
def box() -> Iterator[Namespace]:
    if shutil.which("avahi-daemon") is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.fail("needs root and: apt-get install --no-install-recommends iproute2 avahi-daemon")
    with namespaces(1) as (box,):
        yield box


@pytest.fixture
def machines(box: Namespace) -> Iterator[list[Machine]]:
    """Three, on cables that are not plugged in at the box."""
    with namespaces(3) as others:
        found = [Machine(other, box, number) for number, other in enumerate(others, 1)]
        for machine in found:
            machine.connect()
        yield found


async def all_verified(running: DaemonProcess, ids: set[str]) -> dict[str, ModuleView]:
    """The views of these modules, once all of them are verified."""

    def chosen(views: list[ModuleView]) -> list[ModuleView]:
        found = [view for view in views if verified(view) and view["hardware_id"] in ids]
        return found if len(found) == len(ids) else []

    return {view["hardware_id"] or "": view for view in await running.until(chosen)}


async def test_modules_are_found_on_every_network_whoever_announces_them(
    box: Namespace, machines: list[Machine], tmp_path: Path
) -> None:
    near, other, six = machines
    silent = ("--no-mdns", "--port", str(MODULE_PORT), "--address")
    async with AsyncExitStack() as stack, site(box, tmp_path) as station:
        ours = await stack.enter_async_context(near.modules(tmp_path, "--count", "3", "--address", near.address))
        ((theirs, pop),) = (await stack.enter_async_context(other.modules(tmp_path, *silent, other.address))).items()
        ((sixth, its_pop),) = (await stack.enter_async_context(six.modules(tmp_path, *silent, "::"))).items()
        station.pops = ours | {theirs: pop, sixth: its_pop}
        await stack.enter_async_context(avahi(other.namespace, tmp_path, theirs))
        await stack.enter_async_context(avahi(six.namespace, tmp_path, sixth, v4=False))
        near.come_up()
        running = await stack.enter_async_context(daemon(box, station))
        await all_verified(running, set(ours))
        # The other networks come up only now.
        other.come_up()
        six.come_up()
        views = await all_verified(running, {*ours, theirs, sixth})
    assert views[theirs]["routes"][0] == f"{other.address}:{MODULE_PORT}"
    (route,) = views[sixth]["routes"]
    assert route.startswith("[fe80::")
    assert route.endswith(f"%{six.interface}]:{MODULE_PORT}")
    assert all(view["carrier"] == "http" and not view["adopted"] for view in views.values())


async def answers_in(running: DaemonProcess) -> float:
    """Seconds that ``ucmctl status`` takes, the best of three."""
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert await running.ctl("status") is not None
        times.append(time.monotonic() - started)
    return min(times)


async def test_ten_thousand_announcements_leave_the_daemon_as_it_was(box: Namespace, tmp_path: Path) -> None:
    machine = Machine(box, box, 0)
    async with site(box, tmp_path) as station, AsyncExitStack() as stack:
        station.lan = 'interfaces = ["127.0.0.1"]'
        real = ("--count", "3", "--address", "127.0.0.1")
        async with machine.modules(tmp_path, *real) as station.pops:
            pass  # who they are stands in the manifest, which the daemon reads when it starts
        running = await stack.enter_async_context(daemon(box, station))
        await running.answering()
        before, memory = await answers_in(running), psutil.Process(running.process.pid).memory_info()
        flooding = await stack.enter_async_context(flood(box, STRANGERS, A_SECOND))
        await stack.enter_async_context(machine.modules(tmp_path, *real))
        during = await answers_in(running)
        await all_verified(running, set(station.pops))
        await flooding.wait()
        assert await answers_in(running) < 3 * before + 0.2
        after = psutil.Process(running.process.pid).memory_info()
    assert during < 5 * before + 1.0
    assert after.rss - memory.rss < GROWTH_MOST
