"""The embedded broker: who gets in, and what each may say and hear."""

import asyncio
import inspect
import json
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from amqtt.broker import Broker

from tests.site.harness import (
    DEADLINE,
    Clock,
    Plant,
    closed,
    connect_packet,
    new_hardware_id,
    next_message,
    plant_in,
    settings_in,
    tls_context,
)
from ucm_site_api import SiteApi, broker

ACCEPTED = b"\x20\x02\x00\x00"
NOT_AUTHORIZED = b"\x20\x02\x00\x05"


@asynccontextmanager
async def witness_of(plant: Plant) -> AsyncIterator[aiomqtt.Client]:
    async with plant.client(plant.witness_config()) as witness:
        await witness.subscribe("v1/from/#")
        yield witness


@asynccontextmanager
async def raw(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Any, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer_to(plant: Plant, packet: bytes) -> bytes:
    async with raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(packet)
        async with asyncio.timeout(DEADLINE):
            return bytes(await reader.readexactly(4))


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_module_speaks_and_hears_under_its_own_id(plant: Plant, protocol: str) -> None:
    own = new_hardware_id()
    async with witness_of(plant) as witness, plant.client(await plant.config(own, protocol)) as module:
        (granted,) = await module.subscribe(f"v1/to/{own}/ucm/v1/command/requests", qos=1)
        assert granted.value == 1
        await module.subscribe(f"v1/to/{own}/#")
        await module.publish(f"v1/from/{own}/ucm/v1/telemetry", b"{}", qos=1)
        assert await next_message(witness) == (f"v1/from/{own}/ucm/v1/telemetry", b"{}")


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_foreign_topics_are_refused_or_dropped(plant: Plant, protocol: str) -> None:
    own, foreign = new_hardware_id(), new_hardware_id()
    config = await plant.config(own, protocol)
    await plant.provision(foreign)
    filters = ["#", "v1/#", "v1/to/#", "v1/to/+/#", f"v1/to/{foreign}/#", f"v1/to/{own}", f"v1/from/{own}/#", "$SYS/#"]
    async with witness_of(plant) as witness, plant.client(config) as module:
        for topic_filter in filters:
            (refused,) = await module.subscribe(topic_filter)
            assert refused.value == 0x80, topic_filter
        for topic in (f"v1/from/{foreign}/ucm/v1/telemetry", f"v1/to/{foreign}/ucm/x", f"v1/from/{own}", "v1/from/x"):
            await module.publish(topic, b"forged", qos=1)
        await module.publish(f"v1/from/{own}/ucm/v1/telemetry", b"own")
        assert await next_message(witness) == (f"v1/from/{own}/ucm/v1/telemetry", b"own")
    views = {device["communication"]["hardware_id"]: device for device in await plant.site.devices()}
    assert views[foreign]["connectivity"] == {"status": "UNKNOWN"}
    assert views[own]["connectivity"] == {"status": "ONLINE"}


async def test_witness_hears_both_listeners_and_says_nothing(plant: Plant) -> None:
    own = new_hardware_id()
    async with witness_of(plant) as witness:
        for topic_filter in ("#", "v1/to/#", f"v1/to/{own}/#", "v1/#"):
            (refused,) = await witness.subscribe(topic_filter)
            assert refused.value == 0x80, topic_filter
        (granted,) = await witness.subscribe(f"v1/from/{own}/#")
        assert granted.value == 0
        await witness.publish(f"v1/from/{own}/ucm/v1/register", b"{}", qos=1)
        for protocol in ("MQTT", "MQTTS"):
            async with plant.client(await plant.config(own, protocol)) as module:
                await module.publish(f"v1/from/{own}/ucm/{protocol}", protocol.encode())
                heard = {await next_message(witness), await next_message(witness)}  # two subscriptions match
                assert heard == {(f"v1/from/{own}/ucm/{protocol}", protocol.encode())}


async def test_tls_without_a_certificate_is_refused(plant: Plant) -> None:
    credentials = (await plant.config(new_hardware_id()))["mqtt_credentials"]
    context = tls_context(credentials, plant.folder, present=False)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        async with raw(plant.site.mqtts_port, context) as (reader, _):
            await reader.read(1)


async def test_tls_with_a_certificate_of_another_authority_is_refused(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with plant_in(tmp_path / "other") as other:
        foreign = (await other.config(new_hardware_id()))["mqtt_credentials"]
    mixed = foreign | {"ca_chain": plant.witness_config()["mqtt_credentials"]["ca_chain"]}
    with pytest.raises(ssl.SSLError):
        async with raw(plant.site.mqtts_port, tls_context(mixed, plant.folder)) as (reader, _):
            await reader.read(1)


async def test_the_brokers_own_certificate_is_no_client(plant: Plant) -> None:
    pem = (plant.folder / "state" / "broker.pem").read_text()
    key, _, certificate = pem.partition("-----BEGIN CERTIFICATE-----")
    chain = plant.witness_config()["mqtt_credentials"]["ca_chain"]
    stolen = {"private_key": key, "certificate": "-----BEGIN CERTIFICATE-----" + certificate, "ca_chain": chain}
    with pytest.raises(ssl.SSLError):
        async with raw(plant.site.mqtts_port, tls_context(stolen, plant.folder)) as (reader, _):
            await reader.read(1)


async def test_only_tls_1_2_and_later(plant: Plant) -> None:
    context = tls_context(plant.witness_config()["mqtt_credentials"], plant.folder)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with raw(plant.site.mqtts_port, context) as (reader, writer):
        writer.write(connect_packet())
        assert await reader.readexactly(4) == ACCEPTED


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("", ""),
        ("nobody", "x"),
        ("nobody.1", "x"),
        ("witness.1", ""),
        ("{id}", "{password}"),
        ("{id}.2", "{password}"),
        ("{id}.1", "{password}x"),
        ("{id}.1", ""),
        ("{id}.99999999999999999999999999", "{password}"),
        ("{id}.\u0661", "{password}"),
    ],
)
async def test_passwords_are_checked(plant: Plant, username: str, password: str) -> None:
    own = new_hardware_id()
    credentials = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    assert credentials["username"] == f"{own}.1"
    assert await answer_to(plant, connect_packet("", f"{own}.1", credentials["password"])) == ACCEPTED
    names = {"id": own, "password": credentials["password"]}
    packet = connect_packet("", username.format(**names), password.format(**names))
    assert await answer_to(plant, packet) == NOT_AUTHORIZED


async def test_certificate_credentials_are_no_password_user(plant: Plant) -> None:
    own = new_hardware_id()
    await plant.config(own, "MQTTS")
    assert await answer_to(plant, connect_packet("", f"{own}.1", "x")) == NOT_AUTHORIZED


async def test_many_sessions_of_one_module_without_client_ids(plant: Plant) -> None:
    own = new_hardware_id()
    config = await plant.config(own)
    async with witness_of(plant) as witness, plant.client(config) as first, plant.client(config) as second:
        for client, payload in ((first, b"1"), (second, b"2"), (first, b"3")):
            await client.publish(f"v1/from/{own}/ucm/v1/telemetry", payload, qos=1)
            assert (await next_message(witness))[1] == payload


async def test_a_client_id_is_taken_over_by_its_own_module_only(plant: Plant) -> None:
    own, foreign = new_hardware_id(), new_hardware_id()
    users = {name: (await plant.config(name, "MQTT"))["mqtt_credentials"] for name in (own, foreign)}

    def connect(name: str) -> bytes:
        return connect_packet("same-id", users[name]["username"], users[name]["password"])

    async with raw(plant.site.mqtt_port) as (reader, writer), raw(plant.site.mqtt_port) as (other, stranger):
        writer.write(connect(own))
        assert await reader.readexactly(4) == ACCEPTED
        stranger.write(connect(foreign))
        assert await other.readexactly(4) == ACCEPTED
        writer.write(b"\xc0\x00")
        assert await reader.readexactly(2) == b"\xd0\x00"  # still there
        assert await answer_to(plant, connect(own)) == ACCEPTED
        assert await closed(reader) == b""
        stranger.write(b"\xc0\x00")
        assert await other.readexactly(2) == b"\xd0\x00"


async def test_no_session_outlives_its_connection(plant: Plant) -> None:
    own = new_hardware_id()
    user = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    packet = connect_packet("kept", user["username"], user["password"], clean=False)
    for _ in range(2):
        assert await answer_to(plant, packet) == ACCEPTED  # "session present" is 0


async def test_retained_messages_are_delivered_once_and_not_kept(plant: Plant) -> None:
    own, curious = new_hardware_id(), new_hardware_id()
    topic = f"v1/from/{own}/ucm/v1/register"
    async with witness_of(plant) as witness, plant.client(await plant.config(own)) as module:
        await module.publish(topic, b"secret of mine", qos=1, retain=True)
        assert await next_message(witness) == (topic, b"secret of mine")
        user = (await plant.config(curious, "MQTT"))["mqtt_credentials"]
        async with raw(plant.site.mqtt_port) as (reader, writer):
            writer.write(connect_packet("", user["username"], user["password"]) + b"\xc0\x00")
            assert await reader.readexactly(6) == ACCEPTED + b"\xd0\x00"


@pytest.mark.parametrize("foreign", [False, True])
async def test_last_will_is_held_to_the_same_rights(plant: Plant, foreign: bool) -> None:
    own, other = new_hardware_id(), new_hardware_id()
    will = aiomqtt.Will(f"v1/from/{other if foreign else own}/ucm/v1/logs", b"gone")
    config = await plant.config(own)
    async with witness_of(plant) as witness:
        async with plant.client(config, will=will) as module:
            await module.publish(f"v1/from/{own}/ucm/x", b"here", qos=1)
            module._client._sock_close()
        expected = {b"here"} if foreign else {b"here", b"gone"}
        heard = {(await next_message(witness))[1] for _ in expected}
        assert heard == expected
        async with plant.client(config) as module:
            await module.publish(f"v1/from/{own}/ucm/x", b"back", qos=1)
        assert (await next_message(witness))[1] == b"back"


async def test_last_words_before_a_disconnect_are_heard(plant: Plant) -> None:
    own = new_hardware_id()
    user = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    topic = f"v1/from/{own}/u".encode()
    publish = bytes([0x30, len(topic) + 3]) + len(topic).to_bytes(2, "big") + topic
    async with witness_of(plant) as witness, raw(plant.site.mqtt_port) as (_, writer):
        messages = b"".join(publish + bytes([number]) for number in range(100))
        writer.write(connect_packet("", user["username"], user["password"], 0) + messages + b"\xe0\x00")
        assert {(await next_message(witness))[1][0] for _ in range(100)} == set(range(100))


async def test_messages_are_not_lost_while_others_subscribe(plant: Plant) -> None:
    own = new_hardware_id()
    config = await plant.config(own)
    async with witness_of(plant) as witness, plant.client(config) as module, plant.client(config) as busy:

        async def subscribe_on_and_on() -> None:
            for number in range(100):
                await busy.subscribe(f"v1/to/{own}/{number}")

        async def publish_on_and_on() -> None:
            for number in range(100):
                await module.publish(f"v1/from/{own}/ucm/v1/telemetry", str(number).encode(), qos=1)

        await asyncio.gather(subscribe_on_and_on(), publish_on_and_on())
        heard = [int((await next_message(witness))[1]) for _ in range(100)]
    assert heard == list(range(100))


async def test_silent_client_is_ended_after_one_and_a_half_keep_alives(plant: Plant) -> None:
    user = (await plant.config(new_hardware_id(), "MQTT"))["mqtt_credentials"]
    async with raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(connect_packet("", user["username"], user["password"], keep_alive=1))
        assert await closed(reader) == ACCEPTED


async def test_connection_without_connect_is_ended(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "CONNECT_SECONDS", 0.05)
    async with raw(plant.site.mqtt_port) as (reader, _):
        assert await closed(reader) == b""


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\x7f", b"\x00" * 64, b"\x10\x02\x00\x04"]
)
async def test_garbage_ends_the_connection_and_hurts_nobody(
    plant: Plant, garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "CONNECT_SECONDS", 0.2)
    async with witness_of(plant), raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(garbage)
        assert await closed(reader) == b""
    async with witness_of(plant):
        pass


async def test_packet_larger_than_any_of_ours_ends_the_connection(plant: Plant) -> None:
    own = new_hardware_id()
    user = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    topic = f"v1/from/{own}/u".encode()
    announced = b"\x30\xff\xff\xff\x7f" + len(topic).to_bytes(2, "big") + topic + b"x"
    async with raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(connect_packet("", user["username"], user["password"]))
        assert await reader.readexactly(4) == ACCEPTED
        writer.write(announced)
        assert await closed(reader) == b""


async def test_clients_that_reset_leave_no_noise(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    user = (await plant.config(new_hardware_id(), "MQTT"))["mqtt_credentials"]
    for packet in (
        b"",
        b"\x10",
        connect_packet("", "who", "?"),
        connect_packet("", user["username"], user["password"]),
    ):
        async with raw(plant.site.mqtt_port) as (_, writer):
            writer.write(packet)
            await writer.drain()
    async with witness_of(plant):
        pass
    assert [record for record in caplog.records if record.name != "asyncio" or record.levelname != "DEBUG"] == []


async def test_presence_follows_the_messages(plant: Plant, clock: Clock) -> None:
    own = new_hardware_id()
    device_id = (await plant.provision(own))["device_id"]
    async with witness_of(plant) as witness, plant.client(await plant.config(own)) as module:
        for kind, properties in (("register", {"config_generation": 3, "fw": "1"}), ("properties", {"fw": "2"})):
            await module.publish(f"v1/from/{own}/ucm/v1/{kind}", json.dumps({"timestamp": 1} | properties))
            await next_message(witness)
            view = await plant.device(device_id, "connectivity,properties")
            assert view["connectivity"] == {"status": "ONLINE"}
            assert view["properties"] == properties
    clock.offset = timedelta(seconds=61)
    assert (await plant.device(device_id, "connectivity"))["connectivity"] == {"status": "OFFLINE"}


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


async def test_stopping_leaves_nothing_behind(tmp_path: Path) -> None:
    async with plant_in(tmp_path):
        pass  # what is made once in a process is made
    await asyncio.sleep(0)
    threads, files = set(threading.enumerate()), _open_files()
    async with SiteApi(settings_in(tmp_path)) as site:
        plain = await asyncio.open_connection("127.0.0.1", site.mqtt_port)
        half = await asyncio.open_connection("127.0.0.1", site.mqtts_port)
        half[1].write(b"\x16\x03")
        http = await asyncio.open_connection(*site.url.removeprefix("http://").split(":"))
        credentials = json.loads(site.witness_file.read_text())["mqtt_credentials"]
        tls = await asyncio.open_connection("127.0.0.1", site.mqtts_port, ssl=tls_context(credentials, tmp_path))
        tls[1].write(connect_packet())
        assert await tls[0].readexactly(4) == ACCEPTED
    for _, writer in (plain, half, http, tls):
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not [name for name in left if not name.startswith("asyncio_")]
    assert _open_files() == files


def test_amqtt_still_calls_what_is_overridden() -> None:
    """An upgrade that renames or reshapes these would open the doors again without a word."""
    expected = {
        "_start_listeners": ["self"],
        "_client_connected": ["self", "listener_name", "reader", "writer"],
        "_initialize_client_session": ["self", "reader", "writer", "remote_address", "remote_port"],
        "_authenticate": ["self", "session", "_"],
        "_topic_filtering": ["self", "session", "topic", "action"],
        "_broadcast_message": ["self", "session", "topic", "data", "force_qos"],
        "retain_message": ["self", "source_session", "topic_name", "data", "qos"],
    }
    source = inspect.getsource(Broker)
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(Broker, name)).parameters) == parameters
        assert f"self.{name}(" in source
