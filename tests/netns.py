"""Machines of their own on a network of their own: network namespaces and cables between them. Needs root."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "ucm-test"
_numbers = itertools.count()
_DEADLINE = 20.0


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=_DEADLINE)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A machine: its interfaces, addresses and sockets are nobody else's. Its loopback interface is up."""

    name: str

    @classmethod
    def create(cls) -> Namespace:
        """The name holds the process that made it, so that what a killed run leaves behind is known as such."""
        namespace = cls(f"{_PREFIX}-{os.getpid()}-{next(_numbers)}")
        _ip("netns", "add", namespace.name)
        namespace.ip("link", "set", "lo", "up")
        return namespace

    def remove(self) -> None:
        """With everything that still runs in it, and its cables."""
        for process in _ip("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), 9)
        _ip("netns", "delete", self.name)

    def ip(self, *arguments: str) -> str:
        """What ``ip`` prints there."""
        return _ip("-netns", self.name, *arguments)

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` there. Its mounts are its own too."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*command), capture_output=True, text=True, check=True, timeout=_DEADLINE)

    @asynccontextmanager
    async def running(self, *command: str, **options: int) -> AsyncIterator[asyncio.subprocess.Process]:
        """Runs ``command`` there; it is asked to end at the end, and waited for."""
        process = await asyncio.create_subprocess_exec(*self.command(*command), **options)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait_for(process.communicate(), _DEADLINE)


def cable(one: Namespace, interface: str, other: Namespace, other_interface: str) -> None:
    """Connects them. Both interfaces are down and without addresses."""
    one.ip("link", "add", interface, "type", "veth", "peer", "name", other_interface, "netns", other.name)


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """So many machines without a connection, removed at the end whatever happens."""
    _sweep()
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(Namespace.create())
            stack.callback(made[-1].remove)
        yield made


def _sweep() -> None:
    """Removes what runs that were killed have left behind."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(_PREFIX) and not Path("/proc", name.split("-")[-2]).exists():
            with contextlib.suppress(RuntimeError):  # somebody else sweeps too
                Namespace(name).remove()
