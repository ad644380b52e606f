"""The module as a station in a Wi-Fi network: join one of several, get an address, notice that it is gone."""

from collections.abc import Callable, Sequence

from ucm_sim.clock import Clock
from ucm_sim.link_state import Association, ConnectError, LinkState
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.radio import Radio

_TRY_AGAIN_S = 5.0


class Station:
    """A station of one radio. `lease(ssid)` enters the network's segment and returns the address there.

    `lease` raises OSError where there is none to be had; `say(tag, sentence)` prints on the console.
    """

    def __init__(
        self, clock: Clock, radio: Radio, lease: Callable[[str], str], say: Callable[[str, str], None]
    ) -> None:
        self._clock = clock
        self._radio = radio
        self._lease = lease
        self._say = say
        self._joined = pb.Wifi()

    async def join(self, networks: Sequence[pb.Wifi], enter: Callable[[pb.Phase.ValueType], None]) -> Association:
        """Join the first network that takes the module; raises ConnectError. `enter` is told of each phase."""
        enter(pb.WIFI)
        self._joined = await self._associate(networks)
        enter(pb.DHCP)
        await self._clock.sleep(self._radio.lease_s)
        address = self._address()
        self._say("wifi", f"got address {address}")
        return Association(self._joined.ssid, address)

    async def lose(self, link: LinkState) -> None:
        """Wait until the network that was joined is lost; raises ConnectError then, in the phase WIFI."""
        reason = await self._radio.lost(self._joined)
        link.leave_network()
        raise ConnectError(reason, f"{self._joined.ssid} is lost")

    async def stay(self, link: LinkState, networks: Sequence[pb.Wifi]) -> None:
        """Be in one of these networks and do nothing there: a module without a configuration."""
        while True:
            try:
                # IDLE stays the phase on show: there is nothing to connect with.
                link.association = await self.join(networks, lambda _: None)
                await self.lose(link)
            except ConnectError as failure:
                self._say("wifi", f"{pb.Reason.Name(failure.reason)} ({failure.detail})")
            await self._clock.sleep(_TRY_AGAIN_S)

    async def _associate(self, networks: Sequence[pb.Wifi]) -> pb.Wifi:
        worst = ConnectError(pb.WIFI_NOT_FOUND, "no network is configured")
        for network in networks:
            await self._clock.sleep(self._radio.association_s)
            refusal = self._radio.refusal(network)
            if refusal is None:
                self._say("wifi", f"connected to {network.ssid}")
                return network
            # A wrong passphrase says more than another network that is merely not there.
            if worst.reason != pb.WIFI_AUTH_FAILED:
                worst = ConnectError(refusal, network.ssid)
        raise worst

    def _address(self) -> str:
        try:
            return self._lease(self._joined.ssid)
        except OSError as failure:
            raise ConnectError(pb.DHCP_TIMEOUT, f"{self._joined.ssid} has no address to give") from failure
