"""Serial ports that appear and vanish, found by looking again and again.

Works without udev, in containers too: every name that matches a pattern and is a character device
is a port where a module may hang.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum, auto
from pathlib import Path

from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, Endpoint, Sighting
from ucm_provision.core.ports import Clock

Sight = Callable[[Sighting], Awaitable[None]]


class Claim(Enum):
    """What somebody else who finds ports says about a device node."""

    NONE = auto()
    UNDECIDED = auto()
    TAKEN = auto()


def nobody_claims(_number: int) -> Claim:
    return Claim.NONE


class StaticPorts:
    """Watches the absolute names that match any of ``patterns`` (shell wildcards), in the order given.

    A device node is one endpoint, however many names it has: the name it was first seen under. Its
    key is its resolved path, device number and change time, so a node that was made anew at the same
    address is a new plug. A node that another finder has is left to it: ``claim`` (called in a thread)
    tells for a device number.
    """

    def __init__(self, patterns: Sequence[str], clock: Clock, claim: Callable[[int], Claim] = nobody_claims) -> None:
        self._patterns = tuple(patterns)
        self._clock = clock
        self._claim = claim
        self._present: dict[str, Endpoint] = {}

    async def look(self, sight: Sight) -> None:
        """Reports what has changed since the last look; the first one reports all that is there."""
        names = await asyncio.to_thread(self._names_by_key)
        for sighting in self._changes(names):
            await sight(sighting)

    async def run(self, sight: Sight) -> None:
        """Looks again and again, for ever if there is any pattern. Departures come before arrivals."""
        while self._patterns:
            await self.look(sight)
            await self._clock.sleep(policy.RESCAN_EVERY)

    def _changes(self, names: dict[str, list[str]]) -> Iterable[Sighting]:
        gone = [known for key, known in self._present.items() if known.address not in names.get(key, ())]
        for endpoint in gone:
            del self._present[endpoint.key]
            yield Sighting(endpoint, present=False)
        for key in names:
            if key not in self._present and len(self._present) < policy.SIGHTINGS_KEPT:
                self._present[key] = Endpoint(Carrier.SERIAL, names[key][0], key)
                yield Sighting(self._present[key], present=True)

    def _names_by_key(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for pattern in self._patterns:
            for name in sorted(map(str, Path("/").glob(pattern.removeprefix("/")))):
                if key := self._key(name):
                    names.setdefault(key, []).append(name)
        return names

    def _key(self, name: str) -> str | None:
        """None for what is no port, not yet one, or somebody else's."""
        try:
            node = Path(name).stat()
        except OSError:  # gone between the listing and the look
            return None
        if not stat.S_ISCHR(node.st_mode):
            return None
        claim = self._claim(node.st_rdev)
        if claim is Claim.TAKEN or (self._is_fresh(node) and self._is_unready(name, claim)):
            return None
        return f"{os.path.realpath(name)}:{node.st_rdev}:{node.st_ctime_ns}"

    def _is_fresh(self, node: os.stat_result) -> bool:
        return 0 <= self._clock.now() - node.st_ctime < policy.OPEN_RETRY

    def _is_unready(self, name: str, claim: Claim) -> bool:
        """udev sets a new node's rights, and says what it is, only after the kernel has made it."""
        return claim is Claim.UNDECIDED or not os.access(name, os.R_OK | os.W_OK)
