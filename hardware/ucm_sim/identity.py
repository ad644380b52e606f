"""Who a simulated module is: what the factory gave it."""

import hashlib
from dataclasses import dataclass, field

from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.srp import Verifier

# The user name of Espressif's provisioning tools, part of the verifier and of the proof.
DEFAULT_USERNAME = "wifiprov"


@dataclass(frozen=True, slots=True)
class Attached:
    """A LINK slave behind a LINK master."""

    hardware_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The factory's part of a module; it survives every reset.

    `mac` is six bytes; left empty it is derived from the hardware id. `verifier` is one that another tool
    made; without it the module makes its own from `username` and `pop`. Raises ValueError for a product that
    the link does not know.
    """

    hardware_id: str
    pop: str = field(repr=False)
    product: str = "UCM"
    model: str = "ENP-RL6"
    firmware: str = "2.4.1"
    channel_id: str = "ucm"
    mac: bytes = b""
    username: str = DEFAULT_USERNAME
    attached: tuple[Attached, ...] = ()
    verifier: Verifier | None = None

    def __post_init__(self) -> None:
        if self.product not in product_names():
            raise ValueError(f"unknown product {self.product!r}; known: {', '.join(product_names())}")
        if not self.mac:
            object.__setattr__(self, "mac", _derived_mac(self.hardware_id))

    @property
    def product_number(self) -> pb.Product.ValueType:
        return pb.Product.Value(self.product)

    @property
    def address(self) -> str:
        """The IPv4 address that the simulated network leases to this module."""
        return f"192.168.{100 + self.mac[4] % 100}.{2 + self.mac[5] % 250}"


def product_names() -> list[str]:
    return [name for name, _ in pb.Product.items() if name != "PRODUCT_UNSPECIFIED"]


def _derived_mac(hardware_id: str) -> bytes:
    # 0x02 marks a locally administered address: no vendor's range is borrowed.
    return b"\x02" + hashlib.sha256(hardware_id.encode()).digest()[:5]
