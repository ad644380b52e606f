"""The LAN that simulated modules share: where their mDNS is heard."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ucm_sim.mdns import Responder, Service


class LanSegment:
    """A broadcast domain; its modules are entered inside it.

    `interface_addresses` are those of this machine's interfaces on which mDNS is spoken; the first is also what modules
    get that join a network which is bound to this segment. `ttl_s` is for how many seconds listeners may believe what
    they heard; with `reannounce_s` modules tell it again so often without being asked. With `mdns` false nobody hears
    of the modules.
    Raises OSError when it is entered with an address that no interface has.
    """

    def __init__(
        self,
        interface_addresses: Sequence[str] = ("127.0.0.1",),
        *,
        ttl_s: int = 120,
        reannounce_s: float | None = None,
        mdns: bool = True,
    ) -> None:
        self._addresses = interface_addresses
        self._ttl_s = ttl_s
        self._reannounce_s = reannounce_s
        self._speaks = mdns
        self._responder: Responder | None = None

    async def __aenter__(self) -> Self:
        if self._speaks:
            self._responder = Responder(self._addresses, self._ttl_s, self._reannounce_s)
            await self._responder.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        responder, self._responder = self._responder, None
        if responder is not None:
            await responder.close()

    @property
    def address(self) -> str:
        """What a module gets that joins a network of this segment."""
        return self._addresses[0]

    def publish(self, service: Service) -> None:
        """Announce a service, or what has changed about it."""
        if self._responder is not None:
            self._responder.publish(service)

    def withdraw(self, instance: str, *, goodbye: bool) -> None:
        """Answer for a service no more; with `goodbye` everybody is told."""
        if self._responder is not None:
            self._responder.withdraw(instance, goodbye=goodbye)
