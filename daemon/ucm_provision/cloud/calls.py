"""The API's eight provisioning calls: what each wants, and how its answer reads.

The platform's provisioning reference, version 3. Its curl samples of three calls name another call's path
and its field lists miss two fields (``master_device_id``, ``runtime_id``); what stands here is what its
headings and sample bodies say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ucm_provision.cloud.answers import parse_added, parse_provisioned
from ucm_provision.core.kinds import WITH_CONFIG, Kind
from ucm_provision.core.model import ProvisionArguments, Provisioned

Body = dict[str, object]

_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.UCM: ("site_id", "hardware_id", "name", "protocol"),
    Kind.VUCM: ("site_id", "hardware_id", "name"),
    Kind.EMBEDDED: ("device_type", "site_id", "hardware_id", "name", "protocol"),
    Kind.LINK_MASTER: ("site_id", "hardware_id", "name"),
    Kind.LINK_SLAVE: ("site_id", "hardware_id", "name", "master_device_id"),
    Kind.STANDALONE: ("site_id", "name", "slug"),
    Kind.LUA_DEVICE: ("runtime_id", "blueprint_id", "name", "slug"),
    Kind.GATEWAY: ("site_id", "hardware_id"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """How one kind of device is provisioned."""

    path: str
    body: Callable[[ProvisionArguments], Body]
    parse: Callable[[bytes, ProvisionArguments], Provisioned]


def _body(arguments: ProvisionArguments) -> Body:
    body: Body = {name: getattr(arguments, name) for name in _FIELDS[arguments.kind]}
    if (gateway := arguments.gateway) is not None:
        body["gateway_version"] = gateway.version
        body["site_name"] = gateway.name
        body["site_timezone"] = gateway.timezone
        body["site_location"] = {"latitude": gateway.latitude, "longitude": gateway.longitude}
    return body


CALLS = {
    kind: Call(f"provisioning/{kind}", _body, parse_provisioned if kind in WITH_CONFIG else parse_added)
    for kind in Kind
}
