"""A simulated module on the LAN: a board, its place in a segment, and a socket for a cable."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from ucm_sim.identity import Identity
from ucm_sim.lan_interface import LanInterface
from ucm_sim.lan_segment import LanSegment
from ucm_sim.module import Module, ModuleOptions

# What it was in when it left the factory, where nothing else is said.
_SOME_NETWORK = {"commissioning": "not-a-secret"}


class LanModule(Module):
    """Powered while it is entered, and reachable at `address` and `port` whenever it is in a network.

    `segment` is where it is in networks that are bound to no segment of their own; in another it has that one's
    address, and the same port if it is free there.

    Without a configuration it is in a network of `wifi` that is in reach; `wifi` by default is all of the air, or any
    one. A Reset makes it forget that, too: nobody reaches it then until `teach_wifi`, or a cable.

    Everything else is said in `Module`. Raises OSError where the address or port cannot be had.
    """

    def __init__(
        self,
        identity: Identity,
        state_file: Path | None,
        segment: LanSegment,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        **options: Unpack[ModuleOptions],
    ) -> None:
        known = options.pop("wifi", None)
        self._lan = LanInterface(segment, address, port)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lan.close)
            super().__init__(identity, state_file, lan=self._lan, **options)
            if not self._slots().is_written:
                self._store_wifi(known or self.radio.air.passphrases or _SOME_NETWORK)
            undo.pop_all()

    async def __aenter__(self) -> Self:
        await self.power_on()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            await self.unplug()
            await self.power_off(goodbye=True)
        finally:
            self.close()

    def close(self) -> None:
        """Give address and port back: for a module that is not entered, which does it by itself."""
        self._lan.close()

    async def power_on(self) -> None:
        """Supply power; nothing happens where it is on."""
        self._switch_on()

    async def power_off(self, *, goodbye: bool = False) -> None:
        """Cut the power, and with it all that is in RAM.

        With `goodbye` it leaves the network first, as at an orderly shutdown; without, mDNS goes on speaking of it
        until the records' time is over. Connections are refused then: the silence of a dead host needs a dead host.
        """
        if goodbye and self._board.firmware is not None and self._board.firmware.lan is not None:
            self._board.firmware.lan.shut(goodbye=True)
        await self._switch_off()

    async def plug(self, link: Path) -> None:
        """Connect the module to a serial port that appears as `link`; raises RuntimeError, OSError."""
        self._cable.plug(link)

    async def unplug(self) -> None:
        """Pull the cable; the power is not the cable's here."""
        await self._cable.unplug()

    def move(self, address: str | None = None, port: int | None = None) -> None:
        """Get another address from the network, or another port: the module drops out and comes back there.

        Raises OSError where that cannot be had; the module stays where it was then.
        """
        self._lan.move(address or self.address, self.port if port is None else port)
        if self._board.firmware is not None:
            self._board.firmware.rejoin()

    def teach_wifi(self, networks: Mapping[str, str]) -> None:
        """Make it know networks (SSID to passphrase) apart from any configuration, as a fitter does at its button."""
        self._store_wifi(networks)
        self._board.reset()

    # ---- facts for tests ----

    @property
    def address(self) -> str:
        return self._lan.address

    @property
    def port(self) -> int:
        return self._lan.port

    @property
    def is_listening(self) -> bool:
        """Whether it is in a network and takes connections."""
        firmware = self._board.firmware
        return firmware is not None and firmware.lan is not None and firmware.lan.is_listening

    @property
    def posts(self) -> int:
        """Requests answered over HTTP."""
        return self._board.counts["posts"]

    @property
    def sessions_opened(self) -> int:
        return self._board.counts["sessions-opened"]

    @property
    def sessions_stolen(self) -> int:
        """Sessions that ended because a request which did not belong to them opened another."""
        return self._board.counts["sessions-replaced"]

    @property
    def sockets_purged(self) -> int:
        """Connections that were closed because another was opened."""
        return self._board.counts["sockets-purged"]
