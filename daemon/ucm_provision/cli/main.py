"""ucmctl: what the daemon knows and what it may be asked, on the command line."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

from ucm_provision.cli import many
from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.lazy import LazyGroup
from ucm_provision.cli.meant import module_argument, optional_module_argument
from ucm_provision.cli.screen import help_width, screen
from ucm_provision.cli.text import inspection_text, list_text, show_text, status_text
from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.wire import MILESTONES, ApproveRequest, NameRequest

# What is imported when it is called: a glance at the status should not wait for all of them.
_LAZY = {
    "api": "ucm_provision.cli.api:api",
    "doctor": "ucm_provision.cli.doctor:doctor",
    "forget": "ucm_provision.cli.decommission:forget",
    "logs": "ucm_provision.cli.logs:logs",
    "manifest": "ucm_provision.cli.manifest:manifest",
    "orders": "ucm_provision.cli.orders:orders",
    "page-login": "ucm_provision.cli.page:page_login",
    "provision": "ucm_provision.cli.provision:provision",
    "replace": "ucm_provision.cli.orders:replace",
    "report": "ucm_provision.cli.report:report",
    "suggest": "ucm_provision.cli.doctor:suggest",
    "wifi": "ucm_provision.cli.wifi:wifi",
}

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.group(
    cls=LazyGroup, lazy=_LAZY, context_settings={"help_option_names": ["-h", "--help"], "terminal_width": help_width()}
)
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
    if as_json:
        _print(answer)
        return
    modules = client.get("modules")["modules"]
    if picture := screen():
        picture.status(answer, modules)
    else:
        _print(status_text(answer, modules))


@ucmctl.command("list")
@click.option(
    "--state",
    type=click.Choice([each.lower() for each in MILESTONES]),
    help="Only modules that have come this far.",
)
@_json
@click.pass_obj
def list_modules(client: ControlClient, state: str | None, as_json: bool) -> None:
    """The modules, and what they wait for. On a terminal, those that need you come first.

    Example: ucmctl list --state verified
    """
    answer = client.get("modules", state=state or "")
    if not as_json and (picture := screen()):
        picture.modules(answer["modules"], whole=state is not None)
    else:
        _print(answer if as_json else list_text(answer["modules"]))


@ucmctl.command()
@module_argument
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
    from ucm_provision.cli.watch import follow_lines, follow_table  # noqa: PLC0415 -- only here: ucmctl must start at once

    picture = None if as_json else screen()
    with suppress(KeyboardInterrupt):
        if picture:
            follow_table(client.events(), picture)
        else:
            follow_lines(client.events(), as_json=as_json)
        raise UcmError(Code.DAEMON_UNREACHABLE, "it ended the stream")


@ucmctl.command()
@optional_module_argument
@click.option("--all", "everyone", is_flag=True, help="Every module that waits, but for those that wait for approval.")
@_json
@click.pass_obj
def retry(client: ControlClient, module: str | None, *, everyone: bool, as_json: bool) -> None:
    """Lets a module go on now, whatever it waits for.

    Example: ucmctl retry boiler-room
    """
    if _is_for_all(module, everyone=everyone):
        _each(client, "retry", many.waiting(client), as_json=as_json)
    else:
        _print_module(client.post("modules", module or "", "retry"), as_json)


@ucmctl.command()
@optional_module_argument
@click.option(
    "--all", "everyone", is_flag=True, help="Every module that waits for approval and that the manifest lists."
)
@click.option(
    "--pop-file",
    type=click.File(encoding="utf-8"),
    help="A file with the proof of possession from the module's label, or Espressif's QR JSON. - asks for it.",
)
@click.option("--name", help="What its device is to be called.")
@_json
@click.pass_obj
def approve(
    client: ControlClient,
    module: str | None,
    pop_file: TextIO | None,
    name: str | None,
    *,
    everyone: bool,
    as_json: bool,
) -> None:
    """Lets a module be provisioned, with the proof of possession from its label if one is needed.

    It is never an argument: arguments are seen by everybody on the machine.

    Example: ucmctl approve ttyUSB0 --pop-file label.txt --name "Boiler room"
    """
    from ucm_provision.cli.label import read_label  # noqa: PLC0415 -- only here: ucmctl must start at once

    if _is_for_all(module, everyone=everyone):
        if pop_file or name:
            raise click.UsageError("label and name are one module's: --pop-file and --name do not go with --all")
        _each(client, "approve", many.expected(client), as_json=as_json)
        return
    body = read_label(pop_file) if pop_file else ApproveRequest()
    if name:
        body["name"] = name
    _print_module(client.post("modules", module or "", "approve", body=body), as_json)


@ucmctl.command()
@module_argument
@click.argument("name")
@_json
@click.pass_obj
def name(client: ControlClient, module: str, name: str, as_json: bool) -> None:
    """Calls a module NAME: its device now, and whenever it is provisioned anew. That goes before the manifest.

    Example: ucmctl name C8795CBA "Boiler room"
    """
    _print_module(client.post("modules", module, "name", body=NameRequest(name=name)), as_json)


@ucmctl.command()
@module_argument
@_json
@click.pass_obj
def cancel(client: ControlClient, module: str, as_json: bool) -> None:
    """Leaves a module alone that waits: nothing more is done with it, and what it holds stays as it is.

    ucmctl retry, ucmctl reprovision or a new plug begin again.

    Example: ucmctl cancel ttyUSB0
    """
    _print_module(client.post("modules", module, "cancel"), as_json)


@ucmctl.command()
@module_argument
@click.option("--seconds", type=click.IntRange(1, 60), default=10, show_default=True, help="How long it blinks.")
@_json
@click.pass_obj
def identify(client: ControlClient, module: str, seconds: int, as_json: bool) -> None:
    """Makes a module blink, so that you can tell which one it is. On a cable its port is opened, which may reset it.

    Example: ucmctl identify C8795CBA
    """
    _print_module(client.post("modules", module, "identify", body={"seconds": seconds}), as_json)


@ucmctl.command()
@optional_module_argument
@click.option("--all", "everyone", is_flag=True, help="Every verified module, one after the other.")
@_json
@click.pass_obj
def verify(client: ControlClient, module: str | None, *, everyone: bool, as_json: bool) -> None:
    """Looks whether a verified module is still well: what it holds, and whether it is online. Changes nothing.

    On a cable its port is opened, which may reset it. With --all, modules on cables are asked of the API only.

    Example: ucmctl verify boiler-room
    """
    if _is_for_all(module, everyone=everyone):
        meant = [each["session"] for each in client.get("modules", state="verified")["modules"]]
    else:
        meant = [module or ""]
    sys.exit(_look_at(client, meant, everyone=everyone, as_json=as_json))


@ucmctl.command()
@module_argument
@_json
@click.pass_obj
def reprovision(client: ControlClient, module: str, as_json: bool) -> None:
    """Provisions a module anew: the same device, fresh credentials and the present configuration.

    Example: ucmctl reprovision boiler-room
    """
    _print_module(client.post("modules", module, "reprovision"), as_json)


def _is_for_all(module: str | None, *, everyone: bool) -> bool:
    if everyone == bool(module):
        raise click.UsageError("name a MODULE, or give --all")
    return everyone


def _look_at(client: ControlClient, names: list[str], *, everyone: bool, as_json: bool) -> int:
    """The exit status: a person is needed where a module is not well."""
    picture = None if as_json else screen()
    looks = picture.counted(names, "looking at") if picture and everyone else names
    answers = [client.post("modules", name, "verify", body={"cables": not everyone}) for name in looks]
    if picture and everyone:
        picture.inspections(answers)
    else:
        _print({"modules": answers} if as_json else "\n".join(map(inspection_text, answers)))
    return 0 if all(answer["well"] for answer in answers) else Exit.OPERATOR


def _each(client: ControlClient, what: str, sessions: list[str], *, as_json: bool) -> None:
    """The same of several modules. What is refused stands below what was done, and is the exit status."""
    done, refused = many.ask(client, what, sessions)
    _print({"modules": done} if as_json else list_text(done) if done else "No module waits for that.")
    for error in refused:
        click.echo(str(error), err=True)
    if refused:
        sys.exit(refused[0].exit_status)


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
