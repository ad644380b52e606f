"""The firmware's carrier on the LAN: HTTP and mDNS while the module is in a network, nothing while it is not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ucm_sim.http_sessions import HttpSessions
from ucm_sim.httpd import HttpServer
from ucm_sim.identity import Identity
from ucm_sim.lan_interface import LanInterface
from ucm_sim.mdns import Service

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class LanCarrier:
    """Listens whenever it was last told to be `online`.

    `state()` is the word that mDNS has for the module, `spawn` starts a task, and `listening(where)` is called
    when the carrier has begun to listen.
    """

    def __init__(
        self,
        interface: LanInterface,
        server: HttpServer,
        sessions: HttpSessions,
        identity: Identity,
        *,
        state: Callable[[], str],
        spawn: Spawn,
        listening: Callable[[str], None],
    ) -> None:
        self._interface = interface
        self._server = server
        self._sessions = sessions
        self._identity = identity
        self._state = state
        self._spawn = spawn
        self._listening = listening
        self._arriving: asyncio.Task[None] | None = None
        self._published: Service | None = None
        self._is_shut = False

    @property
    def is_listening(self) -> bool:
        return self._published is not None

    def follow(self, *, online: bool) -> None:
        """The module is in a network, or in none; what it says of itself may have changed, too."""
        if self._is_shut:
            return
        if not online:
            self._leave()
        elif self._arriving is None:
            self._arriving = self._spawn(self._arrive())
        elif self._published is not None:
            self._publish()

    def shut(self, *, goodbye: bool = False) -> None:
        """Close everything for good, whatever the module's last moments still bring."""
        self._is_shut = True
        self._leave(goodbye=goodbye)

    def _leave(self, *, goodbye: bool = False) -> None:
        """Close everything at once. A module that drops out of a network cannot say goodbye any more."""
        if self._arriving is None:
            return
        self._arriving.cancel()
        self._arriving = self._published = None
        self._server.stop()
        self._sessions.close()
        self._interface.segment.withdraw(self._instance, goodbye=goodbye)

    @property
    def _instance(self) -> str:
        return f"ucm-{self._identity.hardware_id}"

    async def _arrive(self) -> None:
        await self._server.start(self._interface.listen())
        self._publish()
        self._listening(f"{self._interface.address}:{self._interface.port}")

    def _publish(self) -> None:
        service = self._service()
        if service != self._published:
            self._published = service
            self._interface.segment.publish(service)

    def _service(self) -> Service:
        identity = self._identity
        txt = {
            "v": "1",
            "id": identity.hardware_id,
            "product": identity.product,
            "fw": identity.firmware,
            "state": self._state(),
        }
        return Service(self._instance, self._interface.address, self._interface.port, txt)
