"""ucmctl api: which provisioning API is asked, and the choice of a Gateway."""

from __future__ import annotations

import json
from typing import TextIO

import click

from ucm_provision.cli.client import ControlClient
from ucm_provision.cli.text import api_text
from ucm_provision.wire import ApiChoice

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.group()
def api() -> None:
    """The provisioning API that is asked: which one, why, and which Gateways were seen."""


@api.command()
@_json
@click.pass_obj
def show(client: ControlClient, *, as_json: bool) -> None:
    """Which API is asked and who chose it, and the Gateways that announce themselves on the LAN.

    Example: ucmctl api show
    """
    _print(client.get("api"), as_json=as_json)


@api.command()
@click.argument("gateway")
@click.option(
    "--token-file",
    required=True,
    type=click.File(encoding="utf-8"),
    help="A file with a token of that Gateway on its first line. - reads it from standard input.",
)
@click.option(
    "--ca-file", type=click.File(encoding="utf-8"), help="The Gateway's CA as PEM: it is then asked by HTTPS."
)
@_json
@click.pass_obj
def accept(client: ControlClient, gateway: str, token_file: TextIO, ca_file: TextIO | None, *, as_json: bool) -> None:
    """Makes GATEWAY, by its name, host or address, the API that is asked; the token goes there and nowhere else.

    The daemon tries the token before anything changes. From then on the Gateway's address is pinned.

    Example: ucmctl api accept Enapter-GW --token-file gateway.token
    """
    body = {"gateway": gateway, "token": token_file.readline().strip(), "ca": ca_file.read() if ca_file else ""}
    _print(client.post("api", "accept", body=body), as_json=as_json)


def _print(answer: ApiChoice, *, as_json: bool) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else api_text(answer))
