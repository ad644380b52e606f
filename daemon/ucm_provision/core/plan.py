"""What the site wants each module to be: the operator's configuration and manifest, as pure facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Identity
from ucm_provision.core.kinds import WITH_CONFIG, DeviceType, Kind
from ucm_provision.core.model import (
    Attached,
    Carrier,
    MqttProtocol,
    Product,
    ProofOfPossession,
    ProvisionArguments,
    WifiNetwork,
)

# By which call of the API each product is provisioned, and as which type of embedded device.
_CALLS: dict[Product, tuple[Kind, DeviceType | None]] = {
    Product.UCM: (Kind.UCM, None),
    Product.ELECTROLYSER: (Kind.EMBEDDED, DeviceType.ELECTROLYSER),
    Product.DRYER: (Kind.EMBEDDED, DeviceType.DRYER),
    Product.WATER_TANK: (Kind.EMBEDDED, DeviceType.WATER_TANK),
    Product.LINK_MASTER: (Kind.LINK_MASTER, None),
}


class ExpectedKind(StrEnum):
    """What the manifest says a module is: a product with a cable of its own, or a LINK slave."""

    UCM = "ucm"
    ELECTROLYSER = "electrolyser"
    DRYER = "dryer"
    WATER_TANK = "water_tank"
    LINK_MASTER = "link_master"
    LINK_SLAVE = "link_slave"


class UsbPolicy(StrEnum):
    """Which modules on cables are provisioned without an operator's approval."""

    AUTO = "auto"  # all whose proof of possession is known: a cable is a person's hand
    LISTED = "listed"  # those that the manifest lists
    ASK = "ask"  # none


class LanPolicy(StrEnum):
    """Which modules on the LAN are spoken to without an operator's approval."""

    LISTED = "listed"  # those that the manifest lists with a proof of possession of their own
    ASK = "ask"  # none


@dataclass(frozen=True, slots=True)
class ExpectedModule:
    """One line of the manifest. Empty or None: as the site's defaults say.

    Attributes:
        slug: What the module's device is to be called; the API chooses one when it adds the device.
        master: The hardware id of the LINK master that a slave hangs on.
        blueprint: The blueprint of the Lua device that is to run on the module.
    """

    hardware_id: str
    name: str = ""
    protocol: MqttProtocol | None = None
    pop: ProofOfPossession | None = None
    kind: ExpectedKind | None = None
    slug: str = ""
    master: str = ""
    blueprint: str = ""


class WifiProfiles(Protocol):
    """The site's networks in order of preference, three at most. They change while the daemon runs."""

    @property
    def networks(self) -> tuple[WifiNetwork, ...]: ...


@dataclass(frozen=True, slots=True)
class FixedProfiles:
    """Networks that never change."""

    networks: tuple[WifiNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What this box does with the modules of its site.

    Attributes:
        box_id: The owner that modules are reserved for, 1 to 64 printable ASCII characters.
        site_id: The API's site; None: the API's only one.
        site_pop: The proof of possession of modules that the manifest does not list.
        trial_s: How long a module may try its new configuration, in seconds.
        verify_later: This is a staging bench, without the network that modules are configured for. Cables only.
        lan_site_pop: The site's proof of possession may be tried on the LAN too.
    """

    box_id: str
    site_id: str | None = None
    protocol: MqttProtocol = MqttProtocol.MQTTS
    profiles: WifiProfiles = FixedProfiles()
    trial_s: int = policy.TRIAL_DEFAULT
    site_pop: ProofOfPossession | None = None
    verify_later: bool = False
    lan_site_pop: bool = False
    usb: UsbPolicy = UsbPolicy.AUTO
    lan: LanPolicy = LanPolicy.LISTED
    expected: Mapping[str, ExpectedModule] = field(default_factory=dict)

    @property
    def wifi(self) -> tuple[WifiNetwork, ...]:
        return self.profiles.networks

    def pop_for(self, announced_id: str | None, carrier: Carrier) -> ProofOfPossession | None:
        """The proof of possession to try, first from the manifest, then the site's own (on cables, unless told)."""
        listed = self.expected.get(announced_id) if announced_id else None
        if listed and listed.pop:
            return listed.pop
        return self.site_pop if carrier is Carrier.SERIAL or self.lan_site_pop else None

    def permits(self, hardware_id: str, carrier: Carrier) -> bool:
        """Whether the module may be provisioned over this carrier without an operator's approval.

        Over the LAN it may not even be spoken to before: anybody may announce himself there.
        """
        listed = hardware_id in self.expected
        if carrier is Carrier.SERIAL:
            return self.usb is UsbPolicy.AUTO or (self.usb is UsbPolicy.LISTED and listed)
        known = self.pop_for(hardware_id, carrier) is not None
        return self.lan is LanPolicy.LISTED and listed and known

    def listed(self, hardware_id: str) -> ExpectedModule:
        """The module's line of the manifest, or an empty one."""
        return self.expected.get(hardware_id) or ExpectedModule(hardware_id)

    def arguments_for(self, identity: Identity, site_id: str, *, named: str = "") -> ProvisionArguments:
        """With what the API is asked to add this module. ``named``: what an operator called it.

        Raises:
            UcmError: kind_mismatch.
        """
        kind, device_type = _CALLS[identity.product]
        listed = self.listed(identity.hardware_id)
        if listed.kind not in (None, identity.product.value.lower()):
            raise UcmError(Code.KIND_MISMATCH, f"a {listed.kind} is expected, it is a {identity.product.value.lower()}")
        return ProvisionArguments(
            kind=kind,
            hardware_id=identity.hardware_id,
            site_id=site_id,
            name=named or listed.name or _default_name(identity.model, identity.hardware_id),
            protocol=(listed.protocol or self.protocol) if kind in WITH_CONFIG else None,
            device_type=device_type,
        )

    def slave_arguments(self, slave: Attached, master: ProvisionArguments, master_device_id: str) -> ProvisionArguments:
        """With what the API is asked to add a LINK slave, once its master is there.

        Raises:
            UcmError: kind_mismatch.
        """
        listed = self.listed(slave.hardware_id)
        if listed.kind not in (None, ExpectedKind.LINK_SLAVE):
            raise UcmError(Code.KIND_MISMATCH, f"a {listed.kind} is expected, {slave.hardware_id} is a LINK slave")
        if listed.master not in ("", master.hardware_id):
            raise UcmError(Code.KIND_MISMATCH, f"{slave.hardware_id} is expected behind {listed.master}")
        return ProvisionArguments(
            kind=Kind.LINK_SLAVE,
            hardware_id=slave.hardware_id,
            site_id=master.site_id,
            name=listed.name or _default_name(slave.model, slave.hardware_id),
            master_device_id=master_device_id,
        )


def _default_name(model: str, hardware_id: str) -> str:
    return f"{model} {hardware_id[-6:]}"
