"""What the site wants each module to be: the operator's configuration and manifest, as pure facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Identity
from ucm_provision.core.model import MqttProtocol, Product, ProofOfPossession, ProvisionArguments, WifiNetwork

# Products that this version provisions, and by which call of the API.
_KINDS = {Product.UCM: "ucm"}


@dataclass(frozen=True, slots=True)
class ExpectedModule:
    """One line of the manifest. Empty or None: as the site's defaults say."""

    hardware_id: str
    name: str = ""
    protocol: MqttProtocol | None = None
    pop: ProofOfPossession | None = None


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What this box does with the modules of its site.

    Attributes:
        box_id: The owner that modules are reserved for, 1 to 64 printable ASCII characters.
        site_id: The API's site; None: the API's only one.
        site_pop: The proof of possession of modules that the manifest does not list.
        trial_s: How long a module may try its new configuration, in seconds.
    """

    box_id: str
    site_id: str | None = None
    protocol: MqttProtocol = MqttProtocol.MQTTS
    wifi: tuple[WifiNetwork, ...] = ()
    trial_s: int = policy.TRIAL_DEFAULT
    site_pop: ProofOfPossession | None = None
    expected: Mapping[str, ExpectedModule] = field(default_factory=dict)

    def pop_for(self, announced_id: str | None) -> ProofOfPossession | None:
        """The proof of possession to try, first from the manifest, then the site's own (cables only)."""
        listed = self.expected.get(announced_id) if announced_id else None
        return listed.pop if listed and listed.pop else self.site_pop

    def arguments_for(self, identity: Identity, site_id: str) -> ProvisionArguments:
        """With what the API is asked to add this module.

        Raises:
            UcmError: product_unsupported.
        """
        kind = _KINDS.get(identity.product)
        if kind is None:
            raise UcmError(Code.PRODUCT_UNSUPPORTED, f"{identity.model} is a {identity.product.value}")
        listed = self.expected.get(identity.hardware_id) or ExpectedModule(identity.hardware_id)
        return ProvisionArguments(
            kind=kind,
            hardware_id=identity.hardware_id,
            site_id=site_id,
            name=listed.name or f"{identity.model} {identity.hardware_id[-6:]}",
            protocol=listed.protocol or self.protocol,
        )
