"""Bodies of the HTTP API, by the names the platform gives them.

Unknown keys are ignored and optional keys may be null, because the platform's clients send both.
"""

from typing import Literal

import msgspec

Protocol = Literal["MQTT", "MQTTS"]


class ProvisionUcm(msgspec.Struct, frozen=True):
    """Body of `POST provisioning/ucm`. Without `site_id` the server's only site is meant."""

    hardware_id: str
    name: str
    protocol: Protocol
    site_id: str | None = None


class PasswordCredentials(msgspec.Struct, frozen=True):
    """`mqtt_credentials` of the plaintext listener."""

    username: str
    password: str
    protocol: Literal["MQTT"] = "MQTT"

    def __repr__(self) -> str:
        """Without the secret."""
        return f"PasswordCredentials(username={self.username!r})"


class CertificateCredentials(msgspec.Struct, frozen=True):
    """`mqtt_credentials` of the TLS listener, each PEM; the key is PKCS#8."""

    private_key: str
    certificate: str
    ca_chain: str
    protocol: Literal["MQTTS"] = "MQTTS"

    def __repr__(self) -> str:
        """Without the secret."""
        return "CertificateCredentials()"


class CommunicationConfig(msgspec.Struct, frozen=True):
    """`config` of a provisioning answer.

    `mqtt_protocol` repeats `mqtt_credentials.protocol`: the published page has the inner one, the platform's
    Python SDK reads the outer one, and fails without it.
    """

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Protocol
    mqtt_credentials: PasswordCredentials | CertificateCredentials
    time_sync_protocol: Literal["HTTP", "NTP"]
    time_sync_host: str
    time_sync_port: int
    hardware_id: str
    channel_id: str


class ProvisionedUcm(msgspec.Struct, frozen=True):
    """Answer to `POST provisioning/ucm`."""

    config: CommunicationConfig
    device_id: str
    slug: str


class WitnessConfig(msgspec.Struct, frozen=True):
    """The witness's own credentials, under the keys of a device's `config`."""

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Literal["MQTTS"]
    mqtt_credentials: CertificateCredentials


class PasswordWitnessConfig(msgspec.Struct, frozen=True):
    """The same for a witness without a certificate."""

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Literal["MQTT"]
    mqtt_credentials: PasswordCredentials
