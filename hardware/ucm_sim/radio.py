"""The air around a module: which networks are there, and with which passphrase."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ucm_sim.messages import ucm_link_pb2 as pb


@dataclass(slots=True)
class Radio:
    """A simulated Wi-Fi radio.

    `networks` maps SSID to passphrase and may change while the module lives. While it is empty, every
    network exists and takes any passphrase. Durations are in seconds of the module's time.
    """

    networks: Mapping[str, str] = field(default_factory=dict, repr=False)
    rssi_dbm: int = -58
    association_s: float = 0.4
    lease_s: float = 0.2

    def refusal(self, network: pb.Wifi) -> pb.Reason.ValueType | None:
        """Why the network cannot be joined, or None if it can."""
        if not self.networks:
            return None
        if network.ssid not in self.networks:
            return pb.WIFI_NOT_FOUND
        if self.networks[network.ssid] != network.passphrase:
            return pb.WIFI_AUTH_FAILED
        return None
