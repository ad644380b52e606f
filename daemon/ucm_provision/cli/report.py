"""ucmctl report: the commissioning report, as a file or for another program."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import datetime
from pathlib import Path

import click

from ucm_provision.cli.client import ControlClient, Document

_FORMATS = ("html", "csv", "json")
_AGO = re.compile(r"(\d{1,5})([dhm])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60}


@click.command()
@click.option(
    "--format", "kind", type=click.Choice(_FORMATS), help="What it is written as (default: the file's, or html)."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where to write it; - is standard output.",
)
@click.option("--engineer", default="", metavar="NAME", help="Who commissioned the site; else there is a line to sign.")
@click.option(
    "--since", default="", metavar="WHEN", help="Only what changed since: 2026-07-14, 2026-07-14T08:00, 8h, 3d, today."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def report(
    client: ControlClient, kind: str | None, output: str | None, engineer: str, since: str, *, as_json: bool
) -> None:
    """The commissioning report: every module, how it was verified, what failed and why, and labels to print.

    In a terminal it becomes a file in this folder, and its name is printed; otherwise it goes to standard output.
    The HTML file needs no network, and prints on A4; CSV and JSON hold the same. There is no secret in it.

    Example: ucmctl report --engineer "Jana Berg" --since today
    """
    kind = _format(kind, output, as_json=as_json)
    document = client.document("report", format=kind, engineer=engineer, since=_since(since))
    if output == "-" or (output is None and (as_json or not sys.stdout.isatty())):
        click.echo(document.content, nl=False)
        return
    path = Path(output) if output else Path(document.name)
    _write(path, document)
    click.echo(str(path.absolute()))


def _format(kind: str | None, output: str | None, *, as_json: bool) -> str:
    if as_json:
        if kind not in (None, "json"):
            raise click.UsageError(f"--json and --format {kind} contradict each other")
        return "json"
    suffix = Path(output or "").suffix.removeprefix(".").lower()
    return kind or (suffix if suffix in _FORMATS else "html")


def _since(text: str) -> str:
    """The moment that is meant, in seconds since the epoch, as the daemon takes it."""
    if not text:
        return ""
    if ago := _AGO.fullmatch(text):
        return str(time.time() - int(ago[1]) * _SECONDS[ago[2]])
    if text == "today":
        return str(datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    try:
        return str(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "expected a day or time like 2026-07-14T08:00, or 8h, 3d, today", param_hint="--since"
        ) from None


def _write(path: Path, document: Document) -> None:
    """All of it or nothing: a report that was cut off would look like one."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(document.content)
        new.replace(path)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
    finally:
        new.unlink(missing_ok=True)
