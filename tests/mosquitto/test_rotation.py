"""Credentials at mosquitto: none ends before its time, and none lasts beyond it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509

from tests.mosquitto.clients import (
    accepted,
    commanding,
    files_of,
    listening,
    nothing_came,
    password_witness,
    refused,
)
from tests.mosquitto.conftest import MosquittoPlant
from tests.mosquitto.harness import mosquitto_running
from tests.site.harness import Clock, new_hardware_id, next_message, plant_of
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

HOUR = timedelta(hours=1)
BOTH = pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])


@pytest.fixture
def clock() -> Clock:
    """Two days behind, so that a test can go forward without meeting a certificate from the future."""
    return Clock(-48 * HOUR)


@BOTH
async def test_module_outlives_twenty_calls_and_returns_until_its_grace_ends(
    plant: MosquittoPlant, clock: Clock, protocol: str
) -> None:
    own = new_hardware_id()
    topic = f"v1/from/{own}/ucm/v1/telemetry"
    first = await plant.config(own, protocol)
    async with listening(plant, plant.witness_config()) as witness, plant.client(first) as module:
        later = [await plant.config(own, protocol) for _ in range(20)]
        await plant.site.enforce_ends()
        await module.publish(topic, b"still the same connection", qos=1)
        assert await next_message(witness) == (topic, b"still the same connection")
    for config in (first, later[0], later[-1]):
        assert await accepted(plant, config)
    clock.offset += 23.9 * HOUR
    await plant.site.enforce_ends()
    assert await accepted(plant, first)
    clock.offset += 0.2 * HOUR
    await plant.site.enforce_ends()
    await refused(plant, first)
    await refused(plant, later[0])
    assert await accepted(plant, later[-1])


async def test_grace_ends_by_itself(tmp_path: Path) -> None:
    grace = timedelta(seconds=1)
    async with (
        mosquitto_running(tmp_path, rotation_grace=grace) as (settings, _),
        SiteApi(settings) as site,
        plant_of(site, tmp_path) as plant,
    ):
        own = new_hardware_id()
        first = [await plant.config(own, protocol) for protocol in ("MQTT", "MQTTS")]
        last = await plant.config(own, "MQTT")
        site._broker.attention.set()  # or it would look within a minute, which is longer than this grace
        for config in first:
            await refused(plant, config)
        assert await accepted(plant, last)


@BOTH
async def test_revoked_credential_ends_its_sessions_and_the_other_one_returns(
    plant: MosquittoPlant, protocol: str
) -> None:
    own = new_hardware_id()
    first, second = await plant.config(own, protocol), await plant.config(own, protocol)
    async with plant.client(first) as module:
        await plant.site.revoke(own, 1)
        with pytest.raises(aiomqtt.MqttError):
            await next_message(module)
    await refused(plant, first)
    assert await accepted(plant, second)


async def test_revoking_a_password_leaves_the_sessions_of_the_others(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    await plant.config(own, "MQTT")
    password, certificate = await plant.config(own, "MQTT"), await plant.config(own, "MQTTS")
    async with (
        listening(plant, plant.witness_config()) as witness,
        plant.client(password) as one,
        plant.client(certificate) as other,
    ):
        await plant.site.revoke(own, 1)
        for client, payload in ((one, b"1"), (other, b"2")):
            await client.publish(f"v1/from/{own}/ucm/x", payload, qos=1)
            assert (await next_message(witness))[1] == payload


async def test_revoked_witness_leaves_the_other_one(plant: MosquittoPlant) -> None:
    config = plant.witness_config()
    async with plant.client(config) as witness:
        await plant.site.revoke("witness", 1)
        with pytest.raises(aiomqtt.MqttError):
            await next_message(witness)
    await refused(plant, config)
    assert await accepted(plant, password_witness(plant))


def revocation_list(plant: MosquittoPlant) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(files_of(plant).revocations.read_bytes())


async def test_list_is_signed_and_holds_ended_certificates_until_they_expire(
    plant: MosquittoPlant, clock: Clock
) -> None:
    own = new_hardware_id()
    chain = (await plant.config(own))["mqtt_credentials"]["ca_chain"]
    await plant.config(own)
    clock.offset += 25 * HOUR
    await plant.site.enforce_ends()
    (ended, current) = await plant.site.credentials(own)
    listed = revocation_list(plant)
    assert listed.is_signature_valid(x509.load_pem_x509_certificate(chain.encode()).public_key())  # type: ignore[arg-type]  # an authority here has an EC key
    assert [f"{entry.serial_number:x}" for entry in listed] == [ended.serial]
    assert current.serial != ended.serial
    clock.offset += timedelta(days=366)
    await plant.site.enforce_ends()
    assert list(revocation_list(plant)) == []


async def test_list_is_renewed_every_hour_for_thirty_days(plant: MosquittoPlant, clock: Clock) -> None:
    await plant.site.enforce_ends()
    first = revocation_list(plant)
    assert first.next_update_utc is not None
    expected = datetime.now(UTC) + clock.offset + timedelta(days=30)
    assert abs(first.next_update_utc - expected) < timedelta(minutes=1)
    clock.offset += 0.9 * HOUR
    await plant.site.enforce_ends()
    assert revocation_list(plant) == first
    clock.offset += 0.2 * HOUR
    await plant.site.enforce_ends()
    renewed = revocation_list(plant)
    assert renewed.next_update_utc is not None
    assert renewed.next_update_utc - first.next_update_utc > HOUR


async def test_other_sessions_survive_the_reload(plant: MosquittoPlant, clock: Clock) -> None:
    names = [new_hardware_id() for _ in range(3)]
    configs = [
        await plant.config(name, protocol) for name, protocol in zip(names, ("MQTT", "MQTTS", "MQTTS"), strict=True)
    ]
    await plant.config(names[2])
    async with listening(plant, plant.witness_config()) as witness, AsyncExitStack() as stack:
        modules = [await stack.enter_async_context(plant.client(config)) for config in configs]
        clock.offset += 25 * HOUR
        await plant.site.enforce_ends()
        await refused(plant, configs[2])
        for module, name in zip(modules[:2], names[:2], strict=True):
            await module.publish(f"v1/from/{name}/ucm/x", b"still here", qos=1)
            assert await next_message(witness) == (f"v1/from/{name}/ucm/x", b"still here")


@BOTH
async def test_session_ends_with_its_credential_and_the_module_returns_with_a_newer_one(
    plant: MosquittoPlant, clock: Clock, protocol: str
) -> None:
    own = new_hardware_id()
    ended, current = await plant.config(own, protocol), await plant.config(own, protocol)
    async with plant.client(ended) as module:
        clock.offset += 25 * HOUR
        await plant.site.enforce_ends()
        with pytest.raises(aiomqtt.MqttError):
            await next_message(module)
    await refused(plant, ended)
    async with plant.client(current) as module, listening(plant, plant.witness_config()) as witness:
        await plant.site.enforce_ends()  # once, and never again
        await module.publish(f"v1/from/{own}/ucm/x", b"undisturbed", qos=1)
        assert await next_message(witness) == (f"v1/from/{own}/ucm/x", b"undisturbed")


async def test_session_of_a_certificate_that_ended_while_the_server_was_away(tmp_path: Path, clock: Clock) -> None:
    own = new_hardware_id()
    async with mosquitto_running(tmp_path, now=clock) as (settings, _):
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as plant:
            ended, current = await plant.config(own), await plant.config(own)
        async with plant.client(ended) as module:
            clock.offset += 25 * HOUR
            async with SiteApi(settings):
                with pytest.raises(aiomqtt.MqttError):
                    await next_message(module)
        async with plant.client(current) as module, SiteApi(settings) as site:
            await site.enforce_ends()
            await module.subscribe(f"v1/to/{own}/#")


@BOTH
async def test_neither_anothers_nor_an_ended_credential_reaches_a_module(
    plant: MosquittoPlant, clock: Clock, protocol: str
) -> None:
    own, others = new_hardware_id(), new_hardware_id()
    said, told = f"v1/from/{own}/ucm/v1/telemetry", f"v1/to/{own}/ucm/v1/command/requests"
    ended, current = await plant.config(own, protocol), await plant.config(own, protocol)
    foreign = await plant.config(others, protocol)
    clock.offset += 25 * HOUR
    await plant.site.enforce_ends()
    await refused(plant, ended)
    async with (
        listening(plant, plant.witness_config()) as witness,
        commanding(plant) as commander,
        plant.client(current) as module,
        plant.client(foreign) as intruder,
    ):
        await module.subscribe(told, qos=1)
        await intruder.subscribe([(said, 1), (told, 1), ("#", 1)])
        for topic in (said, told):
            await intruder.publish(topic, b"forged", qos=1)
        await module.publish(said, b"genuine", qos=1)
        await commander.publish(told, b"genuine", qos=1)
        assert await next_message(witness) == (said, b"genuine")
        assert await next_message(module) == (told, b"genuine")
        assert await nothing_came(intruder)
