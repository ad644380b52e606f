"""Modules on the LAN, all the way to verified: what each of them costs the daemon.

The arithmetic of SRP is measured apart, on the daemon's core: every module takes two handshakes, one before Commit and
one after.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from tests.bench import srp
from tests.bench.many import cores, daemon, modules, pinned, plant, until_verified
from tests.bench.result import Result

FEW, MANY = 100, 1000
HANDSHAKES = 2
# Milliseconds of the daemon's CPU for each module. Where SRP alone takes more than 15, what is beside it counts.
COST_LIMIT, SRP_USUAL, BESIDE_LIMIT = 35.0, 15.0, 20.0
MEMORY_LIMIT = 150.0  # MiB
GROWTH_LIMIT = 1.2


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
    daemons, others = cores()
    with pinned(others):
        async with plant(folder, count) as site, daemon(folder, site, daemons) as process:
            await until_verified(folder / "control.sock", 0)
            before, started = process.cpu_times(), time.monotonic()
            async with modules(folder, count):
                await until_verified(folder / "control.sock", count)
                after, seconds = process.cpu_times(), time.monotonic() - started
            devices, peak = len(await site.devices()), _peak_mib(process.pid)
    cpu = after.user + after.system - before.user - before.system
    return Cost(count, cpu, peak, seconds, devices)


def _srp_milliseconds() -> float:
    with pinned(cores()[0]):
        return srp.handshake_milliseconds()


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell the peak")
