"""API client, check and witness against a whole site: the real provisioning API with its real broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.wire.broker.authority import HARDWARE_ID, Authority
from tests.wire.broker.witnessing import WallClock, next_of, until_status
from ucm_provision.broker import BrokerWitness, ConnectionCheck, Timing
from ucm_provision.broker.session import mqtt_session, own_identifier
from ucm_provision.broker.witness import CONNECTED
from ucm_provision.cloud import HttpProvisioningApi
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import Kind
from ucm_provision.core.model import Connection, MqttProtocol, PasswordCredentials, ProvisionArguments, TlsCredentials
from ucm_provision.core.secret import Secret
from ucm_provision.credentials import BrokerAccess
from ucm_site_api import Settings, SiteApi

ANY_PORT = ("127.0.0.1", 0)
QUICK = Timing(connect=5, alert=0.1, suback=5, time_source=5, reconnect_first=0.02, reconnect_last=0.1)


@dataclass
class Site:
    server: SiteApi
    api: HttpProvisioningApi
    witness: BrokerWitness


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = Settings(state=tmp_path / "state", listen=ANY_PORT, mqtt_listen=ANY_PORT, mqtts_listen=ANY_PORT)
    async with SiteApi(settings) as server:

        async def token() -> Secret[str]:
            return Secret(server.token_file.read_text().strip())

        async with HttpProvisioningApi(server.url, token) as api:
            witness = BrokerWitness(server.witness_file, WallClock(), timing=QUICK)
            running = asyncio.create_task(witness.run())
            yield Site(server, api, witness)
            running.cancel()
            await asyncio.wait({running})


async def arguments(site: Site, protocol: MqttProtocol) -> ProvisionArguments:
    return ProvisionArguments(Kind.UCM, HARDWARE_ID, await site.api.site_id(), "Pump room", protocol)


@asynccontextmanager
async def module_online(connection: Connection, generation: int) -> AsyncIterator[None]:
    """What a module does with its connection: sign in, register, stay."""
    access = BrokerAccess(connection.mqtt_host, connection.mqtt_port, connection.credentials)
    async with mqtt_session(access, own_identifier("module"), QUICK) as session:
        topic = f"v1/from/{connection.hardware_id}/{connection.channel_id}/v1/register"
        await session.publish(topic, json.dumps({"timestamp": 1, "config_generation": generation}))
        yield


@pytest.mark.parametrize("protocol", list(MqttProtocol))
async def test_from_provisioning_to_being_seen(site: Site, protocol: MqttProtocol) -> None:
    provisioned = await site.api.provision(await arguments(site, protocol))
    connection = provisioned.connection
    # The demo's time source is the API itself, on loopback: asked all the same once it is the operator's choice.
    assert await ConnectionCheck(time_source_overridden=True, timing=QUICK).check(connection) == []
    await until_status(site.witness, CONNECTED)
    async with site.witness.watch(HARDWARE_ID) as arrivals, module_online(connection, 7):
        assert (await next_of(arrivals)).config_generation == 7
        device = await site.api.device(provisioned.device_id)
        assert device is not None
        assert (device.online, device.config_generation) == (True, 7)
        assert (device.hardware_id, device.slug) == (HARDWARE_ID, provisioned.slug)


async def test_asking_again_gives_the_same_device(site: Site) -> None:
    asked = await arguments(site, MqttProtocol.MQTTS)
    first, second = await site.api.provision(asked), await site.api.provision(asked)
    assert (first.device_id, first.slug) == (second.device_id, second.slug)
    assert first.connection.credentials != second.connection.credentials
    assert await site.api.device("nobody") is None


async def test_refusals(site: Site) -> None:
    asked = await arguments(site, MqttProtocol.MQTT)
    with pytest.raises(UcmError) as caught:
        await site.api.provision(replace(asked, hardware_id="short"))
    assert caught.value.code is Code.API_REJECTED
    assert "hardware" in caught.value.detail


async def test_credentials_of_somebody_else(site: Site) -> None:
    tls = (await site.api.provision(await arguments(site, MqttProtocol.MQTTS))).connection
    assert isinstance(tls.credentials, TlsCredentials)
    stranger = Authority()
    foreign = stranger.credentials(stranger.issue())
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    cases = {
        Code.BROKER_TLS_UNTRUSTED: foreign,
        Code.BROKER_TLS_REJECTED: replace(foreign, ca_chain=tls.credentials.ca_chain),
    }
    for code, credentials in cases.items():
        with pytest.raises(UcmError) as caught:
            await ConnectionCheck(timing=QUICK).check(replace(tls, credentials=credentials))
        assert caught.value.code is code
    # The right certificate, another module's topics.
    with pytest.raises(UcmError) as caught:
        await ConnectionCheck(timing=QUICK).check(replace(tls, hardware_id="F" * 32))
    assert caught.value.code is Code.MQTT_NOT_AUTHORIZED
    assert "SUBACK" in caught.value.detail


async def test_a_wrong_password(site: Site) -> None:
    plain = (await site.api.provision(await arguments(site, MqttProtocol.MQTT))).connection
    assert isinstance(plain.credentials, PasswordCredentials)
    wrong = replace(plain, credentials=replace(plain.credentials, password=Secret("wrong")))
    with pytest.raises(UcmError) as caught:
        await ConnectionCheck(timing=QUICK).check(wrong)
    assert caught.value.code is Code.MQTT_NOT_AUTHORIZED
    assert "CONNACK" in caught.value.detail
