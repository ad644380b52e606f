"""Seals networks, and dies: run with the state folder, the networks' names, and the step at which to die (0: never).

Steps are counted before and after each call that changes something on the disk; the number of all of them is printed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ucm_provision import private_file
from ucm_provision.core.model import WifiNetwork
from ucm_provision.store.sealed import SealedStore

FOLDER, NAMES, DIE_AT = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
steps = 0


def step() -> None:
    global steps  # noqa: PLW0603
    steps += 1
    if steps == DIE_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        step()
        result = call(*arguments)
        step()
        return result

    return wrapped


class MortalPath(type(FOLDER)):  # type: ignore[misc]
    replace = mortal(Path.replace)
    unlink = mortal(Path.unlink)


async def main() -> None:
    store = await SealedStore.open(MortalPath(FOLDER), None)
    private_file.os.open = mortal(os.open)  # type: ignore[attr-defined]
    private_file.os.fsync = mortal(os.fsync)  # type: ignore[attr-defined]
    await store.keep_networks(tuple(WifiNetwork(name) for name in NAMES))
    print(steps)


asyncio.run(main())
