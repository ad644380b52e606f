"""What a module hears: over both carriers of a simulated one, and from answers that nobody would expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, HeardNetwork, ProofOfPossession
from ucm_provision.core.secret import Secret
from ucm_provision.link import HttpLinks, SerialLinks, scan
from ucm_provision.link.messages import protocomm_pb2 as pb
from ucm_provision.transports.http import HttpCalls
from ucm_provision.transports.serial import open_port
from ucm_sim import Identity, LanModule, LanSegment

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = ProofOfPossession(Secret("a7Kf-93Qp-Lm2x"))
NETWORKS = {"plant": "correct horse battery", "guests": "another passphrase"}


async def test_a_module_tells_what_it_hears_over_the_lan_and_over_its_cable(tmp_path: Path) -> None:
    identity = Identity(hardware_id=HARDWARE_ID, pop=POP.secret.reveal())
    async with (
        LanSegment(mdns=False) as segment,
        LanModule(identity, None, segment, networks=NETWORKS, boot_s=0.01) as module,
    ):
        await module.until(lambda m: m.answers and m.is_listening, timeout=10)
        lan = Endpoint(Carrier.HTTP, "ucm", "lan", (f"127.0.0.1:{module.port}",))
        async with HttpLinks(HttpCalls, lambda endpoint: endpoint.routes).dial(lan, lambda _: POP) as link:
            over_lan = await link.scan()
        await module.plug(tmp_path / "ttyUCM0")
        cable = Endpoint(Carrier.SERIAL, str(tmp_path / "ttyUCM0"), "")
        async with SerialLinks(open_port).dial(cable, lambda _: POP) as link:
            over_cable = await link.scan()
    assert {network.ssid for network in over_lan} == set(NETWORKS)
    assert {network.bssid for network in over_lan} == {network.bssid for network in over_cable}
    assert all(len(network.bssid) == 6 and network.rssi_dbm < 0 for network in over_lan)


def result(*entries: pb.WiFiScanResult) -> bytes:
    found = pb.RespScanWifiResult(entries=entries)
    return pb.NetworkScanPayload(msg=pb.TypeRespScanWifiResult, resp_scan_wifi_result=found).SerializeToString()


def entry(ssid: bytes, rssi: int = -60, bssid: bytes = b"\x02abcde", auth: int = 3) -> pb.WiFiScanResult:
    return pb.WiFiScanResult(ssid=ssid, channel=6, rssi=rssi, bssid=bssid, auth=pb.WifiAuthMode.ValueType(auth))


def test_the_strongest_comes_first_and_odd_names_are_made_printable() -> None:
    heard = scan.heard(result(entry(b"weak", -90), entry(b"\x1b[2J\xff", -40), entry(b"", -70, auth=99)))
    assert heard == (
        HeardNetwork("?[2J\ufffd", b"\x02abcde", 6, -40, "WPA2_PSK"),
        HeardNetwork("", b"\x02abcde", 6, -70, "unknown (99)"),
        HeardNetwork("weak", b"\x02abcde", 6, -90, "WPA2_PSK"),
    )


def test_more_networks_than_there_may_be_are_cut_off() -> None:
    assert len(scan.heard(result(*(entry(b"%d" % number) for number in range(40))))) == 16


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff", Code.LINK_GARBAGE),
        (b"", Code.LINK_GARBAGE),
        (result(entry(b"x" * 33)), Code.LINK_GARBAGE),
        (result(entry(b"x", bssid=b"short")), Code.LINK_GARBAGE),
        (scan.result_request().SerializeToString(), Code.LINK_GARBAGE),
        (
            pb.NetworkScanPayload(msg=pb.TypeRespScanWifiStart, status=pb.InvalidProto).SerializeToString(),
            Code.MODULE_REFUSED,
        ),
    ],
)
def test_what_is_no_result_is_not_taken_for_one(body: bytes, code: Code) -> None:
    with pytest.raises(UcmError) as caught:
        scan.heard(body)
    assert caught.value.code is code


def test_an_empty_answer_is_no_success() -> None:
    with pytest.raises(UcmError):
        scan.check_started(b"")
    with pytest.raises(UcmError):
        scan.is_finished(b"")
