"""The event stream as a person or a program wants to see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ucm_provision.cli.text import list_text, state
from ucm_provision.wire import ModuleView

_CLEAR = "\033[H\033[2J"


class Watcher:
    """Keeps the modules current; yields what to print for each event.

    ``clear``: draw the whole table anew, for a terminal; else a line for each change.
    """

    def __init__(self, *, as_json: bool, clear: bool) -> None:
        self._as_json = as_json
        self._clear = clear
        self._modules: dict[str, ModuleView] = {}
        self._told: dict[str, str] = {}

    def see(self, name: str, data: Any) -> Iterator[str]:
        if name == "alive":
            return
        if self._as_json:
            yield json.dumps({"event": name, "data": data}, ensure_ascii=False)
            return
        if name not in ("snapshot", "module"):
            return
        changed: list[ModuleView] = data["modules"] if name == "snapshot" else [data]
        for module in changed:
            self._keep(module)
        if self._clear:
            yield _CLEAR + list_text(list(self._modules.values()))
        else:
            yield from self._lines(changed)

    def _keep(self, module: ModuleView) -> None:
        """One row for each module: its newest session, and none for sessions that went up in another."""
        key = module["hardware_id"] or module["session"]
        self._modules.pop(module["session"], None)  # it has a name now
        if module["milestone"] == "CANCELLED" and not module["left_alone_by"]:
            self._modules.pop(key, None)
        else:
            self._modules[key] = module

    def _lines(self, changed: list[ModuleView]) -> Iterator[str]:
        for module in changed:
            text = module["hold"]["message"] if module["hold"] else state(module)
            if self._told.get(module["session"]) != text:
                self._told[module["session"]] = text
                yield f"{module['name'] or module['hardware_id'] or module['endpoint']}: {text}"
