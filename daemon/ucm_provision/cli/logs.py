"""ucmctl logs: what the journal of this machine has on one module."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import click

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.meant import module_argument
from ucm_provision.core.errors import Exit, UcmError

# journald's own place: where it is missing, nobody keeps a journal.
_JOURNALD = Path("/run/systemd/journal")
_HARDWARE_ID = re.compile(r"[0-9A-Z]{32,33}")
_AGO = re.compile(r"\d+(s|m|min|h|d)")


@click.command()
@module_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--since", metavar="WHEN", help='E.g. 8h, today, yesterday, "2026-07-14 08:00".')
@click.option("-n", "--lines", type=click.IntRange(1), help="Only so many of the latest.")
@click.option("--json", "as_json", is_flag=True, help="One entry a line, as JSON, with every field.")
@click.pass_obj
def logs(
    client: ControlClient, module: str, *, follow: bool, since: str | None, lines: int | None, as_json: bool
) -> None:
    """The journal's entries about one module, oldest first. You must be allowed to read the journal.

    A module that was forgotten is found by its whole hardware id.

    Example: ucmctl logs boiler-room --since today --follow
    """
    matches = _matches(client, module)
    if not _JOURNALD.is_dir() or (journalctl := shutil.which("journalctl")) is None:
        raise DaemonError(_without_journald(matches), Exit.UNAVAILABLE)
    options = ["--follow"] if follow else ["--no-pager"] if as_json else []
    options += [f"--since={_moment(since)}"] if since else []
    options += [f"--lines={lines}"] if lines else []
    command = [journalctl, f"--output={'json' if as_json else 'short-iso'}", *options, *matches]
    os.execv(journalctl, command)  # noqa: S606 -- in our place, so that Ctrl-C and the pager are its own


def _matches(client: ControlClient, module: str) -> list[str]:
    """Entries with the hardware id, or of the session: before the module has said who it is, that is all there is."""
    try:
        found = client.get("modules", module)["module"]
    except (UcmError, DaemonError):
        if _HARDWARE_ID.fullmatch(module.upper()):
            return [f"UCM_HWID={module.upper()}"]
        raise
    session = f"UCM_SESSION={found['session']}"
    return [f"UCM_HWID={found['hardware_id']}", "+", session] if found["hardware_id"] else [session]


def _moment(since: str) -> str:
    """As journalctl takes it: ``8h`` is ``-8h`` there."""
    return f"-{since}" if _AGO.fullmatch(since) else since


def _without_journald(matches: list[str]) -> str:
    wanted = matches[0].partition("=")[2]
    return (
        "There is no journald on this machine. The daemon writes its log to its standard error, one JSON object a "
        f"line: look there for {wanted}, in a container with podman logs or docker logs."
    )
