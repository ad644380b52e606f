"""Module configurations as they are staged, with what a module makes of each at Commit."""

import hashlib

from google.protobuf.json_format import MessageToDict

from golden import Case
from golden.sample_credentials import CA_CERTIFICATE, HARDWARE_ID, MODULE_CERTIFICATE, MODULE_KEY, OTHER_KEY
from ucm_sim.messages import ucm_link_pb2 as link

DEVICE_ID = "0f6e5a52-8c1d-4f6e-9b39-2f1d6c7a8e90"
TIME_SYNC = link.TimeSync(protocol=link.TimeSync.NTP, host="10.20.0.1", port=123)
# Text that is not ASCII shows a reader who counts characters instead of bytes.
NETWORKS = (
    link.Wifi(ssid="plant-wifi", passphrase="correct horse battery"),  # noqa: S106 - exists only here
    link.Wifi(ssid="Werk Süd", passphrase="zwölf Boxkämpfer", bssid=bytes.fromhex("a4cf12ee0371"), hidden=True),  # noqa: S106
)


def base(*networks: link.Wifi, hardware_id: str = HARDWARE_ID) -> link.ModuleConfig:
    """A configuration without credentials."""
    return link.ModuleConfig(
        device_id=DEVICE_ID,
        hardware_id=hardware_id,
        channel_id="ucm",
        mqtt_host="gateway.plant.example",
        mqtt_port=8883,
        time_sync=TIME_SYNC,
        wifi=networks,
    )


def with_certificate(config: link.ModuleConfig, key: bytes = MODULE_KEY) -> link.ModuleConfig:
    """The configuration with a key, its certificate and the broker's trust anchor."""
    config.tls.MergeFrom(link.MqttTls(private_key=key, certificate=MODULE_CERTIFICATE, ca_chain=[CA_CERTIFICATE]))
    return config


def with_password(config: link.ModuleConfig) -> link.ModuleConfig:
    """The configuration with a user name and a password, for a broker without TLS."""
    config.mqtt_port = 1883
    username = f"{HARDWARE_ID}.1"
    config.password.MergeFrom(link.MqttPassword(username=username, password="only-here"))  # noqa: S106 - as it says
    return config


def keeping(config: link.ModuleConfig) -> link.ModuleConfig:
    """The configuration with the credentials of the active slot: a change of networks only."""
    config.keep.MergeFrom(link.KeepCredentials(version=1))
    return config


def serialized(config: link.ModuleConfig) -> bytes:
    """The bytes that are staged and hashed, fields in the order of their numbers."""
    return config.SerializeToString(deterministic=True)


def configuration_cases() -> list[Case]:
    """`status` is the answer to Commit of a module with this hardware id and nothing active."""
    stranger = "0" * 32
    return [
        _case("certificate", "OK", "an EC key, its certificate, one trust anchor", with_certificate(base(*NETWORKS))),
        _case("password", "OK", "user name and password, one network", with_password(base(NETWORKS[0]))),
        _case(
            "keep", "INVALID_ARGUMENT", "nothing is active whose credentials could be kept", keeping(base(*NETWORKS))
        ),
        _case(
            "foreign-key",
            "INVALID_ARGUMENT",
            "key and certificate do not belong together",
            with_certificate(base(*NETWORKS), OTHER_KEY),
        ),
        _case(
            "foreign-hardware",
            "INVALID_ARGUMENT",
            "meant for another module",
            with_certificate(base(*NETWORKS, hardware_id=stranger)),
        ),
        _case("no-credentials", "INVALID_ARGUMENT", "nothing to sign in with", base(*NETWORKS)),
    ]


def _case(name: str, status: str, why: str, config: link.ModuleConfig) -> Case:
    data = serialized(config)
    return {
        "name": name,
        "why": why,
        "commit_status": status,
        "json": MessageToDict(config, preserving_proto_field_name=True),
        "bytes": data.hex(),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
