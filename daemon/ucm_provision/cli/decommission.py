"""ucmctl forget: a module leaves the site."""

from __future__ import annotations

import json
import sys

import click

from ucm_provision.cli.client import ControlClient
from ucm_provision.cli.meant import module_argument
from ucm_provision.cli.text import label
from ucm_provision.wire import ForgetAnswer, ForgetRequest, ModuleView


@click.command()
@module_argument
@click.option("--wipe", is_flag=True, help="Reset the module first: it forgets its configuration and its Wi-Fi.")
@click.option("--force", is_flag=True, help="With --wipe: even if another box has configured it.")
@click.option("--yes", is_flag=True, help="Do not ask, as a script must say.")
@click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")
@click.pass_obj
def forget(client: ControlClient, module: str, *, wipe: bool, force: bool, yes: bool, as_json: bool) -> None:
    """Takes a module off this site: no list, no campaign and no report has it any more. Its device in the API stays.

    Without --wipe nothing is sent to it, and it keeps what it holds. On a cable, --wipe opens its port, which may
    reset it. Met again after it was away, it is a new module.

    Example: ucmctl forget boiler-room --wipe
    """
    if force and not wipe:
        raise click.UsageError("--force goes with --wipe")
    meant: ModuleView = client.get("modules", module)["module"]
    if not yes:
        _demand_consent(meant, wipe=wipe)
    # By its session: what was agreed to is what is done, whatever has come to answer to that name since.
    body = ForgetRequest(wipe=wipe, force=force)
    answer = client.post("modules", meant["session"], "forget", body=body)
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else forgotten_text(answer))


def _demand_consent(module: ModuleView, *, wipe: bool) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --yes")
    what = "Wipe and forget" if wipe else "Forget"
    click.confirm(f"{what} {label(module)} ({_id(module)})?", abort=True, err=True)


def forgotten_text(answer: ForgetAnswer) -> str:
    """What was done, and what remains to be done elsewhere."""
    module = answer["module"]
    done = "was wiped and is forgotten" if answer["wiped"] else "is forgotten; what it holds was not touched"
    lines = [f"{label(module)} ({_id(module)}) {done}."]
    if module["device_id"]:
        lines.append(f"Its device {module['device_id']} stays in the provisioning API, with its data.")
    if answer["listed"]:
        lines.append("The manifest still lists it: without a change there it is provisioned again when it comes back.")
    else:
        lines.append("Met again after it was away, it is a new module.")
    return "\n".join(lines)


def _id(module: ModuleView) -> str:
    return module["hardware_id"] or module["announced_id"] or module["endpoint"]
