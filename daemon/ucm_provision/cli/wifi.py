"""ucmctl wifi: the site's networks, in order of preference."""

from __future__ import annotations

import json
import sys
from typing import TextIO

import click

from ucm_provision.cli.campaigns import COMMANDS
from ucm_provision.cli.client import ControlClient
from ucm_provision.cli.meant import module_argument
from ucm_provision.cli.text import scan_text, wifi_text
from ucm_provision.wire import WifiRequest, WifiView

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.group()
def wifi() -> None:
    """The Wi-Fi networks that modules of this site get, three at most, the preferred one first.

    The first change makes a list of the operators' own out of the configured networks. From then on that list
    counts, through restarts too, and the configuration's does not, until ucmctl wifi reset.
    """


@wifi.command()
@_json
@click.pass_obj
def show(client: ControlClient, *, as_json: bool) -> None:
    """The networks, and whether the configuration or operators chose them. Passphrases are never shown.

    Example: ucmctl wifi show
    """
    _print(client.get("wifi"), as_json=as_json)


@wifi.command()
@click.argument("ssid")
@click.option(
    "--passphrase-file",
    type=click.File(encoding="utf-8"),
    help="A file with the passphrase on its first line. - reads it from standard input.",
)
@click.option("--open", "is_open", is_flag=True, help="The network has no passphrase.")
@click.option("--hidden", is_flag=True, help="The network does not tell its name.")
@click.option("--bssid", default="", metavar="AA:BB:CC:DD:EE:FF", help="The only access point to use.")
@click.option("--first", is_flag=True, help="Make it the preferred network; else it comes last.")
@_json
@click.pass_obj
def add(
    client: ControlClient,
    ssid: str,
    passphrase_file: TextIO | None,
    *,
    is_open: bool,
    hidden: bool,
    bssid: str,
    first: bool,
    as_json: bool,
) -> None:
    """Adds the network SSID, or replaces the one of that name, e.g. because its passphrase has changed.

    The passphrase is asked for twice, without an echo. It is never an argument: arguments are seen by everybody on
    the machine.

    Example: ucmctl wifi add plant-new --first
    """
    if is_open and passphrase_file:
        raise click.UsageError("an --open network has no --passphrase-file")
    passphrase = "" if is_open else _passphrase(passphrase_file)
    body = WifiRequest(ssid=ssid, passphrase=passphrase, hidden=hidden, bssid=bssid, first=first)
    _print(client.post("wifi", "add", body=body), as_json=as_json)


@wifi.command()
@click.argument("ssid")
@_json
@click.pass_obj
def prefer(client: ControlClient, ssid: str, *, as_json: bool) -> None:
    """Makes SSID the network that modules try first.

    Example: ucmctl wifi prefer plant-new
    """
    _print(client.post("wifi", "prefer", body={"ssid": ssid}), as_json=as_json)


@wifi.command()
@click.argument("ssid")
@_json
@click.pass_obj
def drop(client: ControlClient, ssid: str, *, as_json: bool) -> None:
    """Takes SSID off the list.

    Example: ucmctl wifi drop plant-old
    """
    _print(client.post("wifi", "drop", body={"ssid": ssid}), as_json=as_json)


@wifi.command()
@_json
@click.pass_obj
def reset(client: ControlClient, *, as_json: bool) -> None:
    """Forgets the operators' list, passphrases included: the networks of the configuration count again.

    Example: ucmctl wifi reset
    """
    _print(client.post("wifi", "reset"), as_json=as_json)


def _passphrase(file: TextIO | None) -> str:
    if file is not None:
        return _first_line(file)
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the passphrase: give --passphrase-file, or --open")
    asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def _first_line(file: TextIO) -> str:
    """An empty one is a slip, never an open network."""
    try:
        passphrase = file.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file.name} is not UTF-8 text") from None
    if not passphrase:
        raise click.UsageError(f"the first line of {file.name} is empty; a network without a passphrase is --open")
    return passphrase


@wifi.command()
@module_argument
@_json
@click.pass_obj
def scan(client: ControlClient, module: str, *, as_json: bool) -> None:
    """What MODULE hears: the Wi-Fi networks around it, the strongest first. Takes some seconds; changes nothing.

    Example: ucmctl wifi scan boiler-room
    """
    answer = client.post("modules", module, "scan")
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else scan_text(answer))


for _command in COMMANDS:
    wifi.add_command(_command)


def _print(answer: WifiView, *, as_json: bool) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else wifi_text(answer))
