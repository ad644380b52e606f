"""What holds for every test: it leaves nothing behind, and it runs in the tier that was asked for."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

_UNIT_TIER = "unit"
# The serial transport opens and closes ports on a small pool that lives as long as the process.
_PROCESS_WIDE = "serial_"
# aiohttp ends the task of a connection that its client has closed in the background.
_MOMENT = 1.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_TIER=unit leaves out what needs system packages. Nothing is ever skipped silently."""
    if os.environ.get("TEST_TIER") != _UNIT_TIER:
        return
    left_out = [item for item in items if item.get_closest_marker("system")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("system")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Compares threads and descriptors from before a test's first fixture to after its last one."""
    before = _held()
    result = yield
    leaked = _leaked(before)
    if leaked and not item.session.shouldfail:
        item.session.shouldfail = f"{item.nodeid} left behind: {'; '.join(sorted(leaked))}"
    return result


def _held() -> dict[str, str]:
    threads = {
        f"thread {thread.ident}": thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith(_PROCESS_WIDE)
    }
    return threads | _descriptors()


def _descriptors() -> dict[str, str]:
    """Open descriptors by number and target; those that the interpreter opens once for itself are not counted."""
    descriptors = {}
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = str(Path(entry.path).readlink())
        except FileNotFoundError:  # the scan's own
            continue
        if not target.startswith(("/dev/urandom", "/dev/null", "/proc/")):
            descriptors[f"descriptor {entry.name}"] = target
    return descriptors


def _leaked(before: dict[str, str]) -> set[str]:
    held = _held()
    if held.keys() - before.keys():
        gc.collect()  # what only waits to be collected is not leaked
        held = _held()
    return {f"{name} ({what})" for name, what in held.items() if before.get(name) != what}


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest) -> None:
    if asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    """A task that outlives its test would be cancelled silently with the loop."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    if left:  # what is about to end by itself gets the moment that it needs
        _, left = await asyncio.wait(left, timeout=_MOMENT)
    assert not left, f"tasks left running: {left}"
