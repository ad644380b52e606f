"""Records as the API shows them."""

from collections.abc import Collection
from typing import Literal

from msgspec import UNSET

from ucm_site_api.messages import Communication, Connectivity, DeviceView, Role, SiteView
from ucm_site_api.presence import Presence
from ucm_site_api.records import Device, Site
from ucm_site_api.timestamps import to_text

TRAFFIC = frozenset({"connectivity", "communication", "properties"})

_BY_PROTOCOL: dict[str | None, Literal["MQTT_V1_PLAINTEXT", "MQTT_V1_TLS"]] = {
    "MQTT": "MQTT_V1_PLAINTEXT",
    "MQTTS": "MQTT_V1_TLS",
    None: "MQTT_V1_TLS",  # what a device that was never configured is about to get, unless it asks otherwise
}


def device_view(
    device: Device, role: Role, presence: Presence, expand: Collection[str] = TRAFFIC, site: Site | None = None
) -> DeviceView:
    """The keys that every client demands, and what it asked for; `site` is its site if that is wanted."""
    subject = device.hardware_id or ""
    connectivity = Connectivity(presence.connectivity(subject))
    return DeviceView(
        id=device.id,
        blueprint_id=device.blueprint_id or "",
        name=device.name,
        site_id=device.site_id,
        updated_at=to_text(device.updated_at),
        slug=device.slug,
        type=device.type,
        authorized_role=role,
        connectivity=connectivity if "connectivity" in expand else UNSET,
        communication=_communication(device) if "communication" in expand else UNSET,
        properties=presence.properties(subject, device.channel_id or "") if "properties" in expand else UNSET,
        site=site_view(site, role) if site else UNSET,
    )


def site_view(site: Site, role: Role) -> SiteView:
    """A site as the platform shows it."""
    location = site.location or UNSET
    return SiteView(site.id, site.name, site.timezone, "V3", role, archived=False, location=location)


def _communication(device: Device) -> Communication:
    return Communication(
        type=_communication_type(device),
        upstream_id=device.upstream_id,
        hardware_id=device.hardware_id,
        channel_id=device.channel_id,
        needs_reprovisioning=device.needs_reprovisioning,
    )


def _communication_type(
    device: Device,
) -> Literal["MQTT_V1_PLAINTEXT", "MQTT_V1_TLS", "MQTT_V1_LOCALHOST", "UCM_LUA", "LINK"]:
    match device.type:
        case "LUA":
            return "UCM_LUA"
        case "LINK_MASTER_UCM" | "LINK_SLAVE_UCM":
            return "LINK"
        case "VIRTUAL_UCM" if device.protocol is None:
            return "MQTT_V1_LOCALHOST"
    return _BY_PROTOCOL[device.protocol]
