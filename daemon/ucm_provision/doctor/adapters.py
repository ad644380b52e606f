"""USB serial adapters that are there, and that nobody has said anything about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ucm_provision.discovery.adapters import Adapter
from ucm_provision.doctor import rules
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, warn
from ucm_provision.doctor.usb import adapters_of, module_ports

_CHECK = "adapters"


def check(box: Box) -> Iterator[Finding]:
    taken = {port.adapter for port in module_ports(box)}
    unmarked = [each for each in adapters_of(box) if each.is_settled and not each.mark and each not in taken]
    yield from judge(unmarked, rules.marked_ids(box.root))


def judge(unmarked: Sequence[Adapter], known: Collection[tuple[str, str]]) -> Iterator[Finding]:
    """
    Args:
        unmarked: Adapters that udev says nothing of.
        known: The USB ids that the installed rule marks.
    """
    if not unmarked:
        yield ok(_CHECK, "No USB serial adapter is left over.")
    for adapter in unmarked:
        yield _overlooked(adapter) if adapter.ids in known else _unknown(adapter)


def _overlooked(adapter: Adapter) -> Finding:
    return problem(
        _CHECK,
        f"{adapter.node} ({adapter.title}) is an adapter of UCM kits, but is not marked as a module's.",
        "It was plugged in before the rule was installed, or udev has not read the rule yet.",
        mend=f"sudo udevadm control --reload && sudo udevadm trigger {adapter.node}",
    )


def _unknown(adapter: Adapter) -> Finding:
    return warn(
        _CHECK,
        f"{adapter.node} ({adapter.title}) is not known to be a module's, so the daemon leaves it alone.",
        "If a module hangs there, the command prints the udev rule for it. If not, all is well.",
        mend="ucmctl suggest",
    )
