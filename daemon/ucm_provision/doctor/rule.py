"""Is the udev rule that marks modules' ports installed, and is it the one that counts?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ucm_provision.doctor import rules
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn

_CHECK = "rule"
_MARK = "ID_UCM"
_RELOAD = "sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=tty"


def check(box: Box) -> Iterator[Finding]:
    if not box.settings.values.usb.udev:
        yield ok(_CHECK, "udev is not asked (usb.udev = false): the ports that usb.globs names count.")
    elif box.is_container:
        yield skipped(_CHECK, "In a container: the rule belongs to the machine around it. Ask ucmctl doctor there.")
    else:
        yield judge(rules.named(box.root, rules.OURS))
        yield from _early(box)


def judge(files: list[Path]) -> Finding:
    """``files``: those with the rule's name, the one that counts first."""
    if not files:
        return problem(
            _CHECK,
            f"{rules.OURS} is not installed, so no port is known to be a module's.",
            "The package brings it; without the package: hardware/udev/ of the repository, to /usr/lib/udev/rules.d/.",
            mend="sudo apt install --reinstall ./ucm-provisiond_*.deb",
        )
    first, *others = files
    if _MARK in rules.text(first):
        return ok(_CHECK, f"{first} marks modules' ports" + (f", in place of {others[0]}." if others else "."))
    if others:
        return problem(
            _CHECK,
            f"{first} marks no port, and being of the same name it switches {others[0]} off.",
            mend=f"sudo rm {first} && {_RELOAD}",
        )
    return problem(
        _CHECK, f"{first} marks no port as a module's.", mend="sudo apt install --reinstall ./ucm-provisiond_*.deb"
    )


def _early(box: Box) -> Iterator[Finding]:
    """A site's exceptions that are read too early have no effect: our rule sets the mark after them."""
    for file in rules.in_force(box.root):
        if file.name < rules.OURS and _MARK in rules.text(file):
            yield warn(
                _CHECK,
                f"{file} speaks of {_MARK}, but is read before {rules.OURS}, which has the last word.",
                mend=f"sudo mv {file} {file.with_name(rules.SITE)} && {_RELOAD}",
            )
