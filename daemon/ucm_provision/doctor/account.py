"""Whose rights count: the service's user, and whether a file or device lets it in."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

READ, WRITE, ENTER = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the kernel sees it. Access control lists are not looked at."""

    name: str
    uid: int
    groups: frozenset[int]

    def may(self, node: os.stat_result, wanted: int) -> bool:
        """Whether the mode of ``node`` allows ``wanted``, of READ, WRITE and ENTER."""
        if self.uid == 0:
            return True
        shift = 6 if node.st_uid == self.uid else 3 if node.st_gid in self.groups else 0
        return node.st_mode >> shift & wanted == wanted

    def obstacle(self, path: Path, wanted: int = READ) -> Path | None:
        """What keeps the user from ``path``: a folder above it, or the file itself. None: nothing does.

        Raises:
            OSError: it is not there, or we ourselves may not look.
        """
        whole = path.resolve(strict=True)
        folders = [each for each in reversed(whole.parents) if not self.may(each.stat(), ENTER)]
        return next(iter(folders), None if self.may(whole.stat(), wanted) else whole)


def by_name(name: str, group: str = "", more: Iterable[str] = ()) -> Account | None:
    """The user as the system's databases have it, run in ``group`` with ``more`` groups; None: there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    primary = group_id(group) if group else entry.pw_gid
    groups = {*os.getgrouplist(name, entry.pw_gid), primary, *map(group_id, more)}
    return Account(name, entry.pw_uid, frozenset(each for each in groups if each is not None))


def of_process(status: str) -> Account:
    """The user that a process runs as, from the text of its ``/proc/PID/status``."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    uid, gid = int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])
    return Account(user_name(uid), uid, frozenset({gid, *map(int, fields["Groups"].split())}))


def group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def ownership(node: os.stat_result) -> str:
    """Owner, group and mode as people write them: ``root:dialout, mode 0660``."""
    return f"{user_name(node.st_uid)}:{group_name(node.st_gid)}, mode {stat.S_IMODE(node.st_mode):04o}"
