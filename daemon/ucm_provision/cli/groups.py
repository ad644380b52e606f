"""Modules in the order in which a person wants to hear of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from ucm_provision.core.errors import Code
from ucm_provision.wire import ModuleView

# A prefix that a person types is told apart by at least so many characters.
_PREFIX_SHORTEST = 8


class Group(Enum):
    """The most urgent first. The value is what is said of one module, and of several."""

    NEEDS_YOU = "needs you", "need you"
    APPROVAL = "waits for your approval", "wait for your approval"
    AT_WORK = "at work", "at work"
    WAITS = "waits, and goes on by itself", "wait, and go on by themselves"
    WELL = "verified", "verified"
    OVER = "left alone, or refused", "left alone, or refused"

    def heading(self, count: int) -> str:
        one, several = self.value
        return f"{count} {one if count == 1 else several}"


def group_of(module: ModuleView) -> Group:
    hold = module["hold"]
    if module["activity"]:
        return Group.AT_WORK
    if hold and hold["waits"] == "operator":
        return Group.APPROVAL if hold["code"] == Code.APPROVAL_NEEDED.value else Group.NEEDS_YOU
    if module["trouble"]:
        return Group.NEEDS_YOU
    if hold or module["appears_later"]:
        return Group.WAITS
    if module["milestone"] == "VERIFIED":
        return Group.WELL
    return Group.OVER if module["milestone"] in ("REJECTED", "CANCELLED") else Group.AT_WORK


def grouped(modules: Sequence[ModuleView]) -> Iterator[tuple[Group, list[ModuleView]]]:
    """Each group that has a module, and its modules by name."""
    found: dict[Group, list[ModuleView]] = {}
    for module in modules:
        found.setdefault(group_of(module), []).append(module)
    for group in Group:
        if group in found:
            yield group, sorted(found[group], key=_by_name)


def _by_name(module: ModuleView) -> tuple[bool, str, str]:
    return module["name"] is None, (module["name"] or "").casefold(), module["endpoint"]


def short_ids(modules: Sequence[ModuleView]) -> dict[str, str]:
    """For each module, by its session, the beginning of its hardware id that no other one of them has."""
    ids = sorted({_id(module) for module in modules} - {""})
    shortest = {}
    for index, hardware_id in enumerate(ids):
        beside = [*ids[max(index - 1, 0) : index], *ids[index + 1 : index + 2]]
        shared = max((_common(hardware_id, other) for other in beside), default=0)
        shortest[hardware_id] = hardware_id[: max(shared + 1, _PREFIX_SHORTEST)]
    return {module["session"]: shortest.get(_id(module), "") for module in modules}


def _id(module: ModuleView) -> str:
    return module["hardware_id"] or module["announced_id"] or ""


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
