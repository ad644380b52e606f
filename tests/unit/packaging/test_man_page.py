"""Man pages say all that the commands' own help says, and nothing in them that troff would obey."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

PACKAGING = Path(__file__).parents[3] / "packaging"
PAGES = {
    "ucmctl.1": "ucm_provision.cli.main:ucmctl",
    "ucm-provisiond.8": "ucm_provision.main:command",
    "ucm-site-api.8": "ucm_site_api.main:commands",
}
MACROS = {"TH", "SH", "SS", "PP", "TP", "B", "RI", "nf", "fi", "ad l", "nh"}


def page(name: str) -> str:
    command, _, section = name.rpartition(".")
    script = PACKAGING / "man_page.py"
    arguments = [PAGES[name], command, section, "1.2.3", "2026-01-02"]
    return subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True, text=True).stdout


def resolved(name: str) -> click.Command:
    module, _, attribute = PAGES[name].partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, f"{path} {name}")


def shown(text: str) -> str:
    """As troff shows it."""
    return text.replace("\\&", "").replace("\\(ga", "`").replace("\\(dq", '"').replace("\\-", "-").replace("\\e", "\\")


@pytest.mark.parametrize("name", PAGES)
def test_every_command_with_every_option_is_on_the_page(name: str) -> None:
    text = shown(page(name))
    top = name.rpartition(".")[0]
    found = dict(commands(resolved(name), top))
    assert {match[1] for match in re.finditer(r"^\.SS (.*)$", text, re.MULTILINE)} == found.keys() - {top}
    for command in found.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert f".B {parameter.opts[0]}" in text


@pytest.mark.parametrize("name", PAGES)
def test_troff_finds_only_what_is_meant_for_it(name: str) -> None:
    for line in page(name).splitlines():
        if line.startswith((".", "'")):
            macro = line[1:] if line[1:] in MACROS else line[1:].partition(" ")[0]
            assert macro in MACROS, line


def test_it_begins_as_apropos_wants_it() -> None:
    head = page("ucmctl.1").splitlines()
    assert head[0] == '.TH "UCMCTL" "1" "2026-01-02" "ucm-provisiond 1.2.3" "UCM provisioning"'
    name = head[head.index(".SH NAME") + 1]
    assert name == "ucmctl \\- shows what ucm\\-provisiond does with the modules of this site, and asks it for more"


def test_examples_keep_their_lines() -> None:
    lines = page("ucm-site-api.8").splitlines()
    example = lines.index(
        "  ucm\\-site\\-api serve \\-\\-state /var/lib/ucm\\-site\\-api \\-\\-listen 0.0.0.0:8480 \\e"
    )
    assert lines[example - 2 : example] == [".nf", "Example:"]
    assert lines[example + 2] == ".fi"


@pytest.mark.parametrize("name", PAGES)
def test_what_click_does_not_know_stands_beside_it(name: str) -> None:
    assert (PACKAGING / "man" / name).read_text().startswith(".SH EXIT STATUS\n")
