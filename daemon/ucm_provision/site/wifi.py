"""The site's Wi-Fi networks: those of the configuration, until operators make a list of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import WifiNetwork

Networks = tuple[WifiNetwork, ...]


class WifiStore(Protocol):
    """Where the operators' list outlives the daemon."""

    @property
    def networks(self) -> Networks | None:
        """None: there is no such list."""

    async def keep_networks(self, networks: Networks | None, /) -> None:
        """On disk when this returns."""


class Profiles:
    """:class:`~ucm_provision.core.plan.WifiProfiles` that operators change.

    One list counts, as a whole. The operators' first change makes a copy of the configured networks, passphrases
    included, and from then on that list is the truth, whatever the configuration says, until :meth:`reset`.

    Attributes:
        changed: Called after every change of :attr:`networks`, when it is on disk.
    """

    def __init__(self, configured: Networks, store: WifiStore) -> None:
        self._configured = configured
        self._store = store
        self._changing = asyncio.Lock()
        self.changed: list[Callable[[], None]] = []

    @property
    def networks(self) -> Networks:
        """In order of preference, three at most."""
        kept = self._store.networks
        return self._configured if kept is None else kept

    @property
    def configured(self) -> Networks:
        """What :meth:`reset` returns to."""
        return self._configured

    @property
    def chosen_by_operators(self) -> bool:
        return self._store.networks is not None

    async def add(self, network: WifiNetwork, *, first: bool = False) -> None:
        """Adds the network as the last choice, or in place of the one of the same name; ``first``: as the first.

        Raises:
            UcmError: wifi_full, or secrets_not_kept.
        """
        async with self._changing:
            await self._keep(_with_network(self.networks, network, first=first))

    async def prefer(self, ssid: str) -> None:
        """Makes a network the first choice. Raises UcmError: wifi_unknown, or secrets_not_kept."""
        async with self._changing:
            network = _named(self.networks, ssid)
            await self._keep((network, *_others(self.networks, ssid)))

    async def drop(self, ssid: str) -> None:
        """Takes a network off the list. Raises UcmError: wifi_unknown, or secrets_not_kept."""
        async with self._changing:
            _named(self.networks, ssid)
            await self._keep(_others(self.networks, ssid))

    async def reset(self) -> None:
        """Forgets the operators' list: the configuration counts again. Raises UcmError: secrets_not_kept."""
        async with self._changing:
            await self._keep(None)

    async def _keep(self, kept: Networks | None) -> None:
        before = self.networks
        await self._store.keep_networks(kept)
        if self.networks != before:
            for tell in self.changed:
                tell()


def _with_network(networks: Networks, network: WifiNetwork, *, first: bool) -> Networks:
    others = _others(networks, network.ssid)
    if len(others) >= policy.WIFI_NETWORKS_LARGEST:
        raise UcmError(Code.WIFI_FULL, ", ".join(_names(networks)))
    names = _names(networks)
    place = 0 if first else names.index(network.ssid) if network.ssid in names else len(others)
    return (*others[:place], network, *others[place:])


def _others(networks: Networks, ssid: str) -> Networks:
    return tuple(network for network in networks if network.ssid != ssid)


def _named(networks: Networks, ssid: str) -> WifiNetwork:
    for network in networks:
        if network.ssid == ssid:
            return network
    raise UcmError(Code.WIFI_UNKNOWN, f"known are: {', '.join(_names(networks)) or 'none'}")


def _names(networks: Sequence[WifiNetwork]) -> list[str]:
    return [network.ssid for network in networks]
