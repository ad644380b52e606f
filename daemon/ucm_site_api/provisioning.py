"""The provisioning calls: what each makes of its arguments."""

import asyncio
from functools import partial
from typing import Literal

from ucm_site_api import texts
from ucm_site_api.errors import ApiError, invalid_field
from ucm_site_api.identifiers import new_standalone_id
from ucm_site_api.issuing import Issuer
from ucm_site_api.messages import (
    CommunicationConfig,
    Protocol,
    ProvisionEmbedded,
    ProvisionGateway,
    ProvisionLinkSlave,
    ProvisionLocal,
    ProvisionLua,
    ProvisionStandalone,
    ProvisionUcm,
)
from ucm_site_api.records import Device, DeviceDraft, Site
from ucm_site_api.registry import Registry
from ucm_site_api.settings import Settings

_UCM_CHANNEL = "ucm"
_GATEWAY_CHANNEL = "gw"
_STANDALONE_CHANNEL = "s"

# Devices that are clients of the broker themselves. The others are spoken for by their runtime or their master.
_CONFIGURED = frozenset({"HARDWARE_UCM", "EMBEDDED_UCM", "VIRTUAL_UCM", "STANDALONE", "GATEWAY"})


class Provisioner:
    """Answers the provisioning calls.

    `site_id` is the site that a call is for, None for the server's only one. Each raises ApiError: 400 a field is
    not acceptable, 409 and 422 as the registry says; and those that issue credentials 503, the broker is away.
    """

    def __init__(self, settings: Settings, registry: Registry, issuer: Issuer) -> None:
        self._settings = settings
        self._registry = registry
        self._issuer = issuer

    async def provision_ucm(self, wish: ProvisionUcm, site_id: str | None) -> tuple[Device, CommunicationConfig]:
        """A UCM with fresh credentials; asked again for the same module, the same device. So for all below."""
        draft = DeviceDraft(
            "HARDWARE_UCM",
            site_id,
            texts.name(wish.name),
            hardware_id=texts.hardware_id(wish.hardware_id),
            channel_id=_UCM_CHANNEL,
        )
        return await self._connected(draft, wish.protocol)

    async def provision_embedded(
        self, wish: ProvisionEmbedded, site_id: str | None
    ) -> tuple[Device, CommunicationConfig]:
        """An electrolyser, dryer or water tank."""
        draft = DeviceDraft(
            "EMBEDDED_UCM",
            site_id,
            texts.name(wish.name),
            hardware_id=texts.hardware_id(wish.hardware_id),
            channel_id=_UCM_CHANNEL,
            embedded_type=wish.device_type,
        )
        return await self._connected(draft, wish.protocol)

    async def provision_gateway(self, wish: ProvisionGateway, *, may_found: bool) -> tuple[Device, CommunicationConfig]:
        """A Gateway. It brings its site along: one that is not here yet is made, if `may_found`."""
        self._require_role("cloud", "A Gateway is provisioned to the cloud; this server is a Gateway's.")
        founded = Site(
            texts.printable(wish.site_id, "$.site_id"),
            texts.name(wish.site_name, "$.site_name"),
            await asyncio.to_thread(texts.timezone, wish.site_timezone, "$.site_timezone"),
            texts.location(wish.site_location, "$.site_location"),
        )
        draft = DeviceDraft(
            "GATEWAY",
            wish.site_id,
            f"Gateway {founded.name}"[:255],
            hardware_id=texts.hardware_id(wish.hardware_id),
            channel_id=_GATEWAY_CHANNEL,
        )
        return await self._connected(draft, "MQTTS", founded if may_found else None)

    async def provision_vucm(self, wish: ProvisionLocal, site_id: str | None) -> Device:
        """A virtual UCM: software on the Gateway."""
        return await self._local(self._draft_local("VIRTUAL_UCM", wish, site_id))

    async def provision_link_master(self, wish: ProvisionLocal, site_id: str | None) -> Device:
        """The LINK device that a Gateway speaks to."""
        return await self._local(self._draft_local("LINK_MASTER_UCM", wish, site_id))

    async def provision_link_slave(self, wish: ProvisionLinkSlave, site_id: str | None) -> Device:
        """A LINK device behind a master. Provisioned with another master it has moved there."""
        master = wish.master_device_id or wish.device_id
        if master is None:
            raise invalid_field("$.master_device_id", "Name the LINK master that the device is connected to.")
        draft = DeviceDraft(
            "LINK_SLAVE_UCM",
            site_id,
            texts.name(wish.name),
            hardware_id=texts.hardware_id(wish.hardware_id),
            channel_id=_UCM_CHANNEL,
            upstream_id=master,
        )
        return await self._local(draft)

    async def provision_standalone(self, wish: ProvisionStandalone, site_id: str | None) -> Device:
        """A device of somebody's own software, always a new one; its slug tells it from others."""
        draft = DeviceDraft(
            "STANDALONE",
            site_id,
            texts.name(wish.name),
            hardware_id=new_standalone_id(),
            channel_id=_STANDALONE_CHANNEL,
            slug=texts.slug(wish.slug),
        )
        return await self._registry.enrol(draft, self._settings.now())

    async def provision_lua(self, wish: ProvisionLua, site_id: str | None) -> Device:
        """A script on another device, always a new one."""
        draft = DeviceDraft(
            "LUA",
            site_id,
            texts.name(wish.name),
            slug=texts.slug(wish.slug),
            upstream_id=wish.runtime_id,
            blueprint_id=texts.printable(wish.blueprint_id, "$.blueprint_id"),
        )
        return await self._registry.enrol_lua(draft, self._settings.now())

    async def generate_config(self, device: Device, protocol: Protocol) -> CommunicationConfig:
        """A configuration with fresh credentials for a device that is there."""
        if device.type not in _CONFIGURED or device.hardware_id is None:
            message = f"A device of type {device.type} does not connect to the broker itself."
            raise ApiError(422, "unprocessable_entity", message)
        _, config = await self._issuer.issue(
            device.hardware_id, protocol, lambda issue: self._registry.renew(device.id, issue)
        )
        return config

    def _draft_local(
        self, kind: Literal["VIRTUAL_UCM", "LINK_MASTER_UCM"], wish: ProvisionLocal, site_id: str | None
    ) -> DeviceDraft:
        return DeviceDraft(
            kind,
            site_id,
            texts.name(wish.name),
            hardware_id=texts.hardware_id(wish.hardware_id),
            channel_id=_UCM_CHANNEL,
        )

    async def _local(self, draft: DeviceDraft) -> Device:
        self._require_role("gateway", "Virtual UCMs and LINK devices are provisioned to a Gateway 3.x only.")
        return await self._registry.enrol(draft, self._settings.now())

    async def _connected(
        self, draft: DeviceDraft, protocol: Protocol, founded: Site | None = None
    ) -> tuple[Device, CommunicationConfig]:
        assert draft.hardware_id is not None  # each caller's draft has one
        record = partial(self._registry.enrol_with_credential, draft, founded=founded)
        return await self._issuer.issue(draft.hardware_id, protocol, record)

    def _require_role(self, role: Literal["gateway", "cloud"], message: str) -> None:
        if self._settings.role != role:
            raise ApiError(422, "unprocessable_entity", message)
