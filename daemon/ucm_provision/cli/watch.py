"""The event stream as a person or a program wants to see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ucm_provision.cli.text import label, state
from ucm_provision.wire import ModuleView

if TYPE_CHECKING:
    from ucm_provision.cli.picture import Picture

Events = Iterable[tuple[str, Any]]


def follow_lines(events: Events, *, as_json: bool) -> None:
    """A line for each change, until the stream ends."""
    watcher = Watcher()
    for name, data in events:
        if name == "alive":
            continue
        if as_json:
            click.echo(json.dumps({"event": name, "data": data}, ensure_ascii=False))
            continue
        for text in watcher.lines(name, data):
            click.echo(text)


def follow_table(events: Events, picture: Picture) -> None:
    """A table that is drawn anew as the modules change, until the stream ends."""
    watcher = Watcher()
    with picture.live() as live:
        for name, data in events:
            watcher.see(name, data)
            live.update(picture.watched(watcher.modules))


class Watcher:
    """Keeps the modules current."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleView] = {}
        self._told: dict[str, str] = {}

    @property
    def modules(self) -> list[ModuleView]:
        return list(self._modules.values())

    def see(self, name: str, data: Any) -> list[ModuleView]:
        """Takes note of an event; returns the modules that it tells of."""
        changed: list[ModuleView] = data["modules"] if name == "snapshot" else [data] if name == "module" else []
        for module in changed:
            self._keep(module)
        return changed

    def lines(self, name: str, data: Any) -> Iterator[str]:
        """What is new, a line for each module."""
        for module in self.see(name, data):
            text = module["hold"]["message"] if module["hold"] else state(module)
            if self._told.get(module["session"]) != text:
                self._told[module["session"]] = text
                yield f"{label(module)}: {text}"

    def _keep(self, module: ModuleView) -> None:
        """One row for each module: its newest session, and none for sessions that went up in another."""
        key = module["hardware_id"] or module["session"]
        self._modules.pop(module["session"], None)  # it has a name now
        if module["milestone"] == "CANCELLED" and not module["left_alone_by"]:
            self._modules.pop(key, None)
        else:
            self._modules[key] = module
