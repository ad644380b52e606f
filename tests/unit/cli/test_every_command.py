"""What holds for every command of ucmctl, of which there are many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.unit.cli.terminal import UCMCTL, seen_on
from ucm_provision.cli.main import _LAZY, ucmctl

Path_ = tuple[str, ...]


def commands(group: click.Group = ucmctl, above: Path_ = ()) -> Iterator[tuple[Path_, click.Command]]:
    """Every command that does something, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


EVERY = [pytest.param(path, command, id=" ".join(path)) for path, command in commands()]


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_help_has_an_example_that_calls_the_command(path: Path_, command: click.Command) -> None:
    shown = CliRunner().invoke(ucmctl, [*path, "--help"])
    assert shown.exit_code == 0
    assert re.search(f"Example: (sudo )?ucmctl {' '.join(path)}", " ".join(shown.output.split()))


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_scripts_may_ask_for_json(path: Path_, command: click.Command) -> None:
    assert "--json" in [option for parameter in command.params for option in parameter.opts]


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_modules_are_completed_wherever_one_is_meant(path: Path_, command: click.Command) -> None:
    named = [each for each in command.params if each.name in ("module", "old", "new", "master", "runtime")]
    assert all(each._custom_shell_complete is not None for each in named)


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_without_a_daemon_nobody_sees_a_traceback(path: Path_, command: click.Command, tmp_path: Path) -> None:
    """With as little as each command takes, or told what is missing."""
    nowhere = ["--socket", str(tmp_path / "none.sock")]
    wanted = [each for each in command.params if isinstance(each, click.Argument) and each.required]
    shown = CliRunner().invoke(ucmctl, [*nowhere, *path, *(["/dev/null"] * len(wanted))], standalone_mode=True)
    assert shown.exit_code != 0 or path == ("suggest",)  # which looks at this machine alone
    assert isinstance(shown.exception, SystemExit | None) or "DAEMON_UNREACHABLE" in str(shown.exception)


def test_what_is_imported_late_is_what_it_is_called() -> None:
    context = click.Context(ucmctl)
    assert {ucmctl.get_command(context, name).name for name in _LAZY} == set(_LAZY)  # type: ignore[union-attr]
    assert ucmctl.get_command(context, "dance") is None


async def test_help_fits_a_phone() -> None:
    shown = await seen_on(40, *UCMCTL, "--help")
    assert shown.widest <= 40
