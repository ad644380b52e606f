"""A module's radio: what it hears of the air, and how strongly."""

import asyncio
from dataclasses import dataclass

from ucm_sim.air import Air, Network
from ucm_sim.lan_segment import LanSegment
from ucm_sim.messages import ucm_link_pb2 as pb


@dataclass(frozen=True, slots=True)
class Heard:
    """A network as this radio hears it."""

    network: Network
    rssi_dbm: int


class Radio:
    """One module's view of the air.

    Joining takes `association_s`, getting an address `lease_s`: seconds of the module's time.
    """

    def __init__(self, air: Air, *, association_s: float = 0.4, lease_s: float = 0.2) -> None:
        self.air = air
        self.association_s = association_s
        self.lease_s = lease_s
        self._own_dbm: dict[str, int] = {}
        self._out_of_range: set[str] = set()
        self._joined: tuple[pb.Wifi, asyncio.Future[pb.Reason.ValueType]] | None = None
        air.tell(self)

    def refusal(self, wanted: pb.Wifi) -> pb.Reason.ValueType | None:
        """Why the network cannot be joined, or None if it can."""
        network = self.air.find(wanted.ssid)
        if network is None or not self._hears(network) or wanted.bssid not in (b"", network.bssid):
            return pb.WIFI_NOT_FOUND
        if network.passphrase not in (None, wanted.passphrase):
            return pb.WIFI_AUTH_FAILED
        return None

    async def lost(self, joined: pb.Wifi) -> pb.Reason.ValueType:
        """Wait until a network that the module is in is gone, or throws it out; return why."""
        self._joined = joined, asyncio.get_running_loop().create_future()
        self.air_changed()
        try:
            return await self._joined[1]
        finally:
            self._joined = None

    def air_changed(self) -> None:
        """Look whether the module still has its network: now, since it may be there again in a moment."""
        if self._joined is None:
            return
        network, gone = self._joined
        refusal = self.refusal(network)
        if refusal is not None and not gone.done():
            gone.set_result(refusal)

    def scan(self) -> list[Heard]:
        """What the module hears, the strongest first."""
        heard = [Heard(network, self.rssi_dbm(network.ssid)) for network in self.air.networks if self._hears(network)]
        return sorted(heard, key=lambda one: one.rssi_dbm, reverse=True)

    def rssi_dbm(self, ssid: str) -> int:
        """How strongly it hears a network; 0 for none that it hears."""
        network = self.air.find(ssid) if ssid else None
        if network is None or not self._hears(network):
            return 0
        return self._own_dbm.get(ssid, network.rssi_dbm)

    def set_rssi(self, ssid: str, rssi_dbm: int) -> None:
        """Make it hear a network as strongly as this, whatever others hear; raises UnknownNetworkError."""
        self._own_dbm[self.air[ssid].ssid] = rssi_dbm

    def leave_range(self, ssid: str) -> None:
        """Carry the module where it does not hear the network; raises UnknownNetworkError."""
        self._out_of_range.add(self.air[ssid].ssid)
        self.air_changed()

    def enter_range(self, ssid: str) -> None:
        """Bring the module back into the network's range; raises UnknownNetworkError."""
        self._out_of_range.discard(self.air[ssid].ssid)

    def segment(self, ssid: str) -> LanSegment | None:
        """Where somebody is who has joined the network; None: where the module always is."""
        network = self.air.find(ssid)
        return network.segment if network else None

    def _hears(self, network: Network) -> bool:
        return network.is_on and network.ssid not in self._out_of_range
