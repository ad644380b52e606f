"""The calls of the API, as the platform's clients make them."""

from typing import Any

from aiohttp import web

from ucm_site_api.answers import answer
from ucm_site_api.app import ROLE, SERVICES, Services
from ucm_site_api.errors import not_found
from ucm_site_api.messages import ProvisionUcm
from ucm_site_api.presence import Presence
from ucm_site_api.records import Device, Page, Site
from ucm_site_api.requests import expansions, read_body, require_role, window
from ucm_site_api.timestamps import to_text

_COMMUNICATION_TYPES = {"MQTT": "MQTT_V1_PLAINTEXT", "MQTTS": "MQTT_V1_TLS"}


def add_routes(app: web.Application, prefix: str) -> None:
    """All calls under one prefix."""
    for path, call in _READS.items():
        app.router.add_get(prefix + path, call)
    for path, call in _WRITES.items():
        app.router.add_post(prefix + path, call)


async def provision_ucm(request: web.Request) -> web.Response:
    """Add a UCM to a site, or give a known one fresh credentials."""
    require_role(request, "OWNER")
    wish = await read_body(request, ProvisionUcm)
    return answer(await request.app[SERVICES].provisioner.provision_ucm(wish))


async def get_device(request: web.Request) -> web.Response:
    """One device by id or slug."""
    reference = request.match_info["device"]
    services = request.app[SERVICES]
    device = await services.registry.device(reference)
    if device is None:
        raise not_found("device", reference)
    return answer({"device": await _device(request, services, device)})


async def list_devices(request: web.Request) -> web.Response:
    """Devices of all sites."""
    return await _device_list(request, None)


async def list_site_devices(request: web.Request) -> web.Response:
    """Devices of one site."""
    site = await _site_of(request)
    return await _device_list(request, site.id)


async def get_own_site(request: web.Request) -> web.Response:
    """The site of this server, as on a Gateway."""
    site = await request.app[SERVICES].registry.only_site()
    if site is None:
        raise not_found("site", "")
    return answer({"site": site_view(site, request[ROLE])})


async def get_site(request: web.Request) -> web.Response:
    """One site by id."""
    return answer({"site": site_view(await _site_of(request), request[ROLE])})


async def list_sites(request: web.Request) -> web.Response:
    """The sites here: there is one."""
    offset, limit = window(request)
    site = await request.app[SERVICES].registry.only_site()
    sites = [site_view(site, request[ROLE])] if site else []
    return answer({"sites": sites[offset : offset + limit], "total_count": len(sites)})


_READS = {
    "/devices": list_devices,
    "/devices/{device}": get_device,
    "/site": get_own_site,
    "/sites": list_sites,
    "/sites/{site}": get_site,
    "/sites/{site}/devices": list_site_devices,
}
_WRITES = {"/provisioning/ucm": provision_ucm}


def device_view(device: Device, role: str) -> dict[str, Any]:
    """The keys that every client demands. Nothing here has a blueprint: that is the platform's."""
    return {
        "id": device.id,
        "blueprint_id": "",
        "name": device.name,
        "site_id": device.site_id,
        "updated_at": to_text(device.updated_at),
        "slug": device.slug,
        "type": device.type,
        "authorized_role": role,
    }


def site_view(site: Site, role: str) -> dict[str, Any]:
    """A site as the platform shows it."""
    return {
        "id": site.id,
        "name": site.name,
        "timezone": site.timezone,
        "version": "V3",
        "authorized_role": role,
        "archived": False,
    }


def traffic_views(device: Device, presence: Presence) -> dict[str, Any]:
    """What the broker knows of a device, by the names that `expand` has for it."""
    return {
        "connectivity": {"status": presence.connectivity(device.hardware_id)},
        "properties": presence.properties(device.hardware_id, device.channel_id),
        "communication": {
            "type": _COMMUNICATION_TYPES[device.protocol],
            "upstream_id": None,
            "hardware_id": device.hardware_id,
            "channel_id": device.channel_id,
            "needs_reprovisioning": device.needs_reprovisioning,
        },
    }


async def _device(request: web.Request, services: Services, device: Device) -> dict[str, Any]:
    wanted = expansions(request)
    view = device_view(device, request[ROLE])
    expanded = traffic_views(device, services.presence)
    view.update({name: expanded[name] for name in expanded.keys() & wanted})
    if "site" in wanted and (site := await services.registry.site(device.site_id)):
        view["site"] = site_view(site, request[ROLE])
    return view


async def _device_list(request: web.Request, site_id: str | None) -> web.Response:
    services = request.app[SERVICES]
    page: Page = await services.registry.devices(site_id, *window(request))
    views = [await _device(request, services, device) for device in page.devices]
    return answer({"devices": views, "total_count": page.total})


async def _site_of(request: web.Request) -> Site:
    site_id = request.match_info["site"]
    site = await request.app[SERVICES].registry.site(site_id)
    if site is None:
        raise not_found("site", site_id)
    return site
