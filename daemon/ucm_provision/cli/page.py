"""ucmctl page-login: lets a browser in to the page."""

from __future__ import annotations

import io
import json
import sys

import click

from ucm_provision.cli.client import ControlClient
from ucm_provision.wire import PageInvitation

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.command("page-login")
@click.option("--qr/--no-qr", default=None, help="A QR code for a phone's camera; by default on a terminal.")
@_json
@click.pass_obj
def page_login(client: ControlClient, *, qr: bool | None, as_json: bool) -> None:
    """Prints an address that signs one browser in to the page, once, within ten minutes.

    On this box the page can be read without; what it does to modules is done in your name. A phone needs web.listen.
    From a laptop, forward the port first: ssh -L 8470:127.0.0.1:8470 BOX

    Example: ucmctl page-login
    """
    invitation: PageInvitation = client.post("page", "login")
    if as_json:
        click.echo(json.dumps(invitation, indent=2))
        return
    click.echo("\n".join(_lines(invitation)))
    for_phone = next((url for url in invitation["urls"] if url.startswith("https:")), None)
    if for_phone and (sys.stdout.isatty() if qr is None else qr):
        click.echo("\n" + _code(for_phone))


def _lines(invitation: PageInvitation) -> list[str]:
    lines = [*invitation["urls"], f"For one browser, once, within {invitation['seconds'] // 60} minutes."]
    if fingerprint := invitation["fingerprint"]:
        lines += [
            "The box made its certificate itself, so the browser asks. Its SHA-256 fingerprint must be:",
            fingerprint,
        ]
    return lines


def _code(url: str) -> str:
    """Light on dark or dark on light: scanners take either."""
    import segno  # noqa: PLC0415 -- only here: ucmctl must start at once

    out = io.StringIO()
    segno.make_qr(url, error="l").terminal(out, border=2, compact=True)
    return out.getvalue()
