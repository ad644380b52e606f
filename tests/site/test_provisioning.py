"""`POST provisioning/ucm` as the platform's clients rely on it."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.site.harness import Clock, Plant, new_hardware_id, plant_in
from ucm_site_api import TimeSource

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"

CONFIG_KEYS = {
    "mqtt_host",
    "mqtt_port",
    "mqtt_protocol",
    "mqtt_credentials",
    "time_sync_protocol",
    "time_sync_host",
    "time_sync_port",
    "hardware_id",
    "channel_id",
}


def read_like_the_sdk(config: dict[str, Any]) -> dict[str, Any]:
    """What the platform's Python SDK takes from a `config`, by the keys and conversions it uses."""
    credentials = config["mqtt_credentials"]
    names = {"MQTT": ("username", "password"), "MQTTS": ("private_key", "certificate", "ca_chain")}
    return {
        "host": config["mqtt_host"],
        "port": int(config["mqtt_port"]),
        "credentials": [credentials[name] for name in names[config["mqtt_protocol"]]],
        "time": (config["time_sync_protocol"].upper(), config["time_sync_host"], int(config["time_sync_port"])),
        "identity": (config["hardware_id"], config["channel_id"]),
    }


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
@pytest.mark.parametrize("prefix", ["/v3", "/api/v3"])
async def test_answer_has_every_key_under_both_prefixes(plant: Plant, prefix: str, protocol: str) -> None:
    body = {"hardware_id": HARDWARE_ID, "name": "My UCM", "protocol": protocol}
    status, answer = await plant.call("POST", f"{prefix}/provisioning/ucm", json=body)
    assert status == 200
    assert answer.keys() == {"config", "device_id", "slug"}
    config = answer["config"]
    assert config.keys() == CONFIG_KEYS
    assert config["mqtt_protocol"] == config["mqtt_credentials"]["protocol"] == protocol
    ports = {"MQTT": plant.site.mqtt_port, "MQTTS": plant.site.mqtts_port}
    read = read_like_the_sdk(config)
    assert (read["host"], read["port"]) == ("127.0.0.1", ports[protocol])
    assert type(config["mqtt_port"]) is int
    assert read["time"] == ("HTTP", "127.0.0.1", int(plant.site.url.rpartition(":")[2]))
    assert read["identity"] == (HARDWARE_ID, "ucm")
    assert all(read["credentials"])


async def test_body_is_json_whatever_its_content_type_and_unknown_or_null_keys_are_accepted(plant: Plant) -> None:
    body = {"site_id": None, "hardware_id": HARDWARE_ID.lower(), "name": "x", "protocol": "MQTT", "future": [{}]}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = await plant.call("POST", "/v3/provisioning/ucm?unknown=1", data=json.dumps(body), headers=headers)
    assert status == 200
    assert answer["config"]["hardware_id"] == HARDWARE_ID


async def test_certificate_is_for_this_module_alone_and_belongs_to_its_key(plant: Plant) -> None:
    credentials = (await plant.config(HARDWARE_ID))["mqtt_credentials"]
    certificate = x509.load_pem_x509_certificate(credentials["certificate"].encode())
    authority = x509.load_pem_x509_certificate(credentials["ca_chain"].encode())
    certificate.verify_directly_issued_by(authority)
    key = load_pem_private_key(credentials["private_key"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == HARDWARE_ID
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert timedelta(days=365) < validity < timedelta(days=365, minutes=10)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    assert constraints.path_length == 0


async def test_rsa_keys_on_request(tmp_path: Path) -> None:
    async with plant_in(tmp_path, key="rsa") as plant:
        credentials = (await plant.config(HARDWARE_ID))["mqtt_credentials"]
        key = load_pem_private_key(credentials["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.key_size == 2048
        async with plant.client(await plant.config(HARDWARE_ID)):
            pass


async def test_another_time_source_is_passed_on(tmp_path: Path) -> None:
    async with plant_in(tmp_path, time_sync=TimeSource("NTP", "ntp.plant", 123)) as plant:
        config = await plant.config(HARDWARE_ID)
    assert [config[f"time_sync_{name}"] for name in ("protocol", "host", "port")] == ["NTP", "ntp.plant", 123]


async def test_provisioned_again_is_the_same_device_with_fresh_credentials(plant: Plant, clock: Clock) -> None:
    first = await plant.provision(HARDWARE_ID, "MQTTS", name="First name")
    before = await plant.device(first["device_id"], "communication")
    again = await plant.provision(HARDWARE_ID.lower(), "MQTT", name="Another name")
    after = await plant.device(first["device_id"], "communication")

    assert (again["device_id"], again["slug"]) == (first["device_id"], first["slug"])
    assert after["name"] == "First name"
    assert before["communication"]["type"] == "MQTT_V1_TLS"
    assert after["communication"]["type"] == "MQTT_V1_PLAINTEXT"
    assert datetime.fromisoformat(after["updated_at"]) > datetime.fromisoformat(before["updated_at"])
    assert len(await plant.site.devices()) == 1

    once_more = await plant.provision(HARDWARE_ID, "MQTT")
    assert once_more["config"]["mqtt_credentials"] != again["config"]["mqtt_credentials"]


async def test_updated_at_moves_even_when_the_clock_went_back(plant: Plant, clock: Clock) -> None:
    device_id = (await plant.provision(HARDWARE_ID, "MQTT"))["device_id"]
    before = (await plant.device(device_id))["updated_at"]
    clock.offset = timedelta(hours=-1)
    await plant.provision(HARDWARE_ID, "MQTT")
    assert (await plant.device(device_id))["updated_at"] > before


async def test_twenty_calls_at_once_for_one_module_make_one_device(plant: Plant) -> None:
    answers = await asyncio.gather(*(plant.provision(HARDWARE_ID) for _ in range(20)))
    assert len({answer["device_id"] for answer in answers}) == 1
    assert len({answer["config"]["mqtt_credentials"]["certificate"] for answer in answers}) == 20
    credentials = await plant.site.credentials(HARDWARE_ID)
    assert [credential.number for credential in credentials] == list(range(1, 21))


async def test_slugs_are_unique_within_the_site(plant: Plant) -> None:
    answers = await asyncio.gather(*(plant.provision(new_hardware_id(), "MQTT", name="Relay") for _ in range(30)))
    slugs = {answer["slug"] for answer in answers}
    assert len(slugs) == 30
    assert {"relay", "relay-2", "relay-3"} <= slugs


async def test_device_is_reached_by_id_and_by_slug(plant: Plant) -> None:
    answer = await plant.provision(HARDWARE_ID, name="Kühlung Süd")
    assert answer["slug"] == "kuhlung-sud"
    assert (await plant.device("kuhlung-sud"))["id"] == answer["device_id"]
    assert await plant.device(answer["device_id"]) == await plant.device("kuhlung-sud")


async def test_private_keys_and_passwords_are_not_kept(plant: Plant) -> None:
    secrets = [
        (await plant.config(HARDWARE_ID))["mqtt_credentials"]["private_key"].splitlines()[1],
        (await plant.config(HARDWARE_ID, "MQTT"))["mqtt_credentials"]["password"],
    ]
    for file in plant.site.token_file.parent.iterdir():
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], file


async def test_a_module_of_another_site_is_a_conflict(plant: Plant) -> None:
    _, here = await plant.call("GET", "/v3/site")
    await plant.provision(HARDWARE_ID)
    _, made = await plant.call("POST", "/v3/sites", json={"name": "Elsewhere", "timezone": "UTC"})
    elsewhere = made["site"]["id"]
    body = {"hardware_id": HARDWARE_ID, "name": "x", "protocol": "MQTT", "site_id": elsewhere}
    status, answer = await plant.call("POST", "/v3/provisioning/ucm", json=body)
    assert status == 409
    assert answer["errors"][0]["details"] == {"path": "$.hardware_id"}
    assert await plant.site.credentials(HARDWARE_ID) != []
    status, _ = await plant.call("POST", "/v3/provisioning/ucm", json=body | {"site_id": here["site"]["id"]})
    assert status == 200
