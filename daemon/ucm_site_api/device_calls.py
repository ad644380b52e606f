"""Devices over HTTP: looked at, listed, changed, configured, deleted."""

from ucm_site_api import texts
from ucm_site_api.messages import (
    AssignBlueprint,
    ChangeDevice,
    Configured,
    DeviceAnswer,
    DeviceList,
    DeviceView,
    GenerateConfig,
    Nothing,
)
from ucm_site_api.operations import PAGE, Call, Operation
from ucm_site_api.records import Device
from ucm_site_api.views import device_view


async def get_device(call: Call) -> DeviceAnswer:
    """One device by id or slug."""
    return DeviceAnswer(await _view(call, await call.device()))


async def list_devices(call: Call) -> DeviceList:
    """Devices of all sites, oldest first."""
    return await _list(call, call.bearer.site_id)


async def list_site_devices(call: Call) -> DeviceList:
    """Devices of one site, oldest first."""
    return await _list(call, (await call.site()).id)


async def change_device(call: Call, wish: ChangeDevice) -> DeviceAnswer:
    """Give a device another name or slug; null leaves what there is."""
    name = None if wish.name is None else texts.name(wish.name)
    device, services = await call.device(), call.services
    changed = await services.registry.change_device(device.id, name, texts.slug(wish.slug), services.now())
    return DeviceAnswer(await _view(call, changed))


async def delete_device(call: Call) -> Nothing:
    """Delete a device and end its credentials; not while other devices run on it."""
    device, services = await call.device(), call.services
    await services.registry.delete_device(device.id, services.now())
    await services.broker.enforce_ends()
    if device.hardware_id is not None:
        services.presence.forget(device.hardware_id)
    return Nothing()


async def generate_config(call: Call, wish: GenerateConfig) -> Configured:
    """Issue fresh credentials and the configuration with them; earlier ones end after their grace."""
    return Configured(await call.services.provisioner.generate_config(await call.device(), wish.protocol))


async def assign_blueprint(call: Call, wish: AssignBlueprint) -> DeviceAnswer:
    """Give a device another blueprint, which is the platform's own: here it is only kept."""
    blueprint_id = texts.printable(wish.blueprint_id, "$.blueprint_id")
    device, services = await call.device(), call.services
    return DeviceAnswer(
        await _view(call, await services.registry.assign_blueprint(device.id, blueprint_id, services.now()))
    )


async def _view(call: Call, device: Device) -> DeviceView:
    wanted = call.expansions
    site = await call.services.registry.site(device.site_id) if "site" in wanted else None
    return device_view(device, call.bearer.role, call.services.presence, wanted, site)


async def _list(call: Call, site_id: str | None) -> DeviceList:
    page = await call.services.registry.devices(site_id, *call.window)
    return DeviceList([await _view(call, device) for device in page.items], page.total)


OPERATIONS = (
    Operation("GET", "/devices", list_devices, DeviceList, query=("expand", *PAGE)),
    Operation("GET", "/sites/{site}/devices", list_site_devices, DeviceList, query=("expand", *PAGE)),
    *(
        operation
        for path in ("/devices/{device}", "/sites/{site}/devices/{device}")
        for operation in (
            Operation("GET", path, get_device, DeviceAnswer, query=("expand",)),
            Operation(
                "PATCH",
                path,
                change_device,
                DeviceAnswer,
                ChangeDevice,
                query=("expand",),
                least="OWNER",
                refusals=frozenset({409}),
            ),
            Operation("DELETE", path, delete_device, Nothing, least="OWNER", refusals=frozenset({422})),
        )
    ),
    Operation(
        "POST",
        "/devices/{device}/generate_config",
        generate_config,
        Configured,
        GenerateConfig,
        least="OWNER",
        refusals=frozenset({422, 503}),
    ),
    Operation(
        "POST",
        "/devices/{device}/assign_blueprint",
        assign_blueprint,
        DeviceAnswer,
        AssignBlueprint,
        query=("expand",),
        least="OWNER",
    ),
)
