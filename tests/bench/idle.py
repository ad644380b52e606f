"""A site on which nothing happens: what the daemon costs while a thousand modules announce themselves.

They live by the lifetime that real responders give their records, 120 s, and say again who they are before it ends.
The daemon is measured as it is found most of the time (started with everything verified in its journal), and in the
worst case: when it has just provisioned them all and nothing has given the memory back yet.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import structlog

from tests.bench.many import POLL, cores, daemon, modules, pinned, plant, until_verified
from tests.bench.result import Result
from tests.e2e.station import BIN, ucmctl

MANY = 1000
REANNOUNCE = 100.0
# Seconds: python-zeroconf asks four times within 14 s of its beginning; memory is given back twice, 30 s apart.
SETTLE = 75.0
WATCHED = 300.0
MEMORY_LIMIT = 90.0  # MB
CPU_LIMIT = 0.5  # percent of a core
COMMAND_LIMIT = 0.15  # seconds more than Python itself
RUNS = 21
DEADLINE = 120.0


async def measure(folder: Path) -> list[Result]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # the site API's own log
    daemons, others = cores()
    folder = folder / "site"
    with pinned(others):
        async with plant(folder, MANY) as site, modules(folder, MANY, reannounce=REANNOUNCE):
            async with daemon(folder, site, daemons) as process:
                await until_verified(folder / "control.sock", MANY)
                worst = await _watched(process, "after provisioning them all")
            async with daemon(folder, site, daemons) as process:
                await _until_present(folder / "control.sock")
                usual = await _watched(process, "started with them verified")
                command = await asyncio.to_thread(_command, folder / "control.sock")
    return [*usual, command, *worst]


async def _watched(process: psutil.Process, when: str) -> list[Result]:
    await asyncio.sleep(SETTLE)
    before, started = process.cpu_times(), time.monotonic()
    await asyncio.sleep(WATCHED)
    after, seconds = process.cpu_times(), time.monotonic() - started
    cpu = after.user + after.system - before.user - before.system
    resident = process.memory_info().rss / 1e6
    told = f"{cpu:.2f} s in {seconds:.0f} s, {MANY} modules announcing"
    return [
        Result(f"idle {when}, percent of a core", told, 100 * cpu / seconds, CPU_LIMIT),
        Result(f"idle {when}, resident memory in MB", told, resident, MEMORY_LIMIT),
    ]


async def _until_present(socket: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        while await _present(socket) < MANY:  # noqa: ASYNC110 -- another process has no event for us
            await asyncio.sleep(POLL)


async def _present(socket: Path) -> int:
    status, said = await ucmctl(socket, "list", "--json")
    return sum(module["present"] for module in json.loads(said)["modules"]) if status == 0 else 0


def _command(socket: Path) -> Result:
    """One after the other by turns, so that whatever else the machine does meets both."""
    status, nothing = [], []
    for _ in range(RUNS):
        status.append(_seconds(BIN / "ucmctl", "--socket", socket, "status"))
        nothing.append(_seconds(sys.executable, "-c", "pass"))
    mine, bare = statistics.median(status), statistics.median(nothing)
    told = f"{mine:.3f} s and {bare:.3f} s, medians of {RUNS}"
    return Result("ucmctl status, seconds more than python -c pass", told, mine - bare, COMMAND_LIMIT)


def _seconds(*command: str | Path) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    return time.monotonic() - started
