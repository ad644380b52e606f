"""`prov-scan`: the Wi-Fi networks that the module hears, in the messages of Espressif's network scan."""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from ucm_sim.clock import Clock
from ucm_sim.messages import protocomm_pb2 as proto
from ucm_sim.protocomm import Session
from ucm_sim.radio import Heard, Radio

# Thirteen channels, each listened to for 120 ms.
_DURATION_S = 1.6
_MOST_RESULTS = 16


class WifiScan:
    """One scan at a time, for all carriers; its results stay until the next one starts.

    A blocking scan is over before its answer: firmware's would keep the carrier waiting for as long as it takes.
    """

    def __init__(self, radio: Radio, clock: Clock, say: Callable[[str, str], None]) -> None:
        self._radio = radio
        self._clock = clock
        self._say = say
        self._ends: float | None = None  # None: no scan runs
        self._results: list[Heard] = []

    def answer(self, _: Session, body: bytes) -> bytes:
        """Run one request and return the serialized reply."""
        try:
            request = proto.NetworkScanPayload.FromString(body)
        except DecodeError:
            request = proto.NetworkScanPayload()
        return self._run(request).SerializeToString()

    def _run(self, request: proto.NetworkScanPayload) -> proto.NetworkScanPayload:
        # Both the type and the oneof case, as everywhere: releases of ESP-IDF differ in which they look at.
        match request.msg, request.WhichOneof("payload"):
            case proto.TypeCmdScanWifiStart, "cmd_scan_wifi_start":
                return self._start(request.cmd_scan_wifi_start)
            case proto.TypeCmdScanWifiStatus, "cmd_scan_wifi_status":
                return self._status()
            case proto.TypeCmdScanWifiResult, "cmd_scan_wifi_result":
                return self._result(request.cmd_scan_wifi_result)
            case _:
                return proto.NetworkScanPayload(msg=proto.TypeRespScanWifiStart, status=proto.InvalidProto)

    def _start(self, command: proto.CmdScanWifiStart) -> proto.NetworkScanPayload:
        self._ends = self._clock.monotonic() + (0 if command.blocking else _DURATION_S)
        self._results = []
        self._say("wifi", "scanning")
        return proto.NetworkScanPayload(msg=proto.TypeRespScanWifiStart, resp_scan_wifi_start=proto.RespScanWifiStart())

    def _status(self) -> proto.NetworkScanPayload:
        self._collect()
        status = proto.RespScanWifiStatus(scan_finished=self._ends is None, result_count=len(self._results))
        return proto.NetworkScanPayload(msg=proto.TypeRespScanWifiStatus, resp_scan_wifi_status=status)

    def _result(self, command: proto.CmdScanWifiResult) -> proto.NetworkScanPayload:
        self._collect()
        wanted = self._results[command.start_index : command.start_index + command.count]
        result = proto.RespScanWifiResult(entries=map(_entry, wanted))
        return proto.NetworkScanPayload(msg=proto.TypeRespScanWifiResult, resp_scan_wifi_result=result)

    def _collect(self) -> None:
        """Take what is heard, once the scan's time is over."""
        if self._ends is not None and self._clock.monotonic() >= self._ends:
            self._ends = None
            self._results = self._radio.scan()[:_MOST_RESULTS]


def _entry(heard: Heard) -> proto.WiFiScanResult:
    network = heard.network
    return proto.WiFiScanResult(
        ssid=b"" if network.hidden else network.ssid.encode(),
        channel=network.channel,
        rssi=heard.rssi_dbm,
        bssid=network.bssid,
        auth=proto.Open if network.is_open else proto.WPA2_PSK,
    )
