"""ucmctl: what the daemon knows and what it may be asked, on the command line."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

from ucm_provision.cli.api import api
from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.doctor import doctor, suggest
from ucm_provision.cli.label import read_label
from ucm_provision.cli.manifest import manifest
from ucm_provision.cli.orders import orders, replace
from ucm_provision.cli.page import page_login
from ucm_provision.cli.provision import provision
from ucm_provision.cli.report import report
from ucm_provision.cli.text import inspection_text, list_text, show_text, status_text
from ucm_provision.cli.watch import Watcher
from ucm_provision.cli.wifi import wifi
from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.core.machine import Milestone
from ucm_provision.wire import ApproveRequest, NameRequest

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--socket", metavar="PATH", help="The daemon's control socket (default: $UCM_CONTROL_SOCKET).")
@click.version_option(package_name="ucm-provisiond")
@click.pass_context
def ucmctl(context: click.Context, socket: str | None) -> None:
    """Shows what ucm-provisiond does with the modules of this site, and asks it for more."""
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
@click.option(
    "--state",
    type=click.Choice([each.value.lower() for each in Milestone]),
    help="Only modules that have come this far.",
)
@_json
@click.pass_obj
def list_modules(client: ControlClient, state: str | None, as_json: bool) -> None:
    """The modules, a line each, and what they wait for.

    Example: ucmctl list --state verified
    """
    answer = client.get("modules", state=state or "")
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


@ucmctl.command()
@_json
@click.pass_obj
def watch(client: ControlClient, as_json: bool) -> None:
    """The modules as they change, until Ctrl-C.

    Example: ucmctl watch
    """
    watcher = Watcher(as_json=as_json, clear=sys.stdout.isatty())
    with suppress(KeyboardInterrupt):
        for name, data in client.events():
            for text in watcher.see(name, data):
                click.echo(text)
        raise UcmError(Code.DAEMON_UNREACHABLE, "it ended the stream")


@ucmctl.command()
@click.argument("module")
@_json
@click.pass_obj
def retry(client: ControlClient, module: str, as_json: bool) -> None:
    """Lets a module go on now, whatever it waits for.

    Example: ucmctl retry boiler-room
    """
    _print_module(client.post("modules", module, "retry"), as_json)


@ucmctl.command()
@click.argument("module")
@click.option(
    "--pop-file",
    type=click.File(encoding="utf-8"),
    help="A file with the proof of possession from the module's label, or Espressif's QR JSON. - asks for it.",
)
@click.option("--name", help="What its device is to be called.")
@_json
@click.pass_obj
def approve(client: ControlClient, module: str, pop_file: TextIO | None, name: str | None, as_json: bool) -> None:
    """Lets a module be provisioned, with the proof of possession from its label if one is needed.

    It is never an argument: arguments are seen by everybody on the machine.

    Example: ucmctl approve ttyUSB0 --pop-file label.txt --name "Boiler room"
    """
    body = read_label(pop_file) if pop_file else ApproveRequest()
    if name:
        body["name"] = name
    _print_module(client.post("modules", module, "approve", body=body), as_json)


@ucmctl.command()
@click.argument("module")
@click.argument("name")
@_json
@click.pass_obj
def name(client: ControlClient, module: str, name: str, as_json: bool) -> None:
    """Calls a module NAME: its device now, and whenever it is provisioned anew. That goes before the manifest.

    Example: ucmctl name C8795CBA "Boiler room"
    """
    _print_module(client.post("modules", module, "name", body=NameRequest(name=name)), as_json)


@ucmctl.command()
@click.argument("module")
@_json
@click.pass_obj
def cancel(client: ControlClient, module: str, as_json: bool) -> None:
    """Leaves a module alone that waits: nothing more is done with it, and what it holds stays as it is.

    ucmctl retry, ucmctl reprovision or a new plug begin again.

    Example: ucmctl cancel ttyUSB0
    """
    _print_module(client.post("modules", module, "cancel"), as_json)


@ucmctl.command()
@click.argument("module")
@click.option("--seconds", type=click.IntRange(1, 60), default=10, show_default=True, help="How long it blinks.")
@_json
@click.pass_obj
def identify(client: ControlClient, module: str, seconds: int, as_json: bool) -> None:
    """Makes a module blink, so that you can tell which one it is. On a cable its port is opened, which may reset it.

    Example: ucmctl identify C8795CBA
    """
    _print_module(client.post("modules", module, "identify", body={"seconds": seconds}), as_json)


@ucmctl.command()
@click.argument("module", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every verified module, one after the other.")
@_json
@click.pass_obj
def verify(client: ControlClient, module: str | None, *, everyone: bool, as_json: bool) -> None:
    """Looks whether a verified module is still well: what it holds, and whether it is online. Changes nothing.

    On a cable its port is opened, which may reset it. With --all, modules on cables are asked of the API only.

    Example: ucmctl verify boiler-room
    """
    if everyone == bool(module):
        raise click.UsageError("name a MODULE, or give --all")
    names = [module] if module else [each["session"] for each in client.get("modules", state="verified")["modules"]]
    sys.exit(_look_at(client, [name for name in names if name], everyone=everyone, as_json=as_json))


@ucmctl.command()
@click.argument("module")
@_json
@click.pass_obj
def reprovision(client: ControlClient, module: str, as_json: bool) -> None:
    """Provisions a module anew: the same device, fresh credentials and the present configuration.

    Example: ucmctl reprovision boiler-room
    """
    _print_module(client.post("modules", module, "reprovision"), as_json)


for _command in (provision, orders, replace, manifest, api, wifi, report, page_login, doctor, suggest):
    ucmctl.add_command(_command)


def _look_at(client: ControlClient, names: list[str], *, everyone: bool, as_json: bool) -> int:
    """The exit status: a person is needed where a module is not well."""
    answers = [client.post("modules", name, "verify", body={"cables": not everyone}) for name in names]
    _print({"modules": answers} if as_json else "\n".join(map(inspection_text, answers)))
    return 0 if all(answer["well"] for answer in answers) else Exit.OPERATOR


def _print_module(answer: Any, as_json: bool) -> None:
    _print(answer if as_json else list_text([answer["module"]]))


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
