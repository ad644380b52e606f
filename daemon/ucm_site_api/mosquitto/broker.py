"""mosquitto in the broker's place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress

import structlog

from ucm_site_api.brokers import BrokerServices, MqttCredentials
from ucm_site_api.errors import BrokerUnavailableError, SiteStartError
from ucm_site_api.messages import CertificateCredentials, Protocol
from ucm_site_api.mosquitto.clients import PasswordClients
from ucm_site_api.mosquitto.control import ControlConnection
from ucm_site_api.mosquitto.files import MosquittoFiles
from ucm_site_api.mosquitto.reload import reload_by_command, reload_by_pid_file
from ucm_site_api.mosquitto.revocations import Revocations
from ucm_site_api.settings import Mosquitto, Settings
from ucm_site_api.sockets import local_host
from ucm_site_api.upkeep import cancelled

log = structlog.get_logger(__name__)

# A mosquitto that runs is there sooner; the server starts without it, too.
_FIRST_CONNECTION_SECONDS = 2.0


class MosquittoBroker:
    """`ucm_site_api.brokers.Broker` with a mosquitto that somebody else starts, stops and restarts."""

    def __init__(self, settings: Settings, mosquitto: Mosquitto) -> None:
        self.attention = asyncio.Event()
        self._settings = settings
        self._files = MosquittoFiles(settings.state.absolute())
        command = mosquitto.reload
        self._reload = reload_by_command(command) if command else reload_by_pid_file(self._files.process_id)
        self._upkeep = asyncio.Lock()

    @property
    def ports(self) -> dict[Protocol, int]:
        """The ports of the settings."""
        return {"MQTT": self._settings.mqtt_listen[1], "MQTTS": self._settings.mqtts_listen[1]}

    @asynccontextmanager
    async def serving(self, services: BrokerServices) -> AsyncIterator[None]:
        """Be connected inside the block, or about to be."""
        password = await asyncio.to_thread(self._control_password)
        host, port = self._settings.mqtt_listen
        self._control = ControlConnection((local_host(host), port), password, services.observe, self.attention.set)
        self._clients = PasswordClients(self._control, services.registry, services.now)
        self._revocations = Revocations(
            self._files.revocations, services.authority, services.registry, services.now, self._reload
        )
        connection = asyncio.create_task(self._control.run())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_CONNECTION_SECONDS):
                    await self.attention.wait()
            yield
        finally:
            await cancelled(connection)

    def admitted(self, hardware_id: str, credentials: MqttCredentials) -> AbstractAsyncContextManager[None]:
        """A certificate speaks for itself; a password has to be known to mosquitto before it is of use."""
        if isinstance(credentials, CertificateCredentials):
            return nullcontext()
        return self._clients.admitted(hardware_id, credentials)

    async def enforce_ends(self) -> None:
        """Bring revocation list and clients in line with the registry, as far as mosquitto is there."""
        async with self._upkeep:
            await self._revocations.refresh()
            with suppress(BrokerUnavailableError):  # once it is back, the connection asks for attention
                await self._clients.reconcile()
                await self._end_sessions()

    async def _end_sessions(self) -> None:
        """mosquitto looks at certificates when a session begins, and does not know which session came with which.

        So every session of a certificate's subject is ended, once. Those of a password end with its client.
        """
        ended = self._revocations.to_be_enforced
        for subject in sorted({certificate.subject for certificate in ended}):
            await self._clients.disconnect(subject)
            log.info("sessions of an ended certificate's subject ended", subject=subject)
        self._revocations.enforced(ended)

    def _control_password(self) -> str:
        try:
            return self._files.control_password.read_text().strip()
        except OSError as cause:
            raise SiteStartError(
                f"There is no mosquitto set up in {self._files.state}: run ucm-site-api broker bootstrap first."
            ) from cause
