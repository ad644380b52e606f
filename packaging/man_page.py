"""A man page out of what click knows of a command, with all of its commands below it on one page.

    man_page.py MODULE:COMMAND NAME SECTION VERSION DATE

prints the page up to and including its options and commands; files, exit statuses and the like are no business of
click's and stand in ``packaging/man``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

import click


def page(command: click.Command, name: str, section: str, version: str, date: str) -> Iterator[str]:
    """The lines of the page, as troff with the macros of man(7)."""
    context = _context(command, name)
    yield f'.TH "{name.upper()}" "{section}" "{date}" "ucm-provisiond {version}" "UCM provisioning"'
    yield from (".ad l", ".nh")  # long option names neither stretch lines nor are torn apart
    yield from (".SH NAME", f"{escaped(name)} \\- {escaped(_summary(command))}")
    yield from (".SH SYNOPSIS", *_usage(context))
    yield from (".SH DESCRIPTION", *_prose(command))
    yield from (".SH OPTIONS", *_options(context))
    if isinstance(command, click.Group):
        yield from (".SH COMMANDS", *_commands(command, context))


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """Every command that does something, wherever in the tree it stands; a group's own words go before them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = _context(command, name, context)
        yield f".SS {escaped(below.command_path)}"
        if isinstance(command, click.Group):
            yield from (*_prose(command), *_commands(command, below))
        else:
            yield from (*_usage(below), *_prose(command), *_options(below))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _summary(command: click.Command) -> str:
    """The first sentence, as what follows "name - "."""
    sentence = cleandoc(command.help or "").split("\n\n")[0].partition(". ")[0]
    text = " ".join(sentence.split()).rstrip(".")
    return text[0].lower() + text[1:]


def _usage(context: click.Context) -> Iterator[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    yield f".B {escaped(context.command_path)}"
    yield f".RI {_quoted(pieces)}"


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1] and "--help" not in parameter.opts:  # arguments are told of in the prose
            yield from (".TP", f".B {escaped(record[0])}", escaped(record[1]))


def _prose(command: click.Command) -> Iterator[str]:
    for text in (command.help, command.epilog):
        for paragraph in cleandoc(text or "").split("\n\n"):
            yield from _paragraph(paragraph.removeprefix("\n"))


def _paragraph(text: str) -> Iterator[str]:
    """Click's mark for a paragraph whose lines are to stay as they are is a line with a backspace."""
    as_it_is = re.fullmatch(r"\x08\n(.*)", text, re.DOTALL)
    if as_it_is:
        yield from (".PP", ".nf", *map(escaped, as_it_is[1].splitlines()), ".fi")
    elif text:
        yield from (".PP", escaped(" ".join(text.split())))


def escaped(text: str) -> str:
    """Text in which troff finds nothing to obey."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"^([.'])", r"\\&\1", text)


def _quoted(text: str) -> str:
    return '"' + escaped(text).replace('"', "\\(dq") + '"'


def main() -> None:
    where, name, section, version, date = sys.argv[1:]
    module, _, attribute = where.partition(":")
    for line in page(getattr(import_module(module), attribute), name, section, version, date):
        print(line)


if __name__ == "__main__":
    main()
