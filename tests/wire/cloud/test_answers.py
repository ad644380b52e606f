"""The API's answers, whole and damaged."""

import copy
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.broker.authority import HARDWARE_ID, Authority
from tests.wire.cloud.answers import (
    ARGUMENTS,
    DEVICE_ID,
    Damage,
    Json,
    device_answer,
    password_answer,
    tls_answer,
)
from ucm_provision import credentials
from ucm_provision.cloud.answers import parse_device, parse_provisioned, parse_site_id
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    MqttProtocol,
    PasswordCredentials,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
)

BY_PASSWORD = replace(ARGUMENTS, protocol=MqttProtocol.MQTT)


def encoded(answer: Json) -> bytes:
    return json.dumps(answer).encode()


def invalid(body: bytes, arguments: Any = BY_PASSWORD) -> str:
    with pytest.raises(UcmError) as caught:
        parse_provisioned(body, arguments)
    assert caught.value.code is Code.API_ANSWER_INVALID
    assert "correct-horse" not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)
    return caught.value.detail


# ---- whole ---------------------------------------------------------------------------------------


def test_password_credentials() -> None:
    provisioned = parse_provisioned(encoded(password_answer()), BY_PASSWORD)
    assert (provisioned.device_id, provisioned.slug) == (DEVICE_ID, "my-ucm")
    connection = provisioned.connection
    assert (connection.mqtt_host, connection.mqtt_port) == ("mqtt.local", 1883)
    assert (connection.hardware_id, connection.channel_id) == (HARDWARE_ID, "ucm")
    assert connection.time_source == TimeSource(TimeProtocol.HTTP, "127.0.0.1", 80)
    assert isinstance(connection.credentials, PasswordCredentials)
    assert connection.credentials.username == f"{HARDWARE_ID}.1"
    assert connection.credentials.password.reveal() == "correct-horse"
    assert "correct-horse" not in repr(provisioned)


@pytest.mark.parametrize("bits", [None, 2048])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("escaped", [False, True])
def test_pem_becomes_der(authority: Authority, bits: int | None, form: PrivateFormat, escaped: bool) -> None:
    issued, other = authority.issue(bits=bits), Authority("Root").itself
    answer = tls_answer(authority, issued)
    pems = answer["config"]["mqtt_credentials"]
    pems["private_key"] = issued.key_pem(form)
    pems["ca_chain"] += "\n" + other.certificate_pem
    if escaped:
        pems |= {name: text.replace("\n", "\\n") for name, text in pems.items()}
    parsed = parse_provisioned(encoded(answer), ARGUMENTS).connection.credentials
    assert isinstance(parsed, TlsCredentials)
    assert parsed.private_key.reveal() == issued.key_der
    assert parsed.certificate == issued.certificate_der
    assert parsed.ca_chain == (authority.itself.certificate_der, other.certificate_der)


ACCEPTED: dict[str, Damage] = {
    "selector only inside": lambda config: config.pop("mqtt_protocol"),
    "selector only outside": lambda config: config["mqtt_credentials"].pop("protocol"),
    "selector in lower case": lambda config: config.update(mqtt_protocol="mqtt"),
    "port as text": lambda config: config.update(mqtt_port="1883", time_sync_port="80"),
    "documented typo": lambda config: config.update(mqtt_post=config.pop("mqtt_port")),
    "time in lower case": lambda config: config.update(time_sync_protocol="http"),
    "id in lower case": lambda config: config.update(hardware_id=HARDWARE_ID.lower()),
    "more keys": lambda config: config.update(new={"a": [1, None]}),
    "null for the other kind": lambda config: config["mqtt_credentials"].update(private_key=None),
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
def test_tolerated(change: Damage) -> None:
    answer = password_answer()
    change(answer["config"])
    assert parse_provisioned(encoded(answer), BY_PASSWORD) == parse_provisioned(encoded(password_answer()), BY_PASSWORD)


# ---- damaged -------------------------------------------------------------------------------------

DAMAGED: dict[str, tuple[Damage, str]] = {
    "no port": (lambda config: config.pop("mqtt_port"), "config.mqtt_port"),
    "port 0": (lambda config: config.update(mqtt_port=0), "config.mqtt_port"),
    "port too large": (lambda config: config.update(mqtt_port="65536"), "config.mqtt_port"),
    "port a float": (lambda config: config.update(mqtt_port=8883.5), "config.mqtt_port"),
    "port a truth": (lambda config: config.update(mqtt_port=True), "config.mqtt_port"),
    "port no number": (lambda config: config.update(mqtt_port="8883\n"), "config.mqtt_port"),
    "port in other digits": (lambda config: config.update(mqtt_port="٨٨٨٣"), "config.mqtt_port"),
    "no host": (lambda config: config.pop("mqtt_host"), "mqtt_host"),
    "host empty": (lambda config: config.update(mqtt_host=""), "config.mqtt_host"),
    "host a URL": (lambda config: config.update(mqtt_host="mqtts://x"), "config.mqtt_host"),
    "host with a newline": (lambda config: config.update(mqtt_host="x\n"), "config.mqtt_host"),
    "host too long": (lambda config: config.update(mqtt_host="x" * 300), "config.mqtt_host"),
    "no selector": (
        lambda config: (config.pop("mqtt_protocol"), config["mqtt_credentials"].pop("protocol")),
        "config.mqtt_protocol",
    ),
    "selectors differ": (lambda config: config.update(mqtt_protocol="MQTTS"), "config.mqtt_protocol"),
    "selector unknown": (
        lambda config: (config.update(mqtt_protocol="AMQP"), config["mqtt_credentials"].pop("protocol")),
        "config.mqtt_protocol",
    ),
    "no credentials": (lambda config: config.update(mqtt_credentials=None), "config.mqtt_credentials"),
    "no username": (lambda config: config["mqtt_credentials"].pop("username"), "mqtt_credentials.username"),
    "no password": (lambda config: config["mqtt_credentials"].pop("password"), "mqtt_credentials.password"),
    "password a number": (lambda config: config["mqtt_credentials"].update(password=1), "mqtt_credentials.password"),
    "time unknown": (lambda config: config.update(time_sync_protocol="PTP"), "config.time_sync_protocol"),
    "time host missing": (lambda config: config.pop("time_sync_host"), "time_sync_host"),
    "time port too large": (lambda config: config.update(time_sync_port="70000"), "config.time_sync_port"),
    "another module's": (lambda config: config.update(hardware_id="F" * 32), "config.hardware_id"),
    "no hardware id": (lambda config: config.update(hardware_id="nonsense"), "config.hardware_id"),
    "channel with a wildcard": (lambda config: config.update(channel_id="#"), "config.channel_id"),
}


@pytest.mark.parametrize(("damage", "where"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_config(damage: Damage, where: str) -> None:
    answer = password_answer()
    damage(answer["config"])
    assert where in invalid(encoded(answer))


@pytest.mark.parametrize(
    "damage",
    [{"device_id": None}, {"device_id": "../site"}, {"device_id": ""}, {"slug": 7}, {"config": []}],
    ids=str,
)
def test_damaged_answer(damage: Json) -> None:
    assert next(iter(damage)) in invalid(encoded(password_answer() | damage))


def test_a_module_that_asked_for_tls_does_not_get_a_password() -> None:
    assert "config.mqtt_protocol" in invalid(encoded(password_answer()), ARGUMENTS)


def _encrypted(authority: Authority) -> str:
    return (
        authority.issue().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    )


def _ed25519() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_a_key_that_is_too_long_for_a_module(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = encoded(tls_answer(authority, authority.issue(bits=2048)))
    parse_provisioned(answer, ARGUMENTS)
    monkeypatch.setattr(credentials, "_RSA_BITS_LARGEST", 1024)  # a key of more than 4096 bits takes seconds to make
    assert "mqtt_credentials.private_key" in invalid(answer, ARGUMENTS)


def test_damaged_certificates(authority: Authority) -> None:
    good = tls_answer(authority, authority.issue())
    stranger = authority.issue()
    cases: list[tuple[str, str]] = [
        ("private_key", "PRIVATE nonsense"),
        ("private_key", stranger.key_pem()),
        ("private_key", _encrypted(authority)),
        ("private_key", _ed25519()),
        ("private_key", "x" * 40_000),
        ("certificate", "nonsense"),
        ("certificate", stranger.certificate_pem),
        ("certificate", stranger.key_pem()),
        ("ca_chain", "nonsense"),
        ("ca_chain", stranger.certificate_pem * 9),
    ]
    for field, text in cases:
        damaged = copy.deepcopy(good)
        damaged["config"]["mqtt_credentials"][field] = text
        detail = invalid(encoded(damaged), ARGUMENTS)
        # A foreign key shows at the certificate, which is what does not belong to it.
        assert f"mqtt_credentials.{'certificate' if text == stranger.key_pem() else field}" in detail
    for field in ("private_key", "certificate", "ca_chain"):
        damaged = copy.deepcopy(good)
        del damaged["config"]["mqtt_credentials"][field]
        assert f"mqtt_credentials.{field}" in invalid(encoded(damaged), ARGUMENTS)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_bodies_that_are_no_answer(body: bytes) -> None:
    invalid(body)
    for parse in (parse_device, parse_site_id):
        with pytest.raises(UcmError) as caught:
            parse(body)
        assert caught.value.code is Code.API_ANSWER_INVALID


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_PLACES = [("config", key) for key in password_answer()["config"]] + [("device_id",), ("slug",), ("config",)]


@given(st.sampled_from(_PLACES), _ANYTHING)
def test_anything_anywhere_is_an_answer_or_a_complaint(place: tuple[str, ...], value: object) -> None:
    answer: Any = password_answer()
    holder = answer
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    body = msgspec.json.encode(answer)
    try:
        parsed = parse_provisioned(body, BY_PASSWORD)
    except UcmError as error:
        outcome = error.code
    else:
        outcome = None
        assert parsed.connection.hardware_id == HARDWARE_ID
        assert 1 <= parsed.connection.mqtt_port <= 65535
    assert outcome in {None, Code.API_ANSWER_INVALID}


# ---- devices and sites ---------------------------------------------------------------------------


def test_device() -> None:
    device = parse_device(encoded(device_answer()))
    assert (device.id, device.slug, device.name, device.site_id) == (DEVICE_ID, "my-ucm", "My UCM", "site-1")
    assert (device.hardware_id, device.online, device.config_generation) == (HARDWARE_ID, True, 3)


@pytest.mark.parametrize(
    ("connectivity", "online"),
    [
        ({"status": "ONLINE"}, True),
        ({"status": "offline"}, False),
        ({"status": "UNKNOWN"}, None),
        ({"status": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_connectivity(connectivity: Json | None, online: bool | None) -> None:
    assert parse_device(encoded(device_answer(connectivity=connectivity))).online is online


@pytest.mark.parametrize(
    "properties",
    [None, {}, *({"config_generation": value} for value in ("3", True, -1, 2**32, 3.0, [3]))],
)
def test_properties_without_a_generation(properties: Json | None) -> None:
    assert parse_device(encoded(device_answer(properties=properties))).config_generation is None


def test_device_without_what_was_to_be_expanded() -> None:
    answer = device_answer()
    for key in ("connectivity", "communication", "properties"):
        del answer["device"][key]
    device = parse_device(encoded(answer))
    assert (device.hardware_id, device.online, device.config_generation) == ("", None, None)


def test_site() -> None:
    assert parse_site_id(b'{"site": {"id": "site-1", "name": "Plant"}}') == "site-1"
