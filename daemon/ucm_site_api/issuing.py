"""Credentials for the broker, and the configuration that a device's firmware gets with them."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ucm_site_api.authority import Authority
from ucm_site_api.brokers import Broker, MqttCredentials
from ucm_site_api.messages import CertificateCredentials, CommunicationConfig, PasswordCredentials, Protocol
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import CredentialDraft, Device, Issue
from ucm_site_api.registry import Registry
from ucm_site_api.settings import Settings, TimeSource


@dataclass(frozen=True)
class Endpoints:
    """What every module of the site is told: the broker's host, its port for each protocol, and the time source."""

    mqtt_host: str
    mqtt_ports: dict[Protocol, int]
    time_source: TimeSource


@dataclass(frozen=True)
class FreshCredential:
    """A credential that exists nowhere but here. `reveal` turns the number it was given into what a client needs."""

    draft: CredentialDraft
    reveal: Callable[[int], MqttCredentials] = field(repr=False)


class Issuer:
    """Issues credentials: the only one who does while a server runs."""

    def __init__(
        self, settings: Settings, endpoints: Endpoints, registry: Registry, authority: Authority, broker: Broker
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._registry = registry
        self._authority = authority
        self._broker = broker
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def issue(
        self, subject: str, protocol: Protocol, record: Callable[[Issue], Awaitable[Device]]
    ) -> tuple[Device, CommunicationConfig]:
        """A credential that `record` has written to the registry, and the configuration with it.

        Broker first, registry second: what is cut short in between is a client whose password nobody has.

        Args:
            subject: the name that the broker will see: a hardware id.
            protocol: of the listener that the credential is for.
            record: writes it; what it raises is raised here, and the credential is worth nothing then.

        Raises:
            BrokerUnavailableError: nothing was changed.
        """
        fresh = await self._fresh(subject, protocol)
        async with self._turn_of(subject):
            number = await self._registry.next_number(subject)
            credentials = fresh.reveal(number)
            async with self._broker.admitted(subject, credentials):
                device = await record(Issue(number, fresh.draft, self._settings.now(), self._settings.rotation_grace))
        return device, self._config(device, credentials)

    def _turn_of(self, subject: str) -> asyncio.Lock:
        """One call at a time for each module, so that the number that it is told stays free."""
        return self._turns.setdefault(subject, asyncio.Lock())

    async def _fresh(self, subject: str, protocol: Protocol) -> FreshCredential:
        if protocol == "MQTT":
            return password_credential(subject)
        settings = self._settings
        return await certificate_credential(self._authority, subject, settings.now(), settings.certificate_validity)

    def _config(self, device: Device, credentials: MqttCredentials) -> CommunicationConfig:
        time_source = self._endpoints.time_source
        return CommunicationConfig(
            mqtt_host=self._endpoints.mqtt_host,
            mqtt_port=self._endpoints.mqtt_ports[credentials.protocol],
            mqtt_protocol=credentials.protocol,
            mqtt_credentials=credentials,
            time_sync_protocol=time_source.protocol,
            time_sync_host=time_source.host,
            time_sync_port=time_source.port,
            hardware_id=device.hardware_id or "",
            channel_id=device.channel_id or "",
        )


def password_credential(subject: str) -> FreshCredential:
    """A user of the plaintext listener, `<subject>.<number>`: one for each credential, so that each ends alone."""
    password = new_secret()
    draft = CredentialDraft("MQTT", password_digest=digest_of(password))
    return FreshCredential(draft, lambda number: PasswordCredentials(f"{subject}.{number}", password))


async def certificate_credential(
    authority: Authority, subject: str, now: datetime, validity: timedelta
) -> FreshCredential:
    """A client of the TLS listener. Its key is made on a thread: an RSA key takes longer than a loop may wait."""
    issued = await asyncio.to_thread(authority.issue_client, subject, now, validity)
    draft = CredentialDraft("MQTTS", serial=issued.serial, not_after=issued.not_after)
    revealed = CertificateCredentials(issued.private_key, issued.certificate, authority.certificate)
    return FreshCredential(draft, lambda _: revealed)
