"""Commands that are imported when they are called: most of ucmctl's time would be spent on those that are not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group, some of whose commands are known by name only.

    Args:
        lazy: Where each command is defined, by its name: ``package.module:attribute``.
    """

    def __init__(self, *args: Any, lazy: dict[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command
