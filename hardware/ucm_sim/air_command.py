"""`ucm-sim air`: change the air of a running `ucm-sim lan`, and look at its modules."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ucm_sim.control import ControlError, Facts, ask

_EXAMPLES = """
Examples:

\b
  ucm-sim lan --count 100 --network 'plant-wifi=a passphrase' --control air.sock --manifest modules.csv &
  ucm-sim air --control air.sock add new-wifi 'another passphrase' --rssi -67
  ucm-sim air --control air.sock out-of-range new-wifi 1/10
  ucm-sim air --control air.sock off plant-wifi
  ucm-sim air --control air.sock power-off '#3'
  ucm-sim air --control air.sock modules --tally

MODULES are: all, 1/10 (every tenth), #3 (the third), or how a hardware id begins.
"""

_modules = click.argument("modules", default="all")
_ssid = click.argument("ssid")


@click.group(epilog=_EXAMPLES)
@click.option(
    "--control",
    required=True,
    type=click.Path(path_type=Path),
    help="The socket that was given to `ucm-sim lan --control`.",
)
@click.pass_context
def air(context: click.Context, control: Path) -> None:
    """Switch networks of a running `ucm-sim lan` off and on, and modules out of their range."""
    context.obj = control


@air.command()
@click.pass_obj
def networks(control: Path) -> None:
    """Show the networks."""
    for network in _ask(control, "networks"):
        click.echo(json.dumps(network))


@air.command()
@_ssid
@click.argument("passphrase", default="")
@click.option("--rssi", "rssi_dbm", type=click.IntRange(-120, 0), default=-58, show_default=True, metavar="DBM")
@click.option("--hidden", is_flag=True, help="It has no name in a scan.")
@click.pass_obj
def add(control: Path, ssid: str, passphrase: str, rssi_dbm: int, hidden: bool) -> None:
    """Set up a network; without a passphrase it is open."""
    _ask(control, "add", ssid=ssid, passphrase=passphrase, rssi_dbm=rssi_dbm, hidden=hidden)


@air.command()
@_ssid
@click.pass_obj
def off(control: Path, ssid: str) -> None:
    """Switch an access point off: its modules lose it at once."""
    _ask(control, "off", ssid=ssid)


@air.command()
@_ssid
@click.pass_obj
def on(control: Path, ssid: str) -> None:
    """Switch an access point on again."""
    _ask(control, "on", ssid=ssid)


@air.command()
@_ssid
@click.argument("passphrase")
@click.pass_obj
def passphrase(control: Path, ssid: str, passphrase: str) -> None:
    """Change a network's passphrase: its modules are thrown out."""
    _ask(control, "passphrase", ssid=ssid, passphrase=passphrase)


@air.command("out-of-range")
@_ssid
@_modules
@click.pass_obj
def out_of_range(control: Path, ssid: str, modules: str) -> None:
    """Carry modules where they do not hear a network."""
    _count(_ask(control, "out-of-range", ssid=ssid, modules=modules))


@air.command("in-range")
@_ssid
@_modules
@click.pass_obj
def in_range(control: Path, ssid: str, modules: str) -> None:
    """Bring modules back into its range."""
    _count(_ask(control, "in-range", ssid=ssid, modules=modules))


@air.command(context_settings={"ignore_unknown_options": True})  # -85 is no option
@_ssid
@click.argument("dbm", type=click.IntRange(-120, 0))
@_modules
@click.pass_obj
def rssi(control: Path, ssid: str, dbm: int, modules: str) -> None:
    """Make modules hear a network as strongly as this."""
    _count(_ask(control, "rssi", ssid=ssid, rssi_dbm=dbm, modules=modules))


@air.command("power-off")
@_modules
@click.pass_obj
def power_off(control: Path, modules: str) -> None:
    """Cut the power of modules."""
    _count(_ask(control, "power-off", modules=modules))


@air.command("power-on")
@_modules
@click.pass_obj
def power_on(control: Path, modules: str) -> None:
    """Give modules power again."""
    _count(_ask(control, "power-on", modules=modules))


@air.command("modules")
@_modules
@click.option("--tally", is_flag=True, help="How many there are of each state, phase, reason and network.")
@click.pass_obj
def show_modules(control: Path, modules: str, tally: bool) -> None:
    """Show modules as they are now, a line of JSON for each."""
    found = _ask(control, "modules", modules=modules)
    if tally:
        found = _tally(found)
    for line in found:
        click.echo(json.dumps(line))


def _tally(modules: list[Facts]) -> list[Facts]:
    what = ("state", "phase", "reason", "ssid")
    counts = Counter(tuple(module[key] for key in what) for module in modules)
    return [{"count": count, **dict(zip(what, words, strict=True))} for words, count in counts.most_common()]


def _count(modules: int) -> None:
    click.echo(f"{modules} module{'' if modules == 1 else 's'}")


def _ask(control: Path, do: str, **request: object) -> Any:
    try:
        return ask(control, [{"do": do, **request}])[0]
    except ControlError as refusal:
        raise click.ClickException(str(refusal)) from refusal
    except OSError as failure:
        raise click.ClickException(f"{control}: {failure.strerror or failure}") from failure
