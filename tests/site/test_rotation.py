"""Which credentials are accepted, and until when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest

from tests.site.harness import Clock, Plant, closed, connect_packet, new_hardware_id, next_message, plant_in
from tests.site.test_broker import ACCEPTED, answer_to, raw

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    """Two days behind, so that a test can go forward without meeting a certificate from the future."""
    return Clock(-48 * HOUR)


async def accepted(plant: Plant, config: dict[str, object]) -> bool:
    try:
        async with plant.client(config):
            return True
    except aiomqtt.MqttCodeError as refusal:
        if "Not authorized" not in str(refusal):
            raise
        return False


@pytest.mark.parametrize(("old", "new"), [("MQTTS", "MQTTS"), ("MQTT", "MQTT"), ("MQTTS", "MQTT"), ("MQTT", "MQTTS")])
async def test_a_credential_ends_a_day_after_a_newer_one(plant: Plant, clock: Clock, old: str, new: str) -> None:
    own = new_hardware_id()
    first = await plant.config(own, old)
    clock.offset += 30 * HOUR
    assert await accepted(plant, first), "nothing newer was issued"
    second = await plant.config(own, new)
    clock.offset += 23.9 * HOUR
    assert await accepted(plant, first)
    clock.offset += 0.2 * HOUR
    assert not await accepted(plant, first)
    assert await accepted(plant, second)


async def test_any_number_of_calls_inside_the_grace_invalidates_none(plant: Plant, clock: Clock) -> None:
    own = new_hardware_id()
    configs = [await plant.config(own, protocol) for protocol in ("MQTTS", "MQTT") * 5]
    clock.offset += 23 * HOUR
    configs.append(await plant.config(own))
    assert all([await accepted(plant, config) for config in configs])
    ends = [credential.ends_at for credential in await plant.site.credentials(own)]
    assert None not in ends[:9]
    clock.offset += 2 * HOUR
    verdicts = [await accepted(plant, config) for config in configs]
    assert verdicts == [False] * 9 + [True, True]


async def test_another_grace(tmp_path: Path) -> None:
    clock = Clock(-48 * HOUR)
    async with plant_in(tmp_path, now=clock, rotation_grace=timedelta(minutes=5)) as plant:
        own = new_hardware_id()
        first, second = await plant.config(own), await plant.config(own)
        clock.offset += timedelta(minutes=6)
        assert not await accepted(plant, first)
        assert await accepted(plant, second)


async def test_certificate_ends_with_its_validity(tmp_path: Path) -> None:
    clock = Clock(-48 * HOUR)
    async with plant_in(tmp_path, now=clock, certificate_validity=72 * HOUR) as plant:
        config = await plant.config(new_hardware_id())
        clock.offset = 23 * HOUR
        assert await accepted(plant, config)
        clock.offset = 25 * HOUR
        assert not await accepted(plant, config)


async def revoked_while_connected(plant: Plant, config: dict[str, object], own: str) -> None:
    async with plant.client(config) as module:
        await plant.site.revoke(own, 1)
        await next_message(module)


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_revoked_credential_is_refused_and_its_sessions_end(plant: Plant, protocol: str) -> None:
    own = new_hardware_id()
    first, second = await plant.config(own, protocol), await plant.config(own, protocol)
    async with plant.client(second) as untouched:
        with pytest.raises(aiomqtt.MqttError):
            await revoked_while_connected(plant, first, own)
        assert not await accepted(plant, first)
        await untouched.publish(f"v1/from/{own}/ucm/x", b"", qos=1)
    assert await accepted(plant, second)


async def test_session_ends_soon_after_its_credential(plant: Plant, clock: Clock) -> None:
    own = new_hardware_id()
    user = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    await plant.config(own, "MQTT")
    async with raw(plant.site.mqtt_port) as (reader, writer):
        writer.write(connect_packet("", user["username"], user["password"]))
        assert await reader.readexactly(4) == ACCEPTED
        await plant.site.enforce_ends()
        writer.write(b"\xc0\x00")
        assert await reader.readexactly(2) == b"\xd0\x00"
        clock.offset += 25 * HOUR
        await plant.site.enforce_ends()
        assert await closed(reader) == b""


async def test_revoking_shortens_but_issuing_does_not_lengthen(plant: Plant, clock: Clock) -> None:
    own = new_hardware_id()
    user = (await plant.config(own, "MQTT"))["mqtt_credentials"]
    await plant.site.revoke(own, 1)
    await plant.config(own, "MQTT")
    assert await answer_to(plant, connect_packet("", user["username"], user["password"])) != ACCEPTED
    (first, second) = await plant.site.credentials(own)
    assert first.ends_at is not None
    assert first.ends_at <= datetime.now(UTC) + clock.offset
    assert second.ends_at is None
