"""Modules on the LAN, all the way to verified: what each of them costs the daemon.

The daemon is a process of its own on a core of its own, and what it used is read from outside. Simulated
modules, site API and mosquitto share the other core. The arithmetic of SRP is measured apart, on the
daemon's core: every module takes two handshakes, one before Commit and one after.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import structlog

from tests.bench import srp
from tests.bench.result import Result
from tests.e2e.station import BIN, spawn
from tests.mosquitto.harness import mosquitto_running
from ucm_site_api import SiteApi

FEW, MANY = 100, 1000
HANDSHAKES = 2
# Milliseconds of the daemon's CPU for each module. Where SRP alone takes more than 15, what is beside it counts.
COST_LIMIT, SRP_USUAL, BESIDE_LIMIT = 35.0, 15.0, 20.0
MEMORY_LIMIT = 150.0  # MiB
GROWTH_LIMIT = 1.2
SSID, PASSPHRASE = "bench-plant", "correct horse battery"
DEADLINE = 400.0
POLL = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """``cpu``: the daemon's seconds; ``peak``: its resident memory at most, in MiB; ``seconds``: of the clock."""

    count: int
    cpu: float
    peak: float
    seconds: float
    devices: int

    @property
    def milliseconds(self) -> float:
        return 1000 * self.cpu / self.count


async def measure(folder: Path) -> list[Result]:
    """CPU and memory for a thousand modules, and how the cost of one grows with their number."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # the site API's own log
    few, many = await provision(folder / "few", FEW), await provision(folder / "many", MANY)
    handshakes = HANDSHAKES * _srp_milliseconds()
    beside = many.milliseconds - handshakes
    told = (
        f"{many.cpu:.1f} s for {many.count} modules in {many.seconds:.0f} s, {many.devices} devices; "
        f"SRP {handshakes:.1f} ms a module, beside it {beside:.1f}"
    )
    unusual = handshakes > SRP_USUAL
    return [
        Result("modules on the LAN, each one a device", told, many.devices / many.count, 1.0, at_most=False),
        Result("modules on the LAN, ms of CPU each", told, many.milliseconds, COST_LIMIT)
        if not unusual
        else Result("modules on the LAN, ms of CPU each beside SRP", told, beside, BESIDE_LIMIT),
        Result("modules on the LAN, peak memory in MiB", told, many.peak, MEMORY_LIMIT),
        Result(
            f"modules on the LAN, cost of one among {MANY} over that among {FEW}",
            f"{many.milliseconds:.1f} ms and {few.milliseconds:.1f} ms",
            many.milliseconds / few.milliseconds,
            GROWTH_LIMIT,
        ),
    ]


async def provision(folder: Path, count: int) -> Cost:
    """Brings ``count`` new modules to verified."""
    await asyncio.to_thread(folder.mkdir)
    daemons, others = _cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(_pinned(others))
        settings, _ = await stack.enter_async_context(mosquitto_running(folder))
        site = await stack.enter_async_context(SiteApi(settings))
        async with _modules(folder, count):
            pass  # who they are stands in the manifest, which the daemon reads when it starts
        daemon = await stack.enter_async_context(_daemon(folder, site, daemons))
        await _until_verified(folder / "control.sock", 0)
        before, started = daemon.cpu_times(), time.monotonic()
        await stack.enter_async_context(_modules(folder, count))
        await _until_verified(folder / "control.sock", count)
        after, seconds = daemon.cpu_times(), time.monotonic() - started
        devices = len(await site.devices())
        peak = _peak_mib(daemon.pid)
    cpu = after.user + after.system - before.user - before.system
    return Cost(count, cpu, peak, seconds, devices)


def _cores() -> tuple[set[int], set[int]]:
    """The daemon's core, and the other ones; on a single core they share it."""
    first, *rest = sorted(os.sched_getaffinity(0) | set(range(os.cpu_count() or 1)))
    return {first}, set(rest) or {first}


@contextmanager
def _pinned(cores: set[int]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile; what comes after it has all cores again."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _srp_milliseconds() -> float:
    with _pinned(_cores()[0]):
        return srp.handshake_milliseconds()


@asynccontextmanager
async def _modules(folder: Path, count: int) -> AsyncIterator[None]:
    """The same ones each time. Their manifest is complete when this yields."""
    (folder / "modules.log").unlink(missing_ok=True)
    arguments = ["lan", "--count", str(count), "--address", "127.0.0.1", "--telemetry", "0"]
    arguments += ["--seed", str(folder), "--network", f"{SSID}={PASSPHRASE}", "--manifest", str(folder / "modules.csv")]
    process = await spawn("ucm-sim", *arguments, log=folder / "modules.log")
    try:
        async with asyncio.timeout(DEADLINE):
            while b"ready:" not in await asyncio.to_thread((folder / "modules.log").read_bytes):  # noqa: ASYNC110
                await asyncio.sleep(POLL)
        yield
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _daemon(folder: Path, site: SiteApi, cores: set[int]) -> AsyncIterator[psutil.Process]:
    """Pinned before it does anything: threads inherit it."""
    (folder / "passphrase").write_text(PASSPHRASE)
    (folder / "ucm-provision.toml").write_text(_configuration(site))
    with _pinned(cores):
        log = folder / "daemon.log"
        process = await spawn("ucm-provisiond", "--config", str(folder / "ucm-provision.toml"), log=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def _configuration(site: SiteApi) -> str:
    port = site.url.rpartition(":")[2]
    return f"""
[site]
manifest = "modules.csv"
[box]
id = "bench-box"
[api]
url = "{site.url}"
token_file = "{site.token_file.absolute()}"
[broker]
witness = "{site.witness_file.absolute()}"
[usb]
udev = false
[lan]
interfaces = ["127.0.0.1"]
[[wifi]]
ssid = "{SSID}"
passphrase_file = "passphrase"
[override]
time_sync = {{ protocol = "HTTP", host = "127.0.0.1", port = {port} }}
[control]
socket = "control.sock"
[state]
dir = "state"
"""


async def _until_verified(socket: Path, count: int) -> None:
    """Others may announce themselves on this machine's loopback meanwhile: they are not counted."""
    async with asyncio.timeout(DEADLINE):
        while await _verified(socket) < count:  # noqa: ASYNC110 -- another process has no event for us
            await asyncio.sleep(POLL)


async def _verified(socket: Path) -> int:
    """What ``ucmctl status`` counts; less than none while the daemon does not answer yet."""
    command = (BIN / "ucmctl", "--socket", socket, "status", "--json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    if process.returncode != 0:
        return -1
    verified: int = json.loads(out)["modules"].get("VERIFIED", 0)
    return verified


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell the peak")
