"""protocomm's network scan: its requests, and what its answers mean."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import HeardNetwork
from ucm_provision.link.messages import protocomm_pb2 as pb

ENDPOINT = "prov-scan"

_BSSID_BYTES = 6
_SSID_LONGEST = 32
_PERIOD_MS = 120  # on each channel, as Espressif's own tools ask


def start_request() -> pb.NetworkScanPayload:
    command = pb.CmdScanWifiStart(blocking=False, passive=False, group_channels=0, period_ms=_PERIOD_MS)
    return pb.NetworkScanPayload(msg=pb.TypeCmdScanWifiStart, cmd_scan_wifi_start=command)


def status_request() -> pb.NetworkScanPayload:
    return pb.NetworkScanPayload(msg=pb.TypeCmdScanWifiStatus, cmd_scan_wifi_status=pb.CmdScanWifiStatus())


def result_request() -> pb.NetworkScanPayload:
    command = pb.CmdScanWifiResult(start_index=0, count=policy.NETWORKS_HEARD_MOST)
    return pb.NetworkScanPayload(msg=pb.TypeCmdScanWifiResult, cmd_scan_wifi_result=command)


def check_started(body: bytes) -> None:
    """Raises UcmError ``link_garbage``, or ``module_refused`` where the module cannot scan now."""
    _answer(body, pb.TypeRespScanWifiStart, "resp_scan_wifi_start")


def is_finished(body: bytes) -> bool:
    return _answer(body, pb.TypeRespScanWifiStatus, "resp_scan_wifi_status").resp_scan_wifi_status.scan_finished


def heard(body: bytes) -> tuple[HeardNetwork, ...]:
    """The networks, the strongest first. What a stranger's access point calls itself is bounded and printable."""
    entries = _answer(body, pb.TypeRespScanWifiResult, "resp_scan_wifi_result").resp_scan_wifi_result.entries
    networks = [_network(entry) for entry in entries[: policy.NETWORKS_HEARD_MOST]]
    return tuple(sorted(networks, key=lambda network: -network.rssi_dbm))


def _network(entry: pb.WiFiScanResult) -> HeardNetwork:
    if len(entry.bssid) != _BSSID_BYTES or len(entry.ssid) > _SSID_LONGEST:
        raise UcmError(Code.LINK_GARBAGE, "a network that the module hears has no proper name or address")
    known = entry.auth in pb.WifiAuthMode.values()
    security = pb.WifiAuthMode.Name(entry.auth) if known else f"unknown ({entry.auth})"
    name = "".join(c if c.isprintable() else "?" for c in entry.ssid.decode(errors="replace"))
    return HeardNetwork(name, entry.bssid, entry.channel, entry.rssi, security)


def _answer(body: bytes, message: pb.NetworkScanMsgType.ValueType, case: str) -> pb.NetworkScanPayload:
    try:
        answer = pb.NetworkScanPayload.FromString(body)
    except DecodeError:
        raise UcmError(Code.LINK_GARBAGE, f"the answer of {ENDPOINT} is no message") from None
    if answer.status != pb.Success:
        raise UcmError(Code.MODULE_REFUSED, f"{ENDPOINT}: status {answer.status}")
    # A success is zero in these messages: only type and case prove that an answer is one.
    if answer.msg != message or answer.WhichOneof("payload") != case:
        raise UcmError(Code.LINK_GARBAGE, f"the answer of {ENDPOINT} is another message than the one due")
    return answer
