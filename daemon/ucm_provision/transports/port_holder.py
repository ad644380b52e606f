"""Who has a device node open, as far as this process may see."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_NAME_LONGEST = 32


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has ``address`` open."""

    address: str
    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def holder_of(address: str) -> str | None:
    """Name and process id of another process that has ``address`` open; None when nobody is found."""
    return next(map(str, holders_of([address])), None)


def holders_of(addresses: Iterable[str], proc: Path = _PROC) -> Iterator[Holder]:
    """The other processes that have any of ``addresses`` open.

    Reads all of /proc, so not for the event loop. The file descriptors of other users' processes can only be
    read with privileges.
    """
    nodes = {os.path.realpath(address): address for address in addresses}
    for process in proc.iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            for node in _opened(process) & nodes.keys():
                yield Holder(nodes[node], int(process.name), _name(process))


def _opened(process: Path) -> set[str]:
    try:
        return {str(fd.readlink()) for fd in (process / "fd").iterdir()}
    except OSError:  # it has ended meanwhile, or is somebody else's
        return set()


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
    return "".join(c if c.isprintable() else "?" for c in name[:_NAME_LONGEST])
