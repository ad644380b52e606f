"""Tells on standard output what discovery sees, a JSON object a line, until standard input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from ucm_provision.core import policy
from ucm_provision.core.model import Sighting
from ucm_provision.discovery.ports import watching
from ucm_provision.host import logs
from ucm_provision.host.clock import SystemClock


def say(sentence: str) -> None:
    print(sentence, flush=True)


async def sight(sighting: Sighting) -> None:
    endpoint = sighting.endpoint
    name = endpoint.address.removeprefix("/dev/")
    say(json.dumps({"name": name, "present": sighting.present, "key": endpoint.key, "driver": endpoint.driver}))


def sockets() -> set[str]:
    """What is open, by inode: events come over a socket."""
    targets = {str(entry.resolve().name) for entry in Path("/proc/self/fd").iterdir()}
    return {target for target in targets if target.startswith("socket:")}


async def watch(patterns: list[str]) -> None:
    before = sockets()
    async with watching(patterns, SystemClock(), by_udev=True) as ports:
        say("looking")
        await ports.look(sight)
        running = asyncio.ensure_future(ports.run(sight))
        await asyncio.to_thread(sys.stdin.read)
        assert sockets() - before
        running.cancel()
        await asyncio.wait([running])
    say(f"left open: {len(sockets() - before)}")


patterns = sys.argv[1:]
if "--rescan" in patterns:
    patterns.remove("--rescan")
else:  # only events count: looking again and again would find everything, too, and hide that none came
    policy.UDEV_RESCAN_EVERY = 600.0
logs.configure("info")
asyncio.run(watch(patterns))
