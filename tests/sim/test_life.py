"""The life after Commit: a real connection through every phase, and the reason for each that fails."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from amqtt.broker import Broker

from tests.sim.credentials import Authority
from tests.sim.host import Host, secured
from tests.sim.sample import HARDWARE_ID, POP
from tests.sim.site import ScriptedBroker, broker, http_time, ntp_time
from ucm_sim import Identity, ScaledClock, SerialModule
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.tasks import until_one_fails

FAST = 20.0
PREFIX = f"v1/from/{HARDWARE_ID}/ucm/v1"
HOUR_MS = 3_600_000


@pytest.fixture
async def plugged(identity: Identity, state_file: Path, port: Path) -> AsyncIterator[SerialModule]:
    networks = {"plant-wifi": "correct horse", "other-wifi": "battery"}
    module = SerialModule(
        identity,
        state_file,
        port,
        baud=0,
        boot_s=0,
        networks=networks,
        clock=ScaledClock(FAST),
        announce=print,
    )
    async with module:
        yield module


@pytest.fixture
async def host(plugged: SerialModule, port: Path) -> AsyncIterator[Host]:
    await plugged.until(lambda module: module.answers, timeout=5)
    async with secured(port, POP) as host:
        yield host


async def failed(module: SerialModule) -> tuple[str, str]:
    """Phase and reason of the next failure."""
    await module.until(lambda module: module.reason_name != "NONE", timeout=8)
    return module.phase_name, module.reason_name


async def online(module: SerialModule) -> None:
    await module.until(lambda module: module.phase_name == "ONLINE", timeout=8)


# ---- the good case ----


async def test_a_module_confirms_itself_and_publishes_as_a_ucm(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    async with broker() as site, ntp_time() as source:
        config.mqtt_port = site.port
        config.time_sync.CopyFrom(pb.TimeSync(protocol=pb.TimeSync.NTP, host="127.0.0.1", port=source))
        transaction, generation = await host.push(config)
        await online(plugged)
        assert (plugged.active_generation, plugged.trial_generation) == (generation, 0)
        assert site.logins == [(HARDWARE_ID, "only-here")]
        assert site.subscriptions == [f"v1/to/{HARDWARE_ID}/ucm/v1/command/requests"]
        registered = await site.next_on("/v1/register")
        assert registered.pop("timestamp") == pytest.approx(time.time(), abs=5)
        assert registered == {"config_generation": 1, "model": "ENP-RL6", "firmware": "2.4.1"}
        assert set(await site.next_on("/v1/telemetry")) == {"timestamp"}
        link = await host.link()
    assert (link.phase, link.reason, link.generation) == (pb.ONLINE, pb.NONE, 1)
    assert (link.ssid, link.rssi_dbm, link.ip) == ("plant-wifi", -58, plugged.identity.address)
    assert link.last_trial == pb.LastTrial(transaction=transaction, generation=1, phase=pb.ONLINE, reason=pb.NONE)
    info = await host.info()
    assert (info.active.generation, info.HasField("trial")) == (1, False)
    assert info.clock_unix_ms == pytest.approx(time.time() * 1000, abs=2000)


async def test_it_publishes_again_and_again(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        topics = await topics_until(site, registered=2)
    # Every second, and every thirty.
    assert 20 <= topics.count(f"{PREFIX}/telemetry") <= 31
    assert set(topics) == {f"{PREFIX}/telemetry", f"{PREFIX}/register"}


async def topics_until(site: ScriptedBroker, *, registered: int) -> list[str]:
    topics: list[str] = []
    async with asyncio.timeout(8):
        while topics.count(f"{PREFIX}/register") < registered:
            topics.append((await site.published.get())[0])
    return topics


async def test_a_real_broker_accepts_it(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listener = {"type": "tcp", "bind": "127.0.0.1:0"}
    real = Broker({"listeners": {"default": listener}, "plugins": anonymous})
    await real.start()
    try:
        config.mqtt_port = real._servers["default"].instance.sockets[0].getsockname()[1]
        await host.push(config)
        await online(plugged)
        assert plugged.active_generation == 1
    finally:
        await plugged.unplug()
        await real.shutdown()


async def test_mutual_tls_whatever_the_host_name(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig, tmp_path: Path
) -> None:
    authority = Authority()
    config.tls.CopyFrom(authority.credentials(HARDWARE_ID))
    async with broker(authority.server_context(tmp_path)) as site:
        config.mqtt_port = site.port
        await host.push(config, now_unix_ms=now_ms())
        await online(plugged)
        assert site.logins == [("", "")]
        subject = dict(entry[0] for entry in site.writers[0].get_extra_info("peercert")["subject"])
        assert subject["commonName"] == HARDWARE_ID


async def test_it_connects_again_after_a_reboot(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        await plugged.reboot()
        await online(plugged)
        assert (plugged.boots, plugged.active_generation, len(site.logins)) == (2, 1, 2)


async def test_it_connects_again_when_the_broker_comes_back(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        site.drop()
        assert await failed(plugged) == ("MQTT", "MQTT_UNAVAILABLE")
        await online(plugged)
        assert plugged.active_generation == 1


async def test_without_the_cable_it_stays_online(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        await plugged.unplug(power=True)
        while not site.published.empty():
            site.published.get_nowait()
        await site.next_on("/v1/telemetry")
        assert plugged.phase_name == "ONLINE"
        await plugged.unplug()
        assert not plugged.answers


async def test_a_cancellation_that_meets_a_failure_is_not_lost() -> None:
    lost = asyncio.Event()

    async def reading() -> None:
        await lost.wait()
        raise ConnectionResetError

    living = asyncio.create_task(until_one_fails(reading(), asyncio.sleep(60)))
    await asyncio.sleep(0)
    lost.set()
    living.cancel()
    with pytest.raises(asyncio.CancelledError):
        await living


async def test_commands(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        site.command({"id": "1", "name": "dance"})
        assert (await site.next_on("/command/responses"))["state"] == "log"
        assert await site.next_on("/command/responses") == {
            "id": "1",
            "state": "error",
            "payload": {"message": "Command handler not implemented."},
        }
        site.command({"id": "2", "name": "reboot"})
        assert (await site.next_on("/command/responses"))["state"] == "log"
        assert (await site.next_on("/command/responses"))["state"] == "completed"
        await plugged.until(lambda module: module.boots == 2, timeout=5)
        await online(plugged)


# ---- Wi-Fi ----


@pytest.mark.parametrize(
    ("wifi", "reason"),
    [
        ([("plant-wifi", "wrong")], "WIFI_AUTH_FAILED"),
        ([("far-away", "correct horse")], "WIFI_NOT_FOUND"),
        ([("plant-wifi", "wrong"), ("far-away", "x")], "WIFI_AUTH_FAILED"),
        ([], "WIFI_NOT_FOUND"),
    ],
)
async def test_wifi_that_does_not_work(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig, wifi: list[tuple[str, str]], reason: str
) -> None:
    config.ClearField("wifi")
    config.wifi.extend(pb.Wifi(ssid=ssid, passphrase=passphrase) for ssid, passphrase in wifi)
    await host.push(config)
    assert await failed(plugged) == ("WIFI", reason)
    link = await host.link()
    assert (link.ssid, link.ip, link.rssi_dbm) == ("", "", 0)


async def test_all_networks_are_tried_in_order(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    del config.wifi[:]
    for ssid, passphrase in (("far-away", "x"), ("other-wifi", "battery"), ("plant-wifi", "correct horse")):
        config.wifi.add(ssid=ssid, passphrase=passphrase)
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await online(plugged)
        assert (await host.link()).ssid == "other-wifi"


async def test_only_the_named_network_counts_on_trial(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    config.wifi.add(ssid="far-away", passphrase="x")
    await host.push(config, ssid="far-away")
    assert await failed(plugged) == ("WIFI", "WIFI_NOT_FOUND")


async def test_without_known_networks_any_will_do(
    identity: Identity, state_file: Path, port: Path, config: pb.ModuleConfig
) -> None:
    module = SerialModule(identity, state_file, port, baud=0, boot_s=0, clock=ScaledClock(FAST))
    async with broker() as site, module, secured(port, POP) as host:
        config.mqtt_port = site.port
        await host.push(config)
        await online(module)


# ---- time ----


async def test_the_clock_is_unset_until_somebody_tells(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    assert (await host.info()).clock_unix_ms == 0
    await host.push(config, now_unix_ms=now_ms() - HOUR_MS)
    assert (await host.info()).clock_unix_ms == pytest.approx(now_ms() - HOUR_MS, abs=2000)


async def test_a_clock_that_is_set_is_not_set_again_by_the_host(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    transaction, _ = await host.push(config, now_unix_ms=now_ms() - HOUR_MS)
    await host.config(abort=pb.Abort(transaction=transaction))
    await host.push(config, now_unix_ms=now_ms() + HOUR_MS)
    assert (await host.info()).clock_unix_ms == pytest.approx(now_ms() - HOUR_MS, abs=2000)


@pytest.mark.parametrize("protocol", [pb.TimeSync.NTP, pb.TimeSync.HTTP])
async def test_time_sync_sets_the_clock_and_tells_the_offset(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig, protocol: int
) -> None:
    source = ntp_time() if protocol == pb.TimeSync.NTP else http_time()
    async with broker() as site, source as source_port:
        config.mqtt_port = site.port
        config.time_sync.CopyFrom(time_source(protocol, source_port))
        await host.push(config, now_unix_ms=now_ms() - HOUR_MS)
        await online(plugged)
        assert (await host.link()).clock_offset_ms == pytest.approx(-HOUR_MS, abs=1500)
        assert (await host.info()).clock_unix_ms == pytest.approx(now_ms(), abs=1500)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("HTTP/1.1 200 OK\r\nServer: none\r\n\r\n", "TIME_TIMEOUT"),
        ("HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "TIME_TIMEOUT"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\ndate: Mon, 23 Nov 2026 09:00:00 GMT\r\n\r\n", ""),
        ("x", "TIME_TIMEOUT"),
    ],
)
async def test_answers_of_http_time_sources(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig, answer: str, expected: str
) -> None:
    asked = []

    def reply(request: str) -> str:
        asked.append(request)
        return answer

    async with http_time(reply) as source:
        config.time_sync.CopyFrom(time_source(pb.TimeSync.HTTP, source))
        await host.push(config)
        phase, reason = await failed(plugged)
    # The broker's port is closed: a time that was accepted lets the module get as far as that.
    assert (phase, reason) == (("TIME", expected) if expected else ("TLS", "TCP_REFUSED"))
    assert asked[0] == "HEAD / HTTP/1.1"


async def test_time_sources_that_are_not_there(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with http_time() as closed_port:
        pass
    config.time_sync.CopyFrom(time_source(pb.TimeSync.HTTP, closed_port))
    await host.push(config)
    assert await failed(plugged) == ("TIME", "TCP_REFUSED")
    assert plugged.trial_generation == 1


async def test_an_ntp_server_without_time_of_its_own(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    async with ntp_time(stratum=16) as source:
        config.time_sync.CopyFrom(time_source(pb.TimeSync.NTP, source))
        await host.push(config)
        assert await failed(plugged) == ("TIME", "TIME_TIMEOUT")


async def test_a_broker_whose_name_does_not_resolve(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    config.mqtt_host = "no such host"
    await host.push(config)
    assert await failed(plugged) == ("TLS", "DNS_FAILED")


async def test_a_time_source_whose_name_does_not_resolve(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    config.time_sync.CopyFrom(pb.TimeSync(protocol=pb.TimeSync.NTP, host="no such host", port=123))
    await host.push(config)
    assert await failed(plugged) == ("TIME", "DNS_FAILED")


# ---- TLS and MQTT ----


async def test_a_broker_that_is_not_there(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    await host.push(config)
    assert await failed(plugged) == ("TLS", "TCP_REFUSED")
    assert "127.0.0.1:1" in (await host.link()).detail


@pytest.mark.parametrize(
    ("trusted", "clients", "days", "clock_ahead_days", "expected"),
    [
        ("foreign", "own", 30, 0, ("TLS", "TLS_UNTRUSTED")),
        ("own", "own", -1, 0, ("TLS", "TLS_EXPIRED")),
        ("own", "own", 30, 60, ("TLS", "TLS_EXPIRED")),
        ("own", "foreign", 30, 0, ("TLS", "TLS_REJECTED")),
    ],
)
async def test_why_tls_fails(
    *,
    plugged: SerialModule,
    host: Host,
    config: pb.ModuleConfig,
    tmp_path: Path,
    trusted: str,
    clients: str,
    days: int,
    clock_ahead_days: int,
    expected: tuple[str, str],
) -> None:
    authorities = {"own": Authority(), "foreign": Authority()}
    own = authorities["own"]
    config.tls.CopyFrom(own.credentials(HARDWARE_ID, trust=authorities[trusted]))
    context = own.server_context(tmp_path, days=days, clients=authorities[clients])
    async with broker(context) as site:
        config.mqtt_port = site.port
        await host.push(config, now_unix_ms=now_ms() + clock_ahead_days * 24 * HOUR_MS)
        assert await failed(plugged) == expected
        assert plugged.trial_generation == 1
        assert site.logins == []


async def test_a_broker_that_does_not_speak_tls(plugged: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    def answer_in_clear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    config.tls.CopyFrom(Authority().credentials(HARDWARE_ID))
    async with await asyncio.start_server(answer_in_clear, "127.0.0.1", 0) as server:
        config.mqtt_port = server.sockets[0].getsockname()[1]
        await host.push(config, now_unix_ms=now_ms())
        assert await failed(plugged) == ("TLS", "TLS_REJECTED")


async def test_credentials_that_cannot_be_loaded_end_the_trial_at_once(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    config.tls.CopyFrom(Authority().credentials(HARDWARE_ID))
    config.tls.ca_chain[0] = b"not a certificate"
    await host.push(config)
    await plugged.until(lambda module: not module.trial_generation, timeout=5)
    last = (await host.link()).last_trial
    assert (last.phase, last.reason) == (pb.IDLE, pb.CONFIG_INVALID)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"connack": 4}, "MQTT_NOT_AUTHORIZED"),
        ({"connack": 5}, "MQTT_NOT_AUTHORIZED"),
        ({"connack": 3}, "MQTT_UNAVAILABLE"),
        ({"suback": 0x80}, "MQTT_NOT_AUTHORIZED"),
    ],
)
@pytest.mark.parametrize("secure", [False, True])
async def test_what_a_broker_refuses(
    *,
    plugged: SerialModule,
    host: Host,
    config: pb.ModuleConfig,
    tmp_path: Path,
    answers: dict[str, int],
    reason: str,
    secure: bool,
) -> None:
    authority = Authority()
    if secure:
        config.tls.CopyFrom(authority.credentials(HARDWARE_ID))
    async with broker(authority.server_context(tmp_path) if secure else None, **answers) as site:
        config.mqtt_port = site.port
        await host.push(config, now_unix_ms=now_ms())
        assert await failed(plugged) == ("MQTT", reason)
        assert plugged.trial_generation == 1


async def test_the_reason_stays_until_there_is_progress(
    plugged: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    async with broker(suback=0x80) as site:
        config.mqtt_port = site.port
        await host.push(config)
        assert await failed(plugged) == ("MQTT", "MQTT_NOT_AUTHORIZED")
        seen = set()
        for _ in range(3):
            attempts = len(site.logins)
            while len(site.logins) == attempts:
                link = await host.link()
                seen.add((link.phase, link.reason))
        assert seen == {(pb.MQTT, pb.MQTT_NOT_AUTHORIZED)}
        site.suback = 0
        await online(plugged)
        assert plugged.reason_name == "NONE"


def now_ms() -> int:
    return round(time.time() * 1000)


def time_source(protocol: int, port: int) -> pb.TimeSync:
    return pb.TimeSync(protocol=pb.TimeSync.Protocol.ValueType(protocol), host="127.0.0.1", port=port)
