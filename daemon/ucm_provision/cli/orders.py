"""ucmctl orders and replace: what goes on in the provisioning API beside the modules on cables."""

from __future__ import annotations

import json
from typing import Any

import click

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.meant import complete_module
from ucm_provision.cli.text import orders_text
from ucm_provision.core.errors import FAILURES, Code, Exit, UcmError
from ucm_provision.wire import OrderAnswer, OrderView

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


@click.command()
@click.option("--cancel", metavar="ORDER", help="End an order that is still open. What it has added already stays.")
@_json
@click.pass_obj
def orders(client: ControlClient, cancel: str | None, *, as_json: bool) -> None:
    """What was asked of the provisioning API by hand, by the manifest or for a replacement, and how far it is.

    Example: ucmctl orders
    """
    if cancel:
        answer = client.post("orders", cancel, "cancel")
        _print(answer if as_json else orders_text([answer["order"]]))
        return
    answer = client.get("orders")
    _print(answer if as_json else orders_text(answer["orders"]))


@click.command()
@click.argument("old", shell_complete=complete_module)
@click.argument("new", shell_complete=complete_module)
@_json
@click.pass_obj
def replace(client: ControlClient, old: str, new: str, *, as_json: bool) -> None:
    """A dead module's name and slug pass to new hardware.

    OLD is what the dead module is called, or its device's id or slug. NEW is the new module's hardware id, or what
    it is called. The dead module's device stays in the provisioning API, under another name and slug; its line of the
    manifest passes to the new module, which gets name and slug as soon as it is plugged in.

    Example: ucmctl replace boiler-room 0F4D7A1BB1E24C6AA2A59CA8D3E7F310
    """
    report(client.post("replace", body={"old": old, "new": new}), as_json=as_json)


def report(answer: OrderAnswer, *, as_json: bool) -> None:
    """Prints how far the order is.

    Raises:
        DaemonError: it was refused, with the exit status of the reason.
        UcmError: order_open, if it is not done yet.
    """
    order = answer["order"]
    _print(answer if as_json else orders_text([order]))
    if order["state"] == "open":
        raise UcmError(Code.ORDER_OPEN, f"order {order['id']}")
    if order["state"] != "done":
        raise DaemonError(f"Order {order['id']} was {order['state']}.", _exit_status(order))


def _exit_status(order: OrderView) -> int:
    try:
        return FAILURES[Code(order["code"] or "")].exit_status
    except ValueError:  # a newer daemon knows failures that this command line does not
        return Exit.FAILED


def _print(answer: Any) -> None:
    click.echo(answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False))
