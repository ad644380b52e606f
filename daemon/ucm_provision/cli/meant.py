"""The argument that names a module, and the names that a shell may complete it with."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.core.errors import UcmError

if TYPE_CHECKING:
    from ucm_provision.wire import ModuleView

# A shell that waits longer for its completion looks broken.
_PATIENCE = 0.5


def complete_module(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What modules answer to, as the daemon knows it. Nothing, without a word, where it does not answer at once."""
    client = ControlClient(context.find_root().params.get("socket"), deadline=_PATIENCE)
    try:
        modules: list[ModuleView] = client.get("modules")["modules"]
    except (UcmError, DaemonError):
        return []
    return list(_matching(modules, incomplete))


def _matching(modules: list[ModuleView], incomplete: str) -> Iterator[CompletionItem]:
    """Names and ports; hardware ids where one is what is typed. What bash would take for two words is not offered."""
    for module in modules:
        hardware_id = module["hardware_id"] or module["announced_id"] or ""
        names = [name for name in (module["name"], module["slug"], _port(module)) if name and quote(name) == name]
        found = [name for name in names if name.startswith(incomplete)]
        if not found and incomplete and hardware_id.startswith(incomplete.upper()):
            found = [hardware_id]
        for name in found[:1] if not incomplete else found:
            yield CompletionItem(name, help=hardware_id)


def _port(module: ModuleView) -> str:
    return module["endpoint"].rpartition("/")[2]


module_argument = click.argument("module", shell_complete=complete_module)
optional_module_argument = click.argument("module", required=False, shell_complete=complete_module)
