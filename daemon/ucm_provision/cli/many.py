"""Several modules at once: which ones are meant, and the same asked of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.core.errors import Code

if TYPE_CHECKING:
    from ucm_provision.wire import ModuleView


def waiting(client: ControlClient) -> list[str]:
    """The sessions of modules that wait for something, but for those that nobody has approved."""
    return [each["session"] for each in _all(client) if each["hold"] and not _wants_approval(each)]


def expected(client: ControlClient) -> list[str]:
    """The sessions of modules that wait for approval and that the manifest lists: strangers are not among them."""
    import csv  # noqa: PLC0415 -- only here: ucmctl must start at once
    import io  # noqa: PLC0415

    listed = {row["hardware_id"] for row in csv.DictReader(io.StringIO(client.get("manifest")["csv"]))}
    return [each["session"] for each in _all(client) if _wants_approval(each) and _id(each) in listed]


def ask(client: ControlClient, what: str, sessions: list[str]) -> tuple[list[ModuleView], list[DaemonError]]:
    """The modules after what was asked of them, and why others did not take it."""
    done: list[ModuleView] = []
    refused: list[DaemonError] = []
    for session in sessions:
        try:
            done.append(client.post("modules", session, what)["module"])
        except DaemonError as error:
            refused.append(error)
    return done, refused


def _all(client: ControlClient) -> list[ModuleView]:
    modules: list[ModuleView] = client.get("modules")["modules"]
    return modules


def _wants_approval(module: ModuleView) -> bool:
    return module["hold"] is not None and module["hold"]["code"] == Code.APPROVAL_NEEDED.value


def _id(module: ModuleView) -> str | None:
    return module["hardware_id"] or module["announced_id"]
