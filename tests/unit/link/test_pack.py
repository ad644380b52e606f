"""A configuration as the bytes that are staged: the golden ones, the same every time, within bounds."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    Connection,
    ModuleConfiguration,
    PasswordCredentials,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
    WifiNetwork,
)
from ucm_provision.core.secret import Secret
from ucm_provision.link.messages import ucm_link_pb2 as pb
from ucm_provision.link.pack import pack

CASES = {case["name"]: case for case in json.loads(Path("hardware/link/vectors.json").read_text())["configurations"]}


def configuration(case: dict) -> ModuleConfiguration:
    fields = case["json"]
    source = fields["time_sync"]
    return ModuleConfiguration(
        device_id=fields["device_id"],
        connection=Connection(
            hardware_id=fields["hardware_id"],
            channel_id=fields["channel_id"],
            mqtt_host=fields["mqtt_host"],
            mqtt_port=fields["mqtt_port"],
            credentials=credentials(fields),
            time_source=TimeSource(TimeProtocol(source["protocol"]), source["host"], source["port"]),
        ),
        wifi=tuple(
            WifiNetwork(network["ssid"], Secret(network["passphrase"]), network.get("hidden", False))
            for network in fields["wifi"]
        ),
    )


def credentials(fields: dict) -> PasswordCredentials | TlsCredentials:
    if "password" in fields:
        return PasswordCredentials(fields["password"]["username"], Secret(fields["password"]["password"]))
    tls = fields["tls"]
    anchors = tuple(base64.b64decode(anchor) for anchor in tls["ca_chain"])
    return TlsCredentials(Secret(base64.b64decode(tls["private_key"])), base64.b64decode(tls["certificate"]), anchors)


def test_password_configuration_is_the_golden_one() -> None:
    assert pack(configuration(CASES["password"])).hex() == CASES["password"]["bytes"]


def test_certificate_configuration_is_the_golden_one_but_for_the_bssid() -> None:
    """The daemon never ties a module to one access point."""
    golden = pb.ModuleConfig.FromString(bytes.fromhex(CASES["certificate"]["bytes"]))
    for network in golden.wifi:
        network.ClearField("bssid")
    assert pack(configuration(CASES["certificate"])) == golden.SerializeToString(deterministic=True)


def test_the_same_configuration_gives_the_same_bytes() -> None:
    first, second = (pack(configuration(CASES["certificate"])) for _ in range(2))
    assert first == second


def test_no_network_means_keep_the_present_ones() -> None:
    packed = pack(replace(configuration(CASES["password"]), wifi=()))
    assert not pb.ModuleConfig.FromString(packed).wifi


def test_http_time_source() -> None:
    whole = configuration(CASES["password"])
    source = TimeSource(TimeProtocol.HTTP, "gateway.local", 80)
    packed = pack(replace(whole, connection=replace(whole.connection, time_source=source)))
    assert pb.ModuleConfig.FromString(packed).time_sync.protocol == pb.TimeSync.HTTP


def test_three_networks_at_most() -> None:
    whole = configuration(CASES["password"])
    pack(replace(whole, wifi=(WifiNetwork("x"),) * 3))
    with pytest.raises(UcmError) as caught:
        pack(replace(whole, wifi=(WifiNetwork("x"),) * 4))
    assert caught.value.code is Code.MODULE_REFUSED


def test_sixteen_kibibytes_at_most() -> None:
    whole = configuration(CASES["certificate"])
    tls = whole.connection.credentials
    assert isinstance(tls, TlsCredentials)
    too_much = replace(tls, ca_chain=(bytes(16 * 1024),))
    with pytest.raises(UcmError, match="16384") as caught:
        pack(replace(whole, connection=replace(whole.connection, credentials=too_much)))
    assert caught.value.code is Code.MODULE_REFUSED


def test_what_cannot_be_encoded_is_refused_without_being_quoted() -> None:
    whole = configuration(CASES["password"])
    with pytest.raises(UcmError) as caught:
        pack(replace(whole, wifi=(WifiNetwork("x", Secret("hunter22\udc80")),)))
    assert caught.value.code is Code.MODULE_REFUSED
    assert caught.value.__cause__ is None
    assert "hunter22" not in str(caught.value)
