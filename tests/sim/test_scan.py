"""`prov-scan` over both carriers: what the module hears, in Espressif's messages."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.host import Secured, secured
from tests.sim.lan_host import lan_secured
from tests.sim.sample import POP
from ucm_sim import Air, Identity, LanModule, LanSegment, Network, ScaledClock
from ucm_sim.messages import protocomm_pb2 as proto

FAST = 20.0
START = proto.NetworkScanPayload(
    msg=proto.TypeCmdScanWifiStart, cmd_scan_wifi_start=proto.CmdScanWifiStart(group_channels=5, period_ms=120)
)
STATUS = proto.NetworkScanPayload(msg=proto.TypeCmdScanWifiStatus, cmd_scan_wifi_status=proto.CmdScanWifiStatus())


@pytest.fixture
def air() -> Air:
    return Air(
        [
            Network("far-wifi", "secret", -89),
            Network("plant-wifi", "secret", -61),
            Network("office", "secret", -40, hidden=True, bssid=b"\2abcde"),
            Network("guests", "", -70),
            Network("dark", "secret", is_on=False),
        ]
    )


@pytest.fixture
async def module(identity: Identity, air: Air) -> AsyncIterator[LanModule]:
    options = {"boot_s": 0, "baud": 0, "air": air, "wifi": {"plant-wifi": "secret"}, "clock": ScaledClock(FAST)}
    async with LanSegment(mdns=False) as segment, LanModule(identity, None, segment, **options) as module:
        await module.until(lambda module: module.is_listening, timeout=8)
        yield module


@pytest.fixture(params=["lan", "cable"])
async def host(request: pytest.FixtureRequest, module: LanModule, port: Path) -> AsyncIterator[Secured]:
    await module.plug(port)
    over = lan_secured(module.port, POP) if request.param == "lan" else secured(port, POP)
    async with over as host:
        yield host


async def ask(host: Secured, request: proto.NetworkScanPayload) -> proto.NetworkScanPayload:
    return proto.NetworkScanPayload.FromString(await host.secure("prov-scan", request.SerializeToString()))


def result(start: int, count: int) -> proto.NetworkScanPayload:
    command = proto.CmdScanWifiResult(start_index=start, count=count)
    return proto.NetworkScanPayload(msg=proto.TypeCmdScanWifiResult, cmd_scan_wifi_result=command)


async def results(host: Secured, start: int = 0, count: int = 16) -> list[proto.WiFiScanResult]:
    answer = await ask(host, result(start, count))
    assert (answer.msg, answer.status) == (proto.TypeRespScanWifiResult, proto.Success)
    assert answer.WhichOneof("payload") == "resp_scan_wifi_result"
    return list(answer.resp_scan_wifi_result.entries)


async def status(host: Secured) -> tuple[bool, int]:
    answer = await ask(host, STATUS)
    assert (answer.msg, answer.WhichOneof("payload")) == (proto.TypeRespScanWifiStatus, "resp_scan_wifi_status")
    return answer.resp_scan_wifi_status.scan_finished, answer.resp_scan_wifi_status.result_count


async def scanned(host: Secured) -> list[proto.WiFiScanResult]:
    """Start, poll until it is finished, and fetch."""
    answer = await ask(host, START)
    assert (answer.msg, answer.WhichOneof("payload")) == (proto.TypeRespScanWifiStart, "resp_scan_wifi_start")
    assert await status(host) == (False, 0)
    assert await results(host) == []
    async with asyncio.timeout(5):
        while not (finished := await status(host))[0]:
            pass
    found = await results(host)
    assert finished == (True, len(found))
    return found


async def test_what_the_module_hears(host: Secured, module: LanModule) -> None:
    module.radio.leave_range("far-wifi")
    hidden, known, guests = await scanned(host)
    assert (hidden.ssid, hidden.rssi, hidden.bssid) == (b"", -40, b"\2abcde")
    assert (known.ssid, known.rssi, known.auth) == (b"plant-wifi", -61, proto.WPA2_PSK)
    assert (guests.ssid, guests.auth, len(guests.bssid)) == (b"guests", proto.Open, 6)
    assert {one.channel for one in (hidden, known, guests)} <= {1, 6, 11}
    assert await results(host, 1, 1) == [known]
    assert await results(host, 2, 5) == [guests]
    assert await results(host, 9, 1) == []
    assert module.is_listening


async def test_the_module_s_own_view_counts(host: Secured, module: LanModule) -> None:
    module.radio.set_rssi("guests", -20)
    assert [one.ssid for one in await scanned(host)] == [b"guests", b"", b"plant-wifi", b"far-wifi"]
    assert await status(host) == (True, 4)


async def test_at_most_sixteen_the_strongest(host: Secured, air: Air) -> None:
    for number in range(30):
        air.add(Network(f"a network with a rather long name{number:2}", "secret", -90 + number))
    found = await scanned(host)
    assert len(found) == 16
    assert [one.rssi for one in found] == sorted([one.rssi for one in found], reverse=True)
    assert sum(one.ByteSize() for one in found) < 1100


async def test_before_any_scan_there_is_nothing(host: Secured) -> None:
    assert await status(host) == (True, 0)
    assert await results(host) == []


async def test_a_blocking_scan_is_over_with_its_answer(host: Secured) -> None:
    start = proto.NetworkScanPayload(cmd_scan_wifi_start=proto.CmdScanWifiStart(blocking=True))
    await ask(host, start)
    assert await status(host) == (True, 4)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff",
        b"\x08\x02",
        proto.NetworkScanPayload(
            msg=proto.TypeCmdScanWifiStatus, cmd_scan_wifi_start=proto.CmdScanWifiStart()
        ).SerializeToString(),
        proto.NetworkScanPayload(
            msg=proto.TypeRespScanWifiStart, resp_scan_wifi_start=proto.RespScanWifiStart()
        ).SerializeToString(),
        b"\x08\x06\x82\x01\x00",
    ],
)
async def test_what_is_no_request_is_answered_all_the_same(host: Secured, body: bytes) -> None:
    answer = proto.NetworkScanPayload.FromString(await host.secure("prov-scan", body))
    assert answer == proto.NetworkScanPayload(msg=proto.TypeRespScanWifiStart, status=proto.InvalidProto)
    assert (await host.info()).status == 1


async def test_a_new_scan_forgets_the_old_one(host: Secured, module: LanModule, air: Air) -> None:
    await scanned(host)
    air.switch_off("guests")
    assert [one.ssid for one in await scanned(host)] == [b"", b"plant-wifi", b"far-wifi"]


async def test_both_carriers_see_one_scan(module: LanModule, port: Path) -> None:
    await module.plug(port)
    async with secured(port, POP) as cable, lan_secured(module.port, POP) as lan:
        assert await results(lan) == await results(cable) == []
        found = await scanned(cable)
        assert await results(lan) == found
