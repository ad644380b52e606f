"""The witness against a scripted broker: what it subscribes to, what it reports, and how it comes back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.broker.authority import HARDWARE_ID, Authority
from tests.wire.broker.leaks import nothing_left_behind
from tests.wire.broker.servers import (
    CONNECT,
    SUBSCRIBE,
    UNSUBSCRIBE,
    ScriptedBroker,
    closed_port,
    server_context,
    serving,
)
from tests.wire.broker.witnessing import WallClock, next_of, until_status
from ucm_provision.broker import BrokerWitness, NoWitness, Timing
from ucm_provision.broker.session import MqttSession
from ucm_provision.broker.witness import CONNECTED, NO_WITNESS, _generation
from ucm_provision.core import policy

PATIENT = Timing(connect=10, alert=0.02, suback=10, subscribe=10, reconnect_first=0.01, reconnect_last=0.05)
OTHER_ID = "435840FFE5CD4E9DA93545DDF7E6D5FB"
TOPIC = f"v1/from/{HARDWARE_ID}/ucm/v1/register"


def write_file(file: Path, port: int, **changes: object) -> None:
    config = {
        "mqtt_host": "127.0.0.1",
        "mqtt_port": port,
        "mqtt_protocol": "MQTT",
        "mqtt_credentials": {"protocol": "MQTT", "username": "witness", "password": "hunter2hunter2"},
    }
    file.write_text(json.dumps(config | changes))


@asynccontextmanager
async def running(file: Path, timing: Timing = PATIENT) -> AsyncIterator[BrokerWitness]:
    async with nothing_left_behind():
        witness = BrokerWitness(file, WallClock(), timing=timing)
        task = asyncio.create_task(witness.run())
        try:
            yield witness
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "witness.json"


async def test_sees_a_module_arrive(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as arrivals:
                # Granted before anything can be missed.
                assert broker.types() == [CONNECT, SUBSCRIBE]
                began = time.time()
                broker.publish(TOPIC, b'{"timestamp": 1, "config_generation": 7}')
                broker.publish(f"v1/from/{HARDWARE_ID}/ucm/v1/telemetry", b'{"config_generation": 7}')
                first, second = await next_of(arrivals), await next_of(arrivals)
    assert (first.topic, first.config_generation) == (TOPIC, 7)
    assert began <= first.at <= time.time()
    # Only a registration says which configuration it comes from.
    assert second.config_generation is None
    topic = broker.packets[1][1][4:-1].decode()
    assert topic == f"v1/from/{HARDWARE_ID}/#"


async def test_passes_over_what_is_not_asked_for(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as arrivals:
                broker.publish(TOPIC, b'{"config_generation": 6}', retain=True)
                broker.publish(f"v1/from/{OTHER_ID}/ucm/v1/register", b"{}")
                broker.publish("short", b"{}")
                broker.publish(TOPIC, b'{"config_generation": 7}')
                assert (await next_of(arrivals)).config_generation == 7


async def test_two_watchers_share_a_subscription(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as first:
                async with witness.watch(HARDWARE_ID) as second:
                    broker.publish(TOPIC, b"{}")
                    assert (await next_of(first)).topic == (await next_of(second)).topic == TOPIC
                broker.publish(TOPIC, b"{}")
                assert (await next_of(first)).topic == TOPIC
            await broker.until(UNSUBSCRIBE)
            async with witness.watch(HARDWARE_ID):
                pass
        assert broker.types()[:4] == [CONNECT, SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]


async def test_a_slow_watcher_loses_the_oldest(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as slow, witness.watch(HARDWARE_ID) as quick:
                for number in range(policy.WITNESS_QUEUE + 5):
                    broker.publish(TOPIC, b'{"config_generation": %d}' % number)
                    await next_of(quick)
                assert (await next_of(slow)).config_generation == 5


async def test_comes_back_and_subscribes_again(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as arrivals:
                broker.packets.clear()
                broker.drop_clients()
                await broker.until(SUBSCRIBE)
                broker.publish(TOPIC, b'{"config_generation": 9}')
                assert (await next_of(arrivals)).config_generation == 9
            assert witness.status == CONNECTED


async def test_survives_a_topic_that_is_none(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as arrivals:
                broker.packets.clear()
                broker.publish("v1/from/#", b"")
                await broker.until(SUBSCRIBE)
                broker.publish(TOPIC, b'{"config_generation": 9}')
                assert (await next_of(arrivals)).config_generation == 9


async def test_watches_before_there_is_a_connection(file: Path) -> None:
    async with serving(ScriptedBroker()) as broker, running(file) as witness:
        async with asyncio.timeout(1):
            watching = witness.watch(HARDWARE_ID)
            arrivals = await watching.__aenter__()
        await until_status(witness, "No such file")
        write_file(file, broker.port)
        await broker.until(SUBSCRIBE)
        broker.publish(TOPIC, b"{}")
        assert (await next_of(arrivals)).topic == TOPIC
        await watching.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Input data was truncated"),
        ("no JSON", "malformed"),
        ("[]", "Expected `object`"),
        ('{"mqtt_host": "127.0.0.1"}', "mqtt_credentials"),
        (" " * (policy.WITNESS_FILE_LARGEST + 1), "more than"),
    ],
)
async def test_says_what_is_wrong_with_its_file_and_heals(file: Path, content: str, reason: str) -> None:
    file.write_text(content)  # noqa: ASYNC240
    async with serving(ScriptedBroker()) as broker, running(file) as witness:
        await until_status(witness, reason)
        write_file(file, broker.port)
        await until_status(witness, CONNECTED)


async def test_says_why_the_broker_is_of_no_use(file: Path, authority: Authority, tmp_path: Path) -> None:
    with closed_port() as port:
        write_file(file, port)
        async with running(file) as witness:
            await until_status(witness, "broker_refused")
    async with serving(ScriptedBroker(connack=5)) as broker:
        write_file(file, broker.port)
        async with running(file) as witness:
            await until_status(witness, "mqtt_not_authorized")
            assert "hunter2" not in witness.status
    async with serving(ScriptedBroker(), server_context(tmp_path, Authority().issue("broker"))) as broker:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        issued = authority.issue("witness")
        tls = {
            "private_key": issued.key_pem(),
            "certificate": issued.certificate_pem,
            "ca_chain": authority.itself.certificate_pem,
        }
        write_file(file, broker.port, mqtt_protocol="MQTTS", mqtt_credentials=tls)
        async with running(file) as witness:
            await until_status(witness, "broker_tls_untrusted")


@pytest.mark.parametrize(
    ("broker", "status"),
    [(ScriptedBroker(suback=0x80), "SUBACK"), (ScriptedBroker(suback=None), "")],
    ids=["refuses", "silent"],
)
async def test_a_subscription_without_consent_holds_nobody_up(file: Path, broker: ScriptedBroker, status: str) -> None:
    async with serving(broker):
        write_file(file, broker.port)
        short = 10 if status else 0.1
        async with running(file, replace(PATIENT, subscribe=short)) as witness:
            await until_status(witness, CONNECTED)
            async with asyncio.timeout(5), witness.watch(HARDWARE_ID):
                assert status in witness.status


async def test_over_tls(file: Path, authority: Authority, tmp_path: Path) -> None:
    context = server_context(tmp_path, authority.issue("broker"), authority)
    issued = authority.issue("witness")
    tls = {
        "private_key": issued.key_pem(),
        "certificate": issued.certificate_pem,
        "ca_chain": authority.itself.certificate_pem,
    }
    async with serving(ScriptedBroker(), context) as broker:
        write_file(file, broker.port, mqtt_protocol="MQTTS", mqtt_credentials=tls)
        async with running(file) as witness:
            await until_status(witness, CONNECTED)
            async with witness.watch(HARDWARE_ID) as arrivals:
                broker.publish(TOPIC, b'{"config_generation": 3}')
                assert (await next_of(arrivals)).config_generation == 3


async def test_no_witness() -> None:
    witness = NoWitness()
    await witness.run()
    assert witness.status == NO_WITNESS
    async with witness.watch(HARDWARE_ID) as arrivals:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(arrivals), 0.01)


# ---- hostile payloads ----------------------------------------------------------------------------


@given(st.binary())
def test_any_payload_is_survived(payload: bytes) -> None:
    assert _generation(TOPIC, payload) is None


@given(st.integers())
def test_a_generation_is_a_32_bit_number(number: int) -> None:
    expected = number if 0 <= number < 2**32 else None
    assert _generation(TOPIC, b'{"x": {"y": []}, "config_generation": %d}' % number) == expected


@pytest.mark.parametrize(
    "payload",
    [
        b'{"config_generation": true}',
        b'{"config_generation": "7"}',
        b'{"config_generation": 7.5}',
        b'{"config_generation": null}',
        b"[7]",
        b"7",
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"config_generation": 7, "pad": "' + b"x" * policy.WITNESS_PAYLOAD_LARGEST + b'"}',
        b'{"config_generation": 7, "name": "\xff"',
    ],
)
def test_other_things_are_no_generation(payload: bytes) -> None:
    assert _generation(TOPIC, payload) is None


async def test_it_ends_when_told_to_in_the_middle_of_unsubscribing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncio.wait_for does on Python 3.11 when answer and cancellation coincide, aiomqtt may swallow the latter."""
    unsubscribing = asyncio.Event()

    async def swallow(*_: object) -> None:
        unsubscribing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(MqttSession, "unsubscribe", swallow)
    async with serving(ScriptedBroker()) as broker:
        write_file(file, broker.port)
        witness = BrokerWitness(file, WallClock())
        run = asyncio.ensure_future(witness.run())
        await until_status(witness, CONNECTED)
        async with witness.watch(HARDWARE_ID):
            pass
        await unsubscribing.wait()
        run.cancel()
        done, _ = await asyncio.wait({run}, timeout=2)
        assert done
        assert run.cancelled()
