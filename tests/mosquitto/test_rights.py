"""What each client of mosquitto may say and hear, and who gets in at all."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.mosquitto.clients import (
    ACCEPTED,
    NOT_AUTHORIZED,
    accepted,
    answer_to,
    files_of,
    listening,
    nothing_came,
    password_witness,
    refused,
)
from tests.mosquitto.conftest import MosquittoPlant
from tests.site.harness import connect_packet, new_hardware_id, next_message, plant_in, tls_context

pytestmark = pytest.mark.system

BOTH = pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])


@BOTH
async def test_module_speaks_and_hears_under_its_own_id(plant: MosquittoPlant, protocol: str) -> None:
    own = new_hardware_id()
    config = await plant.config(own, protocol)
    async with listening(plant, plant.witness_config()) as witness, plant.client(config) as module:
        for topic in (f"v1/to/{own}/ucm/v1/command/requests", f"v1/to/{own}/#"):
            (granted,) = await module.subscribe(topic, qos=1)
            assert granted.value == 1
        await module.publish(f"v1/from/{own}/ucm/v1/telemetry", b"{}", qos=1)
        assert await next_message(witness) == (f"v1/from/{own}/ucm/v1/telemetry", b"{}")


@BOTH
async def test_what_is_published_under_a_foreign_id_is_dropped(plant: MosquittoPlant, protocol: str) -> None:
    own, foreign = new_hardware_id(), new_hardware_id()
    config = await plant.config(own, protocol)
    await plant.provision(foreign)
    async with listening(plant, plant.witness_config()) as witness, plant.client(config) as module:
        for topic in (f"v1/from/{foreign}/ucm/v1/telemetry", f"v1/to/{foreign}/ucm/x", "v1/from/witness/x", "x"):
            await module.publish(topic, b"forged", qos=1)
        await module.publish(f"v1/from/{own}/ucm/v1/telemetry", b"own", qos=1)
        assert await next_message(witness) == (f"v1/from/{own}/ucm/v1/telemetry", b"own")
    views = {device["communication"]["hardware_id"]: device for device in await plant.site.devices()}
    assert views[foreign]["connectivity"] == {"status": "UNKNOWN"}
    assert views[own]["connectivity"] == {"status": "ONLINE"}


async def test_foreign_subscriptions_are_refused_on_the_password_listener(plant: MosquittoPlant) -> None:
    own, foreign = new_hardware_id(), new_hardware_id()
    config = await plant.config(own, "MQTT")
    await plant.provision(foreign, "MQTT")
    filters = ["#", "v1/#", "v1/to/#", "v1/to/+/#", f"v1/to/{foreign}/#", f"v1/from/{own}/#", "$SYS/#", "$CONTROL/#"]
    async with plant.client(config) as module:
        for topic_filter in filters:
            (answer,) = await module.subscribe(topic_filter)
            assert answer.value == 0x80, topic_filter


async def test_certificate_hears_nothing_but_its_own_whatever_it_subscribes_to(plant: MosquittoPlant) -> None:
    """mosquitto judges a certificate's rights at delivery; its subscriptions are granted."""
    own, foreign = new_hardware_id(), new_hardware_id()
    certificate = await plant.config(own, "MQTTS")
    password = await plant.config(foreign, "MQTT")
    async with (
        listening(plant, certificate, "#") as curious,
        listening(plant, plant.witness_config()) as witness,
        plant.client(password) as other,
    ):
        await other.publish(f"v1/from/{foreign}/ucm/x", b"not for everybody", qos=1)
        await next_message(witness)
        await curious.publish(f"v1/from/{own}/ucm/x", b"not even its own", qos=1)
        await next_message(witness)
        assert await nothing_came(curious)


async def test_witnesses_hear_both_listeners_and_say_nothing(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    configs = [await plant.config(own, protocol) for protocol in ("MQTT", "MQTTS")]
    async with (
        listening(plant, plant.witness_config()) as one,
        listening(plant, password_witness(plant)) as other,
    ):
        for speaker in (one, other):
            for topic in (f"v1/from/{own}/ucm/x", "v1/from/witness/ucm/x"):
                await speaker.publish(topic, b"forged", qos=1)
        for config in configs:
            async with plant.client(config) as module:
                await module.publish(f"v1/from/{own}/ucm/x", config["mqtt_protocol"].encode(), qos=1)
            for witness in (one, other):
                assert await next_message(witness) == (f"v1/from/{own}/ucm/x", config["mqtt_protocol"].encode())


async def handshake(plant: MosquittoPlant, context: ssl.SSLContext) -> bytes:
    """What a client sees that reads before it says anything, as one has to under TLS 1.3."""
    reader, writer = await asyncio.open_connection("127.0.0.1", plant.site.mqtts_port, ssl=context)
    try:
        async with asyncio.timeout(10):
            return await reader.read(1)
    finally:
        writer.transport.abort()


async def test_no_certificate_no_connection(plant: MosquittoPlant) -> None:
    credentials = (await plant.config(new_hardware_id()))["mqtt_credentials"]
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await handshake(plant, tls_context(credentials, plant.folder, present=False))


async def test_revoked_certificate_shows_at_the_first_read(plant: MosquittoPlant) -> None:
    own = new_hardware_id()
    config = await plant.config(own)
    await plant.site.revoke(own, 1)
    await refused(plant, config)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        await handshake(plant, tls_context(config["mqtt_credentials"], plant.folder))


async def test_certificates_that_are_no_clients_are_refused(plant: MosquittoPlant, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with plant_in(tmp_path / "other") as other:
        stranger = (await other.config(new_hardware_id()))["mqtt_credentials"]
    chain = plant.witness_config()["mqtt_credentials"]["ca_chain"]
    files = files_of(plant)
    brokers_own = {"private_key": files.private_key.read_text(), "certificate": files.certificate.read_text()}
    for credentials in (stranger, brokers_own):
        with pytest.raises(ssl.SSLError, match="ALERT"):
            await handshake(plant, tls_context(credentials | {"ca_chain": chain}, plant.folder))


async def test_only_tls_1_2_and_later(plant: MosquittoPlant) -> None:
    assert await accepted(plant, await plant.config(new_hardware_id()))  # with 1.2
    context = tls_context(plant.witness_config()["mqtt_credentials"], plant.folder)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(plant, context)


@pytest.mark.parametrize(
    ("username", "password"),
    [("", ""), ("{id}.1", ""), ("{id}.1", "{password}x"), ("{id}.2", "{password}"), ("{id}", "{password}")],
)
async def test_passwords_are_checked(plant: MosquittoPlant, username: str, password: str) -> None:
    own = new_hardware_id()
    config = await plant.config(own, "MQTT")
    assert config["mqtt_credentials"]["username"] == f"{own}.1"
    assert await accepted(plant, config)
    known = {"id": own, "password": config["mqtt_credentials"]["password"]}
    connection = await asyncio.open_connection("127.0.0.1", plant.site.mqtt_port)
    packet = connect_packet("", username.format(**known), password.format(**known))
    assert await answer_to(packet, *connection) == NOT_AUTHORIZED


@BOTH
async def test_many_sessions_of_one_module_without_client_ids(plant: MosquittoPlant, protocol: str) -> None:
    own = new_hardware_id()
    config = await plant.config(own, protocol)
    async with (
        listening(plant, plant.witness_config()) as witness,
        plant.client(config) as first,
        plant.client(config) as second,
    ):
        for client, payload in ((first, b"1"), (second, b"2"), (first, b"3")):
            await client.publish(f"v1/from/{own}/ucm/v1/telemetry", payload, qos=1)
            assert (await next_message(witness))[1] == payload


@BOTH
async def test_foreign_last_will_is_not_passed_on(plant: MosquittoPlant, protocol: str) -> None:
    own, foreign = new_hardware_id(), new_hardware_id()
    config: dict[str, Any] = await plant.config(own, protocol)
    async with listening(plant, plant.witness_config()) as witness:
        for name in (foreign, own):
            will = aiomqtt.Will(f"v1/from/{name}/ucm/x", name.encode(), qos=1)
            async with plant.client(config, will=will) as module:
                module._client._sock_close()
        assert (await next_message(witness))[1] == own.encode()


async def test_packet_larger_than_any_of_ours_ends_the_connection(plant: MosquittoPlant) -> None:
    user = (await plant.config(new_hardware_id(), "MQTT"))["mqtt_credentials"]
    reader, writer = await asyncio.open_connection("127.0.0.1", plant.site.mqtt_port)
    writer.write(connect_packet("", user["username"], user["password"]))
    assert await reader.readexactly(4) == ACCEPTED
    writer.write(b"\x30\xff\xff\xff\x7f")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.transport.abort()
