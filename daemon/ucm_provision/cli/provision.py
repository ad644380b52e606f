"""ucmctl provision: the provisioning API's eight calls by hand, through the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.cli.meant import complete_module
from ucm_provision.cli.orders import report
from ucm_provision.cli.private_file import PrivateFile
from ucm_provision.core.errors import Exit
from ucm_provision.core.kinds import DeviceType
from ucm_provision.core.model import MqttProtocol

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")
_name = click.option("--name", required=True, help="What the device is called.")
_site = click.option("--site", "site_id", help="The site's id (default: the daemon's own site).")
_slug = click.option("--slug", help="The device's slug (default: made from the name, with a unique end).")
_hardware_id = click.option("--hardware-id", required=True, metavar="ID", help="32 or 33 letters and digits.")
_protocol = click.option(
    "--protocol",
    type=click.Choice([each.value for each in MqttProtocol], case_sensitive=False),
    help="How it speaks to the broker (default: the daemon's policy.protocol).",
)
_config_file = click.option(
    "--config-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where its configuration goes, mode 0600. It holds secrets, and the daemon does not keep it.",
)
_optional_hardware_id = click.option("--hardware-id", metavar="ID", help="Default: a new one, V and 32 digits.")
_device_type = click.option(
    "--type",
    "device_type",
    required=True,
    type=click.Choice([each.value for each in DeviceType], case_sensitive=False),
    help="What it is.",
)


@click.group()
def provision() -> None:
    """Adds a device to the provisioning API by hand, for what has no cable to this box.

    The daemon journals the order before it asks, and asks until it knows the outcome: one device comes of it,
    whatever breaks down meanwhile. `ucmctl orders` shows every order.

    A configuration is handed over once, to the file that --config-file names. If it got lost, give the same
    command again: it is the same device, with fresh credentials.
    """


@provision.command()
@_hardware_id
@_name
@_protocol
@_site
@_config_file
@_json
@click.pass_obj
def ucm(client: ControlClient, /, config_file: Path | None, *, as_json: bool, **request: Any) -> None:
    """A UCM.

    Example: ucmctl provision ucm --hardware-id C8795CBA5375484E829105E959663C8B --name Boiler --config-file c.json
    """
    _order(client, "ucm", request, config_file, as_json=as_json)


@provision.command()
@_name
@_optional_hardware_id
@_site
@_json
@click.pass_obj
def vucm(client: ControlClient, /, *, as_json: bool, **request: Any) -> None:
    """A virtual UCM, on a Gateway 3.

    Example: ucmctl provision vucm --name "Heat pump"
    """
    _order(client, "vucm", request, None, as_json=as_json)


@provision.command()
@_device_type
@_hardware_id
@_name
@_protocol
@_site
@_config_file
@_json
@click.pass_obj
def embedded(client: ControlClient, /, config_file: Path | None, *, as_json: bool, **request: Any) -> None:
    """An Electrolyser, Dryer or Water Tank.

    Example: ucmctl provision embedded --type DRYER --hardware-id BCC415CBA5375484E829105E959663C8B --name Dryer
    """
    _order(client, "embedded", request, config_file, as_json=as_json)


@provision.command("link-master")
@_hardware_id
@_name
@_site
@_json
@click.pass_obj
def link_master(client: ControlClient, /, *, as_json: bool, **request: Any) -> None:
    """A LINK master, on a Gateway 3.

    Example: ucmctl provision link-master --hardware-id BCC415CBA5375484E829105E959663C8B --name "LINK 1"
    """
    _order(client, "link_master", request, None, as_json=as_json)


@provision.command("link-slave")
@_hardware_id
@_name
@click.option(
    "--master",
    required=True,
    shell_complete=complete_module,
    help="Its master: a device id, or what a module here is called.",
)
@_site
@_json
@click.pass_obj
def link_slave(client: ControlClient, /, *, as_json: bool, **request: Any) -> None:
    """A LINK slave behind a LINK master, on a Gateway 3.

    Example: ucmctl provision link-slave --hardware-id 435840FFE5CD4E9DA93545DDF7E6D5FB --name AO6 --master "LINK 1"
    """
    _order(client, "link_slave", request, None, as_json=as_json)


@provision.command()
@_name
@_slug
@_site
@_json
@click.pass_obj
def standalone(client: ControlClient, /, *, as_json: bool, **request: Any) -> None:
    """A standalone device: a program of yours.

    Example: ucmctl provision standalone --name "Weather station"
    """
    _order(client, "standalone", request, None, as_json=as_json)


@provision.command("lua-device")
@click.option(
    "--runtime",
    required=True,
    shell_complete=complete_module,
    help="The UCM it runs on: a device id, or what a module here is called.",
)
@click.option("--blueprint", "blueprint_id", required=True, help="The id of its blueprint.")
@_name
@_slug
@_json
@click.pass_obj
def lua_device(client: ControlClient, /, *, as_json: bool, **request: Any) -> None:
    """A Lua device on a UCM. It cannot be provisioned a second time.

    Example: ucmctl provision lua-device --runtime boiler-room --blueprint 5c2e07f1 --name "Gas sensor"
    """
    _order(client, "lua_device", request, None, as_json=as_json)


@provision.command()
@_hardware_id
@click.option("--gateway-version", required=True, metavar="VERSION", help="The version of its firmware.")
@click.option("--site-name", required=True)
@click.option("--timezone", required=True, metavar="ZONE", help="E.g. Europe/Berlin.")
@click.option("--latitude", required=True, type=click.FloatRange(-90, 90), metavar="DEGREES")
@click.option("--longitude", required=True, type=click.FloatRange(-180, 180), metavar="DEGREES")
@_site
@_config_file
@_json
@click.pass_obj
def gateway(
    client: ControlClient,
    /,
    config_file: Path | None,
    *,
    gateway_version: str,
    site_name: str,
    timezone: str,
    latitude: float,
    longitude: float,
    as_json: bool,
    **request: Any,
) -> None:
    """A Gateway, to the platform's cloud. Its configuration goes to a file, so --config-file is needed.

    Example: ucmctl provision gateway --hardware-id B27925CBA5375484E829105E959663C8B --gateway-version 3.0.0
    --site-name Plant --timezone Europe/Berlin --latitude 52.52 --longitude 13.405 --config-file gateway.json
    """
    if config_file is None:
        raise click.UsageError("A gateway's configuration goes to a file of mode 0600 that you name: --config-file.")
    place = {"name": site_name, "timezone": timezone, "latitude": latitude, "longitude": longitude}
    _order(
        client,
        "gateway",
        {**request, "gateway": {"version": gateway_version, **place}},
        config_file,
        as_json=as_json,
    )


def _order(
    client: ControlClient, kind: str, request: dict[str, Any], config_file: Path | None, *, as_json: bool
) -> None:
    body = {"kind": kind} | {key: value for key, value in request.items() if value is not None}
    if config_file is None:
        report(client.post("provision", body=body), as_json=as_json)
        return
    # Opened first: a configuration that cannot be written must not be asked for.
    with PrivateFile(config_file) as file:
        answer = client.post("provision", body={**body, "config": True})
        config = answer.pop("config", None)
        if config is not None:
            file.keep(config)
    report(answer, as_json=as_json)
    if config is None:
        raise DaemonError(_LOST, Exit.FAILED)
    click.echo(f"Its configuration is in {config_file}.", err=True)


_LOST = (
    "The daemon no longer has the configuration: it is handed over once. Give the same command again; it is the same "
    "device, with fresh credentials."
)
