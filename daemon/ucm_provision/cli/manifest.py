"""ucmctl manifest: the modules that the site expects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import click

from ucm_provision.cli.client import ControlClient
from ucm_provision.cli.private_file import PrivateFile
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.wire import ManifestAnswer, ModuleView

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")
_file = click.argument("file", type=click.File(encoding="utf-8-sig"))

# What a person fills in, in the order of the work. Any order is read.
_TEMPLATE = ("hardware_id", "kind", "name", "slug", "protocol", "pop", "master", "blueprint")


@click.group()
def manifest() -> None:
    """The modules that the site expects, as CSV: what they are called, and what stands on their labels.

    An imported manifest takes effect at once and survives restarts. Its lines win over those of the file that
    site.manifest names.
    """


@manifest.command("import")
@_file
@_json
@click.pass_obj
def import_(client: ControlClient, file: TextIO, *, as_json: bool) -> None:
    """Takes FILE in place of everything that was imported before: all of it, or nothing if a line is wrong.

    Example: ucmctl manifest import site.csv
    """
    _send(client, file, dry_run=False, as_json=as_json)


@manifest.command()
@_file
@_json
@click.pass_obj
def check(client: ControlClient, file: TextIO, *, as_json: bool) -> None:
    """Tells line and column of everything that is wrong with FILE, and changes nothing.

    Example: ucmctl manifest check site.csv
    """
    _send(client, file, dry_run=True, as_json=as_json)


@manifest.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_json
@click.pass_obj
def export(client: ControlClient, file: Path, *, as_json: bool) -> None:
    """Writes the manifest that is in force to FILE, mode 0600: it holds the proofs of possession.

    Example: ucmctl manifest export site.csv
    """
    with PrivateFile(file) as private:
        private.keep(client.get("manifest")["csv"])
    if as_json:
        click.echo(json.dumps({"file": str(file)}))


@manifest.command()
@_json
@click.pass_obj
def template(client: ControlClient, *, as_json: bool) -> None:
    """Prints a manifest of what is plugged in, to be filled in: modules, LINK slaves, and who waits to be let in.

    Example: ucmctl manifest template > site.csv
    """
    modules = client.get("modules")["modules"]
    if as_json:
        click.echo(json.dumps({"lines": list(_rows(modules))}, indent=2, ensure_ascii=False))
    else:
        click.echo(template_text(modules), nl=False)


def _send(client: ControlClient, file: TextIO, *, dry_run: bool, as_json: bool) -> None:
    try:
        text = file.read()
    except UnicodeDecodeError:
        raise UcmError(Code.MANIFEST_REFUSED, f"{file.name} is not UTF-8 text") from None
    answer: ManifestAnswer = client.post("manifest", body={"csv": text, "dry_run": dry_run})
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for problem in answer["problems"]:
            click.echo(f"{file.name}, {problem}", err=True)
    if problems := len(answer["problems"]):
        raise UcmError(Code.MANIFEST_REFUSED, f"{problems} found" if problems > 1 else "one found")
    if not as_json:
        click.echo(f"{answer['modules']} modules{'' if dry_run else ' are expected now'}.")


def template_text(modules: Sequence[ModuleView]) -> str:
    """The CSV for what is known, without a secret."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _TEMPLATE, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(modules))
    return text.getvalue()


def _rows(modules: Iterable[ModuleView]) -> Iterator[dict[str, str]]:
    for module in modules:
        if (hardware_id := module["hardware_id"] or module["announced_id"]) is None:
            continue
        yield {
            "hardware_id": hardware_id,
            "kind": (module["product"] or "").lower(),
            "name": module["name"] or "",
            "slug": module["slug"] or "",
            "protocol": module["protocol"] or "",
        }
        for slave in module["attached"]:
            yield {
                "hardware_id": slave["hardware_id"],
                "kind": "link_slave",
                "name": slave["name"],
                "master": hardware_id,
            }
