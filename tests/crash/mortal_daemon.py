"""The daemon, with a place where it dies: run as `python -m tests.crash.mortal_daemon CONFIG POINTS DIE_AT`.

Every journal append and every effect on module or API is a point, before and after it. The process writes
each point that it comes to into the file POINTS and kills itself, as `kill -9` does, at number DIE_AT (from 1;
0: never).
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ucm_provision import service
from ucm_provision.cloud.provisioning import HttpProvisioningApi
from ucm_provision.host import config
from ucm_provision.link.session import SecureLink
from ucm_provision.site.expected import ExpectedModules
from ucm_provision.store.journal import Journal

EFFECTS = [
    (Journal, "append"),
    (Journal, "keep_order"),
    (HttpProvisioningApi, "provision"),
    (HttpProvisioningApi, "rename"),
    (ExpectedModules, "put"),
    *((SecureLink, name) for name in ("reserve", "begin", "chunk", "commit")),
]


class Fate:
    """Counts the points and ends the process at the one that was chosen."""

    def __init__(self, points: Path, die_at: int) -> None:
        self._points = points.open("a", buffering=1)
        self._count = 0
        self._die_at = die_at

    def come_to(self, point: str) -> None:
        self._count += 1
        self._points.write(f"{point}\n")
        if self._count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def threaten(self, owner: type, name: str) -> None:
        """Makes a point before and after each call of the method."""
        method: Callable[..., Awaitable[Any]] = getattr(owner, name)

        @functools.wraps(method)
        async def mortal(*arguments: Any, **options: Any) -> Any:
            what = f"{name} {type(arguments[2]).__name__}" if name == "append" else name
            self.come_to(f"before {what}")
            result = await method(*arguments, **options)
            self.come_to(f"after {what}")
            return result

        setattr(owner, name, mortal)


def main() -> None:
    configuration, points, die_at = sys.argv[1:]
    fate = Fate(Path(points), int(die_at))
    for owner, name in EFFECTS:
        fate.threaten(owner, name)
    asyncio.run(service.serve_until_stopped(config.load(Path(configuration))))


if __name__ == "__main__":
    main()
