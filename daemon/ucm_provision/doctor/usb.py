"""The serial ports that the checks speak of."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ucm_provision.discovery import adapters
from ucm_provision.discovery.adapters import Adapter
from ucm_provision.doctor.box import Box


@dataclass(frozen=True, slots=True)
class ModulePort:
    """A port that the daemon opens.

    Attributes:
        name: The name that the daemon knows it by.
        by_udev: udev marks it; otherwise ``usb.globs`` names it.
        node: Its device node, where that can be seen.
        adapter: What is known of it, where it is on USB.
    """

    name: str
    by_udev: bool
    node: os.stat_result | None
    adapter: Adapter | None


@cache
def adapters_of(box: Box) -> tuple[Adapter, ...]:  # noqa: ARG001 -- each box is looked at once
    """The serial ports on USB; none where there is no udev to ask."""
    try:
        return adapters.present()
    except (ImportError, OSError):
        return ()


@cache
def module_ports(box: Box) -> tuple[ModulePort, ...]:
    """The ports that the daemon opens when it runs. Each once, also where udev and a pattern both name it."""
    by_udev = box.settings.values.usb.udev
    marked = [_marked(adapter) for adapter in adapters_of(box) if by_udev and adapter.mark == "1"]
    numbers = {port.node.st_rdev for port in marked if port.node}
    named = [port for port in _named(box) if port.node and port.node.st_rdev not in numbers]
    return (*marked, *named)


def _marked(adapter: Adapter) -> ModulePort:
    return ModulePort(adapter.node, True, _node(Path(adapter.node)), adapter)


def _named(box: Box) -> Iterator[ModulePort]:
    patterns = box.settings.globs()
    known = {adapter.number: adapter for adapter in adapters_of(box)}
    for name in dict.fromkeys(name for pattern in patterns for name in sorted(Path("/").glob(pattern[1:]))):
        if node := _node(name):
            yield ModulePort(str(name), False, node, known.get(node.st_rdev))


def _node(path: Path) -> os.stat_result | None:
    try:
        node = path.stat()
    except OSError:
        return None
    return node if stat.S_ISCHR(node.st_mode) else None
