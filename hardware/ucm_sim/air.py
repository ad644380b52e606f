"""The air of a site: which Wi-Fi networks are there, for all modules that share it."""

import hashlib
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ucm_sim.lan_segment import LanSegment

USUAL_RSSI_DBM = -58
_CHANNELS = (1, 6, 11)


class UnknownNetworkError(Exception):
    """No network of this air has that SSID; the text says so."""


class Listener(Protocol):
    """Whoever wants to know when something in the air has changed."""

    def air_changed(self) -> None: ...


@dataclass(slots=True)
class Network:
    """A Wi-Fi network, as its access point has it.

    `passphrase` None takes any, "" is an open network. `rssi_dbm` is how strong it is where a module has no view
    of its own. A `hidden` one is joined as any other and has no name in a scan. `bssid` is six bytes; left empty
    they are derived from the SSID. Who joins it is in `segment`; None: in the module's own.
    """

    ssid: str
    passphrase: str | None = field(default=None, repr=False)
    rssi_dbm: int = USUAL_RSSI_DBM
    hidden: bool = False
    bssid: bytes = b""
    segment: LanSegment | None = None
    is_on: bool = True

    def __post_init__(self) -> None:
        # 0x02 marks a locally administered address: no vendor's range is borrowed.
        self.bssid = self.bssid or b"\x02" + hashlib.sha256(self.ssid.encode()).digest()[:5]

    @property
    def channel(self) -> int:
        return _CHANNELS[self.bssid[-1] % len(_CHANNELS)]

    @property
    def is_open(self) -> bool:
        return self.passphrase == ""


class Air:
    """The networks of a site. Modules notice each change at once.

    In an air of `any_network`, every network exists as soon as somebody names it, and takes any passphrase; it is as
    strong as `rssi_dbm`.
    """

    def __init__(
        self, networks: Iterable[Network] = (), *, any_network: bool = False, rssi_dbm: int = USUAL_RSSI_DBM
    ) -> None:
        self._networks = {network.ssid: network for network in networks}
        self._any_network = any_network
        self._rssi_dbm = rssi_dbm
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()

    @classmethod
    def of(cls, passphrases: Mapping[str, str] | None, rssi_dbm: int = USUAL_RSSI_DBM) -> "Air":
        """An air with these networks (SSID to passphrase); of none given: of any network."""
        named = [Network(ssid, passphrase, rssi_dbm) for ssid, passphrase in (passphrases or {}).items()]
        return cls(named, any_network=not named, rssi_dbm=rssi_dbm)

    @property
    def networks(self) -> list[Network]:
        return list(self._networks.values())

    @property
    def passphrases(self) -> dict[str, str]:
        """SSID to passphrase of the networks that have one: what a module must know to join any of them."""
        return {one.ssid: one.passphrase for one in self.networks if one.passphrase is not None}

    def find(self, ssid: str) -> Network | None:
        """The network, also one that is switched off."""
        if self._any_network and ssid not in self._networks:
            self._networks[ssid] = Network(ssid, rssi_dbm=self._rssi_dbm)
        return self._networks.get(ssid)

    def __getitem__(self, ssid: str) -> Network:
        """The network; raises UnknownNetworkError."""
        network = self.find(ssid)
        if network is None:
            raise UnknownNetworkError(f"no network {ssid!r}")
        return network

    def add(self, network: Network) -> None:
        """Set up an access point, or replace the one that has its SSID."""
        self._networks[network.ssid] = network
        self._changed()

    def switch_off(self, ssid: str) -> None:
        """Switch an access point off: who is in its network loses it. Raises UnknownNetworkError."""
        self[ssid].is_on = False
        self._changed()

    def switch_on(self, ssid: str) -> None:
        """Switch an access point on again; raises UnknownNetworkError."""
        self[ssid].is_on = True
        self._changed()

    def change_passphrase(self, ssid: str, passphrase: str) -> None:
        """Throw out whoever is in the network with another passphrase; raises UnknownNetworkError."""
        self[ssid].passphrase = passphrase
        self._changed()

    def tell(self, listener: Listener) -> None:
        """Tell a listener of every change for as long as it lives."""
        self._listeners.add(listener)

    def _changed(self) -> None:
        for listener in list(self._listeners):
            listener.air_changed()
