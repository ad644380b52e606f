"""The whole chain against a real mosquitto, and what its ways of refusing come to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.front import Front
from tests.e2e.station import HARDWARE_ID, FastClock, Station, verified
from tests.mosquitto.harness import mosquitto_site
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

OTHER_ID = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteApi]:
    """Instead of the embedded broker."""
    async with mosquitto_site(tmp_path) as site:
        yield site


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_a_module_goes_all_the_way(station: Station, protocol: str) -> None:
    station.protocol = protocol
    async with station.daemon() as running, station.module():
        view = await running.until(verified)
    assert (view["protocol"], (view["evidence"] or {})["seen_by"]) == (protocol, "witness")
    assert (view["evidence"] or {})["seen_generation"] == 1


async def credentials_of_another_module(station: Station, site: SiteApi, protocol: str) -> dict[str, Any]:
    body = {"hardware_id": OTHER_ID, "name": "Another", "protocol": protocol}
    headers = {"X-Enapter-Auth-Token": station.token_file.read_text().strip()}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{site.url}/v3/provisioning/ucm", json=body) as answer,
    ):
        assert answer.status == 200
        credentials: dict[str, Any] = (await answer.json())["config"]["mqtt_credentials"]
        return credentials


async def test_a_connection_without_rights_to_the_module_s_topics_is_refused_before_the_push(
    station: Station, site: SiteApi, front: Front
) -> None:
    """The password listener refuses the subscription; the connection alone would prove nothing."""
    station.protocol = "MQTT"
    theirs = await credentials_of_another_module(station, site, "MQTT")
    front.alter = lambda answer: answer["config"].update(mqtt_credentials=theirs)
    async with station.daemon() as running, station.module() as module:
        view = await running.held("mqtt_not_authorized", "operator")
        assert view["milestone"] == "PROVISIONED"
        assert module.executed("begin") == 0


async def test_a_certificate_of_another_name_is_told_and_its_dropped_messages_verify_nothing(
    station: Station, site: SiteApi, front: Front
) -> None:
    """The certificate listener grants every subscription and drops what may not be published: nobody sees it."""
    theirs = await credentials_of_another_module(station, site, "MQTTS")
    front.alter = lambda answer: answer["config"].update(mqtt_credentials=theirs)
    async with station.daemon(clock=FastClock(60.0)) as running, station.module() as module:
        view = await running.held("not_seen", "operator")
        assert view["milestone"] == "PUSHED"
        assert any(OTHER_ID in warning for warning in view["warnings"])
        assert "Nothing was rolled back" in (view["hold"] or {})["message"]
        assert (module.phase_name, module.active_generation) == ("ONLINE", 1)


def certificate_of_nobody() -> tuple[str, str]:
    """Key and certificate as PEM, with the right name but signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HARDWARE_ID)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), certificate.public_bytes(Encoding.PEM).decode()


async def test_a_certificate_that_the_broker_refuses_after_the_handshake_is_not_pushed(
    station: Station, front: Front
) -> None:
    """Under TLS 1.3 the refusal shows only at the first read."""
    private_key, certificate = certificate_of_nobody()

    def forge(answer: dict[str, Any]) -> None:
        answer["config"]["mqtt_credentials"].update(private_key=private_key, certificate=certificate)

    front.alter = forge
    async with station.daemon() as running, station.module() as module:
        view = await running.held("broker_tls_rejected", "operator")
        assert view["milestone"] == "PROVISIONED"
        assert module.executed("begin") == 0


async def test_a_revoked_certificate_keeps_its_module_from_being_verified_again(
    station: Station, site: SiteApi, tmp_path: Path
) -> None:
    """The module tells its reason itself, and a fresh credential mends it."""
    async with station.daemon(clock=FastClock(60.0)) as running, station.module() as module:
        first = await running.until(verified)
        await site.revoke(HARDWARE_ID, 1)
        await module.reboot()
        await module.until(lambda module: module.reason_name == "TLS_REJECTED", timeout=20)
        await module.unplug()
        await module.plug(tmp_path / "ttyUCM7")
        held = await running.held("not_online", "operator")
        assert "TLS_REJECTED" in (held["hold"] or {})["message"]
        await running.daemon.operator.reprovision(held["session"], "a test")
        view = await running.until(lambda view: verified(view) and view["session"] != first["session"])
        assert (view["device_id"], view["generation"]) == (first["device_id"], 2)
