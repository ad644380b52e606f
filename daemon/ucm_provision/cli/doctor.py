"""ucmctl doctor and suggest: what is wrong with the box, and whose port an unknown adapter is.

What they look with is imported when they are asked: no other command needs it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.doctor_text import finding_text, suggest_text, summary_text
from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.doctor.finding import Finding, Level, view

_DEFAULT_CONFIG = Path("/etc/ucm-provision/ucm-provision.toml")
# A daemon that is well answers within milliseconds.
_PATIENCE = 5.0
_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_config = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_DEFAULT_CONFIG,
    show_default=True,
    help="The daemon's configuration file.",
)


@click.command()
@_config
@_json
@click.pass_context
def doctor(context: click.Context, path: Path, *, as_json: bool) -> None:
    """Finds what is wrong with this box, and prints the command that mends it. Changes nothing, opens no serial port.

    Works without the daemon, without systemd and in containers. Without root's rights some checks are left out, and
    it says which. Exit status 4: there is a problem.

    Example: sudo ucmctl doctor
    """
    from ucm_provision.doctor.box import Box  # noqa: PLC0415 -- no other command needs what it brings
    from ucm_provision.doctor.examine import answer, examine  # noqa: PLC0415 -- the same

    control = context.find_root().params["socket"] or os.environ.get("UCM_CONTROL_SOCKET") or ""
    found = list(_told(examine(Box(path, ask, control=control)), as_json=as_json))
    if as_json:
        _print_json(answer(found))
    else:
        click.echo(summary_text(found))
    sys.exit(Exit.OPERATOR if any(one.level is Level.PROBLEM for one in found) else 0)


def _told(findings: Iterable[Finding], *, as_json: bool) -> Iterator[Finding]:
    """A person sees each finding as it is found: some take seconds."""
    for finding in findings:
        if not as_json:
            click.echo(finding_text(view(finding)))
        yield finding


def ask(path: str, what: str) -> Any:
    try:
        return ControlClient(path, _PATIENCE).get(what)
    except DaemonError as refusal:
        raise UcmError(Code.DAEMON_UNREACHABLE, str(refusal)) from refusal


@click.command()
@_json
def suggest(*, as_json: bool) -> None:
    """Prints the udev rule that makes an unknown USB serial adapter a module's port, and how to load it.

    Only looks: changes nothing, and opens no port.

    Example: ucmctl suggest
    """
    from ucm_provision.doctor.suggest import answer  # noqa: PLC0415 -- no other command needs pyudev

    suggestions = answer()
    if as_json:
        _print_json(suggestions)
    else:
        click.echo(suggest_text(suggestions))


def _print_json(answer: object) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
