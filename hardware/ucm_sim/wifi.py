"""The module as a station in a Wi-Fi network: join one of several, get an address, notice that it is gone."""

from collections.abc import Callable, Sequence

from ucm_sim.clock import Clock
from ucm_sim.link_state import Association, ConnectError, LinkState
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.radio import Radio

_TRY_AGAIN_S = 5.0


class Station:
    """A station of one radio. `address()` is what the network leases to it; `say` prints on the console."""

    def __init__(self, clock: Clock, radio: Radio, address: Callable[[], str], say: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._radio = radio
        self._address = address
        self._say = say

    def is_joined(self, link: LinkState, networks: Sequence[pb.Wifi]) -> bool:
        """Whether the link is in one of these networks, and the network still there."""
        joined = [network for network in networks if network.ssid == link.association.ssid]
        return any(self._radio.refusal(network) is None for network in joined)

    async def join(self, networks: Sequence[pb.Wifi], enter: Callable[[pb.Phase.ValueType], None]) -> Association:
        """Join the first network that takes the module; raises ConnectError. `enter` is told of each phase."""
        enter(pb.WIFI)
        ssid = await self._associate(networks)
        enter(pb.DHCP)
        await self._clock.sleep(self._radio.lease_s)
        address = self._address()
        self._say("wifi", f"got address {address}")
        return Association(ssid, address)

    async def stay(self, link: LinkState, networks: Sequence[pb.Wifi]) -> None:
        """Be in one of these networks and do nothing there: a module without a configuration."""
        while True:
            if not self.is_joined(link, networks):
                link.association = Association()
                await self._try(link, networks)
            await self._clock.sleep(_TRY_AGAIN_S)

    async def _try(self, link: LinkState, networks: Sequence[pb.Wifi]) -> None:
        try:
            # IDLE stays the phase on show: there is nothing to connect with.
            link.association = await self.join(networks, lambda _: None)
        except ConnectError as failure:
            self._say("wifi", f"{pb.Reason.Name(failure.reason)} ({failure.detail})")

    async def _associate(self, networks: Sequence[pb.Wifi]) -> str:
        worst = ConnectError(pb.WIFI_NOT_FOUND, "no network is configured")
        for network in networks:
            await self._clock.sleep(self._radio.association_s)
            refusal = self._radio.refusal(network)
            if refusal is None:
                self._say("wifi", f"connected to {network.ssid}")
                return network.ssid
            # A wrong passphrase says more than another network that is merely not there.
            if worst.reason != pb.WIFI_AUTH_FAILED:
                worst = ConnectError(refusal, network.ssid)
        raise worst
