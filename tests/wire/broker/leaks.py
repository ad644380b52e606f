"""What a piece of work leaves behind: descriptors, threads, tasks."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


def _descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")  # noqa: PTH115 -- sockets are no paths
        except FileNotFoundError:
            continue  # the listing's own
    return found


def _threads() -> set[str]:
    # The loop's executor keeps its threads for the next one who wants any.
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fails unless all is gone soon after the body: the other end of a connection needs a moment to notice."""
    before = _descriptors(), _threads(), _tasks()
    yield
    left: tuple[set[str], set[str], set[asyncio.Task[object]]] = set(), set(), set()
    try:
        async with asyncio.timeout(2):
            # Nothing announces that a descriptor is closed.
            while any(left := (_descriptors() - before[0], _threads() - before[1], _tasks() - before[2])):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"left behind: {left}") from None
