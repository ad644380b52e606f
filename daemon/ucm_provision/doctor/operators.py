"""May the person who asks speak to the daemon?"""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ucm_provision.core.errors import Code
from ucm_provision.doctor.account import ownership, user_name
from ucm_provision.doctor.box import OPERATORS, RESTART_WITH_SOCKET, Box
from ucm_provision.doctor.finding import Finding, ok, problem, warn

_CHECK = "operators"


@dataclass(frozen=True, slots=True)
class Person:
    """
    Attributes:
        is_root: Root is let in whatever its groups.
        reaches: This process may open the control socket.
        closed: Whose the socket is, where it is there and does not let this process in.
        exists: There is the operators' group.
        is_listed: The group's list has the person.
        is_member: This sign-in of the person's is in the group; None: that is another process's matter (sudo).
    """

    name: str
    is_root: bool
    reaches: bool
    closed: str
    exists: bool
    is_listed: bool
    is_member: bool | None


def check(box: Box) -> Iterator[Finding]:
    yield judge(_observe(box))


def _observe(box: Box) -> Person:
    behind_sudo = os.environ.get("SUDO_USER") if box.is_root else None
    behind_sudo = None if behind_sudo == "root" else behind_sudo
    name = behind_sudo or user_name(os.geteuid())
    reaches = os.access(box.control, os.R_OK | os.W_OK, effective_ids=True)
    try:
        group = grp.getgrnam(OPERATORS)
    except KeyError:
        group = None
    return Person(
        name=name,
        is_root=box.is_root and not behind_sudo,
        reaches=reaches and not behind_sudo,
        closed="" if reaches else _ownership(Path(box.control)),
        exists=group is not None,
        is_listed=group is not None and name in group.gr_mem,
        is_member=None if behind_sudo or group is None else group.gr_gid in os.getgroups(),
    )


def _ownership(socket: Path) -> str:
    try:
        return ownership(socket.stat())
    except OSError:
        return ""


def judge(person: Person) -> Finding:
    if person.is_root:
        return ok(_CHECK, f"You are root, who may ask the daemon anything; others need the group {OPERATORS}.")
    if person.reaches:
        return ok(_CHECK, f"You ({person.name}) may speak to the daemon.")
    if not person.exists:
        return problem(
            _CHECK,
            f"The group {OPERATORS} does not exist, so only root may speak to the daemon.",
            mend=f"sudo systemd-sysusers && sudo usermod -aG {OPERATORS} {person.name}",
            code=Code.DAEMON_UNREACHABLE,
        )
    if not person.is_listed and not person.is_member:
        tell = warn if person.is_member is None else problem
        return tell(
            _CHECK,
            f"{person.name} is not in the group {OPERATORS}, and may not speak to the daemon without sudo.",
            "After the command, sign out and in again.",
            mend=f"sudo usermod -aG {OPERATORS} {person.name}",
            code=Code.DAEMON_UNREACHABLE,
        )
    if person.is_member is False:
        return problem(
            _CHECK,
            f"{person.name} was added to the group {OPERATORS} after signing in, so this session is not in it yet.",
            "Sign out and in again; the command does it for this terminal only.",
            mend=f"newgrp {OPERATORS}",
            code=Code.DAEMON_UNREACHABLE,
        )
    if person.closed:
        return problem(
            _CHECK,
            f"{person.name} is in the group {OPERATORS}, but the daemon's socket is {person.closed}.",
            "The daemon was started before the group was made, or somebody changed the socket's rights.",
            mend=RESTART_WITH_SOCKET,
            code=Code.DAEMON_UNREACHABLE,
        )
    return ok(_CHECK, f"{person.name} is in the group {OPERATORS}.")
