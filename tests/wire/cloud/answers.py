"""What a provisioning API answers when all is well, for tests to damage."""

from collections.abc import Callable
from typing import Any

from tests.wire.broker.authority import HARDWARE_ID, Authority, Issued
from ucm_provision.core.kinds import Kind
from ucm_provision.core.model import MqttProtocol, ProvisionArguments

ARGUMENTS = ProvisionArguments(Kind.UCM, HARDWARE_ID, "site-1", "My UCM", MqttProtocol.MQTTS)
DEVICE_ID = "ucmbbba0-79f2-4e9e-a6f0-69a310ab110b"

Json = dict[str, Any]
Damage = Callable[[Json], object]


def password_answer() -> Json:
    return _answer({"protocol": "MQTT", "username": f"{HARDWARE_ID}.1", "password": "correct-horse"}, "MQTT", 1883)


def tls_answer(authority: Authority, issued: Issued) -> Json:
    credentials = {
        "protocol": "MQTTS",
        "private_key": issued.key_pem(),
        "certificate": issued.certificate_pem,
        "ca_chain": authority.itself.certificate_pem,
    }
    return _answer(credentials, "MQTTS", 8883)


def _answer(credentials: Json, protocol: str, port: int) -> Json:
    config = {
        "mqtt_host": "mqtt.local",
        "mqtt_port": port,
        "mqtt_protocol": protocol,
        "mqtt_credentials": credentials,
        "time_sync_protocol": "HTTP",
        "time_sync_host": "127.0.0.1",
        "time_sync_port": 80,
        "hardware_id": HARDWARE_ID,
        "channel_id": "ucm",
    }
    return {"config": config, "device_id": DEVICE_ID, "slug": "my-ucm"}


def device_answer(**changes: Any) -> Json:
    device = {
        "id": DEVICE_ID,
        "blueprint_id": None,
        "name": "My UCM",
        "site_id": "site-1",
        "updated_at": "2025-08-04T07:22:07.988115Z",
        "slug": "my-ucm",
        "type": "HARDWARE_UCM",
        "authorized_role": "OWNER",
        "connectivity": {"status": "ONLINE"},
        "communication": {"type": "MQTT_V1_TLS", "upstream_id": None, "hardware_id": HARDWARE_ID, "channel_id": "ucm"},
        "properties": {"config_generation": 3, "fw": "1.0"},
    }
    return {"device": device | changes}
