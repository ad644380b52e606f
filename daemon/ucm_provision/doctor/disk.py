"""Is there room for what the daemon must write down?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, warn

_CHECK = "disk"
_MEGABYTE = 1024 * 1024
# Some months of a busy site's journal.
_SCARCE = 50 * _MEGABYTE
_FILES_SCARCE = 1000
_MAKE_ROOM = "sudo journalctl --vacuum-size=50M && sudo apt-get clean"


@dataclass(frozen=True, slots=True)
class Room:
    """
    Attributes:
        path: Whose file system it is.
        free: Bytes that are left for others than root.
        files: How many more files there may be; None: as many as fit.
    """

    path: Path
    free: int
    files: int | None
    is_read_only: bool


def check(box: Box) -> Iterator[Finding]:
    yield judge(observe(box.state))


def observe(folder: Path) -> Room:
    """``folder`` need not be there yet."""
    path = next(each for each in (folder, *folder.parents) if _exists(each))
    told = os.statvfs(path)
    return Room(
        path,
        free=told.f_bavail * told.f_frsize,
        files=told.f_favail if told.f_files else None,
        is_read_only=bool(told.f_flag & os.ST_RDONLY),
    )


def _exists(path: Path) -> bool:
    """Also true of what we may not look into."""
    try:
        os.statvfs(path)
    except OSError:
        return False
    return True


def judge(room: Room) -> Finding:
    if room.is_read_only:
        return problem(
            _CHECK,
            f"The file system with {room.path} is read-only, so nothing can be written down.",
            "Usually a power cut or a worn SD card: sudo dmesg | tail tells. If the command fails, reboot.",
            mend=f'sudo mount -o remount,rw "$(findmnt -no TARGET -T {quote(str(room.path))})"',
            code=Code.JOURNAL_UNUSABLE,
        )
    if room.free < policy.JOURNAL_ROOM or room.files == 0:
        return problem(
            _CHECK,
            f"The disk with {room.path} is full: {_left(room)}.",
            "What takes the room: sudo du -xhd1 / | sort -h",
            mend=_MAKE_ROOM,
            code=Code.DISK_FULL,
        )
    if room.free < _SCARCE or (room.files is not None and room.files < _FILES_SCARCE):
        return warn(_CHECK, f"The disk with {room.path} is nearly full: {_left(room)}.", mend=_MAKE_ROOM)
    return ok(_CHECK, f"{_left(room)} for {room.path}.")


def _left(room: Room) -> str:
    free = f"{room.free / _MEGABYTE:.1f} MB" if room.free < 10 * _MEGABYTE else f"{room.free // _MEGABYTE} MB"
    return f"{free} free" + ("" if room.files is None or room.files >= _FILES_SCARCE else f", {room.files} files more")
