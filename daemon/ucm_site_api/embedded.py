"""The embedded broker in its place: it asks the registry at every connection, so it needs to be told nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket

from ucm_site_api.access import AccessControl
from ucm_site_api.authority import Authority
from ucm_site_api.broker import SiteBroker
from ucm_site_api.brokers import BrokerServices, MqttCredentials
from ucm_site_api.messages import Protocol
from ucm_site_api.settings import Settings
from ucm_site_api.sockets import bind, port_of
from ucm_site_api.state import write_private
from ucm_site_api.tls import server_context


class EmbeddedBroker:
    """`ucm_site_api.brokers.Broker` in this process."""

    def __init__(self, settings: Settings, plain: socket, tls: socket) -> None:
        self.attention = asyncio.Event()
        self._settings = settings
        self._plain = plain
        self._tls = tls
        self._broker: SiteBroker | None = None

    @classmethod
    @contextmanager
    def bound(cls, settings: Settings) -> Iterator["EmbeddedBroker"]:
        """One that has its ports, and serves nobody yet.

        Raises:
            SiteStartError: a port cannot be had.
        """
        with bind(settings.mqtt_listen, "MQTT") as plain, bind(settings.mqtts_listen, "MQTT over TLS") as tls:
            yield cls(settings, plain, tls)

    @property
    def ports(self) -> dict[Protocol, int]:
        """The ports that were bound."""
        return {"MQTT": port_of(self._plain), "MQTTS": port_of(self._tls)}

    @asynccontextmanager
    async def serving(self, services: BrokerServices) -> AsyncIterator[None]:
        """Serve inside the block."""
        context = await asyncio.to_thread(_context, self._settings, services.authority)
        access = AccessControl(services.registry, services.now)
        self._broker = SiteBroker(self._plain, self._tls, context, access, services.observe)
        await self._broker.start()
        try:
            yield
        finally:
            await self._broker.shutdown()

    @asynccontextmanager
    async def admitted(self, hardware_id: str, credentials: MqttCredentials) -> AsyncIterator[None]:  # noqa: ARG002 -- the registry knows
        """Nothing to do: what the block writes is what counts."""
        yield

    async def enforce_ends(self) -> None:
        """End the sessions of ended credentials; new ones are refused anyway."""
        if self._broker is not None:
            await self._broker.end_sessions_without_credential()


def _context(settings: Settings, authority: Authority) -> ssl.SSLContext:
    certificate_file = settings.state / "broker.pem"
    issued = authority.issue_server(settings.reachable_host, settings.now())
    write_private(certificate_file, (issued.private_key + issued.certificate).encode())
    return server_context(certificate_file, authority.certificate)
