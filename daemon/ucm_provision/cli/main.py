"""ucmctl: what the daemon knows, on the command line."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.text import list_text, show_text, status_text
from ucm_provision.core.errors import UcmError

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--socket", metavar="PATH", help="The daemon's control socket (default: $UCM_CONTROL_SOCKET).")
@click.version_option(package_name="ucm-provisiond")
@click.pass_context
def ucmctl(context: click.Context, socket: str | None) -> None:
    """Shows what ucm-provisiond does with the modules of this site."""
    context.obj = ControlClient(socket)


@ucmctl.command()
@_json
@click.pass_obj
def status(client: ControlClient, as_json: bool) -> None:
    """The site at a glance: daemon, API, witness, Wi-Fi, modules by state.

    Example: ucmctl status
    """
    answer = client.get("status")
    _print(answer if as_json else status_text(answer, client.get("modules")["modules"]))


@ucmctl.command("list")
@click.option("--state", default="", metavar="STATE", help="Only modules of this state, e.g. verified or pushed.")
@_json
@click.pass_obj
def list_modules(client: ControlClient, state: str, as_json: bool) -> None:
    """The modules, a line each, and what they wait for.

    Example: ucmctl list --state verified
    """
    answer = client.get("modules", state=state)
    _print(answer if as_json else list_text(answer["modules"]))


@ucmctl.command()
@click.argument("module")
@_json
@click.pass_obj
def show(client: ControlClient, module: str, as_json: bool) -> None:
    """One module with its timeline, its evidence and what it waits for.

    MODULE is a name, a slug, an endpoint, or the beginning of a hardware id.

    Example: ucmctl show C8795CBA
    """
    answer = client.get("modules", module)
    _print(answer if as_json else show_text(answer))


def _print(answer: Any) -> None:
    click.echo(answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False))


def main() -> None:
    """The command; exit statuses are those of the error table."""
    try:
        ucmctl()
    except UcmError as error:
        click.echo(str(error), err=True)
        sys.exit(error.failure.exit_status)
    except DaemonError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_status)
