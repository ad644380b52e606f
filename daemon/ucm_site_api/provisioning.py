"""Provisioning: a module's record in the registry, and the configuration that its firmware needs."""

import asyncio
import unicodedata
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ucm_site_api.authority import Authority
from ucm_site_api.brokers import Broker, MqttCredentials
from ucm_site_api.errors import invalid_field
from ucm_site_api.identifiers import normalize_hardware_id
from ucm_site_api.messages import (
    CertificateCredentials,
    CommunicationConfig,
    PasswordCredentials,
    Protocol,
    ProvisionedUcm,
    ProvisionUcm,
)
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import CredentialDraft, Device, Enrolment
from ucm_site_api.registry import Registry
from ucm_site_api.settings import Settings, TimeSource

_UCM_CHANNEL = "ucm"
_MAX_NAME_LENGTH = 255


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


class Provisioner:
    """Answers the provisioning calls."""

    def __init__(
        self, settings: Settings, endpoints: Endpoints, registry: Registry, authority: Authority, broker: Broker
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._registry = registry
        self._authority = authority
        self._broker = broker
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def provision_ucm(self, wish: ProvisionUcm) -> ProvisionedUcm:
        """A UCM with fresh credentials; asked again for the same module, the same device.

        Raises:
            ApiError: 400 a field is not acceptable, 409 and 422 as `Registry.enrol`, 503 the broker is away.
        """
        hardware_id = _hardware_id(wish.hardware_id)
        name = _device_name(wish.name)
        now = self._settings.now()
        fresh = await self._fresh_credential(hardware_id, wish.protocol, now)
        enrolment = Enrolment(wish.site_id, "HARDWARE_UCM", hardware_id, _UCM_CHANNEL, name, fresh.draft)
        device, credentials = await self._enrol(enrolment, fresh)
        return ProvisionedUcm(self._config(device, credentials), device.id, device.slug)

    async def _enrol(self, enrolment: Enrolment, fresh: FreshCredential) -> tuple[Device, MqttCredentials]:
        """Broker first, registry second: what is cut short in between is a client whose password nobody has."""
        subject = enrolment.hardware_id
        async with self._turn_of(subject):
            number = await self._registry.next_number(subject)
            credentials = fresh.reveal(number)
            async with self._broker.admitted(subject, credentials):
                now, grace = self._settings.now(), self._settings.rotation_grace
                return await self._registry.enrol(enrolment, number, now, grace), credentials

    def _turn_of(self, subject: str) -> asyncio.Lock:
        """One call at a time for each module, so that the number that it is told stays free."""
        return self._turns.setdefault(subject, asyncio.Lock())

    async def _fresh_credential(self, subject: str, protocol: Protocol, now: datetime) -> FreshCredential:
        if protocol == "MQTT":
            return password_credential(subject)
        validity = self._settings.certificate_validity
        return await certificate_credential(self._authority, subject, now, validity)

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
            hardware_id=device.hardware_id,
            channel_id=device.channel_id,
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


def _hardware_id(text: str) -> str:
    try:
        return normalize_hardware_id(text)
    except ValueError as cause:
        raise invalid_field("$.hardware_id", str(cause)) from cause


def _device_name(text: str) -> str:
    name = text.strip()
    # Names are shown in terminals and pages, which control characters can take over.
    clean = not any(unicodedata.category(character) == "Cc" for character in name)
    if not (clean and 1 <= len(name) <= _MAX_NAME_LENGTH):
        raise invalid_field(
            "$.name", f"A name has 1 to {_MAX_NAME_LENGTH} characters, none of them a control character."
        )
    return name
