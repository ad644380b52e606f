"""A thousand simulated modules on the LAN, with all that they need, and a daemon in a process of its own.

The daemon has a core of its own, so that what it uses can be read from outside. Simulated modules, site API and
mosquitto share the other core.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from tests.e2e.station import BIN, spawn
from tests.mosquitto.harness import mosquitto_running
from ucm_site_api import SiteApi

SSID, PASSPHRASE = "bench-plant", "correct horse battery"
DEADLINE = 400.0
POLL = 1.0


def cores() -> tuple[set[int], set[int]]:
    """The daemon's core, and the other ones; on a single core they share it."""
    first, *rest = sorted(os.sched_getaffinity(0) | set(range(os.cpu_count() or 1)))
    return {first}, set(rest) or {first}


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile; what comes after it has all cores again."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def plant(folder: Path, count: int) -> AsyncIterator[SiteApi]:
    """A site whose manifest has so many modules; :func:`modules` switches them on. All of it off the daemon's core."""
    await asyncio.to_thread(folder.mkdir)
    async with mosquitto_running(folder) as (settings, _), SiteApi(settings) as site:
        async with modules(folder, count):
            pass  # who they are stands in the manifest, which the daemon reads when it starts
        yield site


@asynccontextmanager
async def modules(folder: Path, count: int, *, reannounce: float = 0.0) -> AsyncIterator[None]:
    """The same ones each time. Their manifest is complete when this yields. Their records live for 120 s.

    ``reannounce``: how often each says again who it is, in seconds; 0: only when it is asked.
    """
    (folder / "modules.log").unlink(missing_ok=True)
    arguments = ["lan", "--count", str(count), "--address", "127.0.0.1", "--telemetry", "0"]
    arguments += ["--seed", str(folder), "--network", f"{SSID}={PASSPHRASE}", "--manifest", str(folder / "modules.csv")]
    arguments += ["--reannounce", str(reannounce)]
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
async def daemon(folder: Path, site: SiteApi, core: set[int]) -> AsyncIterator[psutil.Process]:
    """Pinned before it does anything: threads inherit it."""
    (folder / "passphrase").write_text(PASSPHRASE)
    (folder / "ucm-provision.toml").write_text(configuration(site))
    with pinned(core):
        log = folder / "daemon.log"
        process = await spawn("ucm-provisiond", "--config", str(folder / "ucm-provision.toml"), log=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def configuration(site: SiteApi) -> str:
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


async def until_verified(socket: Path, count: int) -> None:
    """Others may announce themselves on this machine's loopback meanwhile: they are not counted."""
    async with asyncio.timeout(DEADLINE):
        while await verified(socket) < count:  # noqa: ASYNC110 -- another process has no event for us
            await asyncio.sleep(POLL)


async def verified(socket: Path) -> int:
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
