"""Who has a device node open, as far as this process may see."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_NAME_LONGEST = 32


def holder_of(address: str) -> str | None:
    """Name and process id of another process that has ``address`` open.

    Reads all of /proc, so not for the event loop. None when nobody is found: the file descriptors
    of other users' processes can only be read with privileges.
    """
    node = os.path.realpath(address)
    for process in _PROC.iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()) and _has_open(process, node):
            return f"{_name(process)} (process {process.name})"
    return None


def _has_open(process: Path, node: str) -> bool:
    try:
        return any(str(fd.readlink()) == node for fd in (process / "fd").iterdir())
    except OSError:  # it has ended meanwhile, or is somebody else's
        return False


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
    return "".join(c if c.isprintable() else "?" for c in name[:_NAME_LONGEST])
