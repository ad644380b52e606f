"""ucm-provisiond: the command that runs the daemon, or looks at its configuration."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import structlog

from ucm_provision import parts
from ucm_provision.core.errors import Exit, UcmError
from ucm_provision.host import config, logs
from ucm_provision.host.journald import goes_to_journal
from ucm_provision.host.systemd import ServiceManager, passed_sockets
from ucm_provision.service import serve_until_stopped

DEFAULT_CONFIG = Path("/etc/ucm-provision/ucm-provision.toml")

# Whether it can be read is for the configuration to say, with its own exit status.
_File = click.Path(path_type=Path, readable=False)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=_File, default=DEFAULT_CONFIG, show_default=True, help="The configuration file.")
@click.version_option(package_name="ucm-provisiond")
@click.pass_context
def command(context: click.Context, path: Path) -> None:
    """Provisions the UCMs of this box's site, from a serial port or the LAN to verified on the broker.

    Example: ucm-provisiond --config ./ucm-provision.toml
    """
    context.obj = path
    if context.invoked_subcommand is None:
        run(path)


def run(path: Path) -> None:
    """The daemon, until it is told to stop. Ends the process with the failure's exit status if it cannot work."""
    manager = ServiceManager.from_environment()
    passed = passed_sockets()
    logs.configure("info")
    error: UcmError | None = None
    try:
        settings = config.load(path)
        logs.configure(settings.values.log.level)
        asyncio.run(serve_until_stopped(settings, manager, passed))
    except* UcmError as group:
        error = next(_leaves(group))
    if error:  # Python before 3.11.4 hides an exit from within an except* in a group, and so its status
        manager.status(str(error))
        _complain(error)
        sys.exit(error.failure.exit_status)


@command.command("check-config")
@click.argument("path", type=_File, required=False)
@click.pass_obj
def check_config(default: Path, path: Path | None) -> None:
    """Looks whether the daemon could start with its configuration, and changes nothing.

    Looks at the files that it names, too, so it is best asked by the user who may read them.

    Example: ucm-provisiond check-config /etc/ucm-provision/ucm-provision.toml
    """
    path = path or default
    problems = asyncio.run(_problems(path))
    for problem in problems:
        click.echo(str(problem), err=True)
    if problems:
        sys.exit(Exit.CONFIG)
    click.echo(f"{path}: the daemon can start with it")


async def _problems(path: Path) -> list[UcmError]:
    try:
        # What the service's unit hands over lies here; there is no other way to find it from outside of the service.
        return await parts.problems(config.load(path, credentials=path.parent / "credentials"))
    except UcmError as error:
        return [error]


def _complain(error: UcmError) -> None:
    """In the journal with its fields; to a person, as a sentence."""
    if goes_to_journal(sys.stderr):
        structlog.get_logger().critical(str(error), UCM_ERROR=error.code.value)
    else:
        click.echo(str(error), err=True)


def _leaves(group: BaseExceptionGroup[UcmError]) -> Iterator[UcmError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def main() -> None:
    command()
