"""The user that the daemon runs as."""

from __future__ import annotations

from collections.abc import Iterator

from ucm_provision.doctor.account import group_name
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped

_CHECK = "user"


def check(box: Box) -> Iterator[Finding]:
    if box.account:
        groups = ", ".join(sorted(map(group_name, box.account.groups)))
        yield ok(_CHECK, f"The daemon's user is {box.account.name}, in the groups {groups}.")
    elif box.unit.get("LoadState") == "loaded":
        yield problem(
            _CHECK,
            f"The daemon's user {box.service_user} does not exist.",
            "udev leaves the modules' ports to other groups until it does.",
            mend="sudo systemd-sysusers && sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=tty",
        )
    else:
        yield skipped(_CHECK, f"No daemon runs, and there is no user {box.service_user} to run it.")
