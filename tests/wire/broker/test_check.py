"""The check of a connection against brokers that are fine, and against brokers that fail in every way there is."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.wire.broker.authority import DAY, HARDWARE_ID, Authority
from tests.wire.broker.leaks import nothing_left_behind
from tests.wire.broker.servers import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    NtpServer,
    ScriptedBroker,
    blocking_tls_server,
    closed_port,
    deaf_port,
    http_time_source,
    ntp_time_source,
    server_context,
    serving,
)
from ucm_provision.broker import ConnectionCheck, Timing, session
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    Connection,
    PasswordCredentials,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
)
from ucm_provision.core.secret import Secret

# Where an answer comes: deadlines that a busy machine does not miss. Where none comes, they are waited for.
PATIENT = Timing(connect=10, alert=0.05, suback=10, time_source=10, ntp_resend=0.05)
SHORT = Timing(connect=0.5, alert=0.05, suback=0.3, time_source=0.3, ntp_resend=0.05)
# A refusal ends the wait for it; only a broker that is content makes it last.
ALERT = replace(PATIENT, alert=10)
PASSWORD = PasswordCredentials(f"{HARDWARE_ID}.1", Secret("correct-horse"))
LOOPBACK_TIME = TimeSource(TimeProtocol.HTTP, "127.0.0.1", 80)
TLS_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def connection(
    port: int,
    credentials: PasswordCredentials | TlsCredentials = PASSWORD,
    *,
    host: str = "127.0.0.1",
    time_source: TimeSource = LOOPBACK_TIME,
) -> Connection:
    return Connection(HARDWARE_ID, "ucm", host, port, credentials, time_source)


async def failure_of(tried: Connection, timing: Timing = ALERT) -> UcmError:
    """The failure of a check that leaves nothing behind."""
    async with nothing_left_behind():
        with pytest.raises(UcmError) as caught:
            await ConnectionCheck(timing=timing).check(tried)
        error = caught.value
        caught._excinfo = None  # its traceback holds sockets that a leak would hide behind
    assert "correct-horse" not in f"{error} {error!r}"
    assert "PRIVATE" not in f"{error} {error!r}"
    return error


# ---- fine ----------------------------------------------------------------------------------------


async def test_connects_under_its_own_name_subscribes_and_never_publishes() -> None:
    async with serving(ScriptedBroker()) as broker, nothing_left_behind():
        warnings = await ConnectionCheck(timing=PATIENT).check(connection(broker.port))
        await broker.until(DISCONNECT)
    assert broker.types() == [CONNECT, SUBSCRIBE, DISCONNECT]
    assert PUBLISH not in broker.types()
    connect, subscribe = broker.packets[0][1], broker.packets[1][1]
    assert connect[:7] == b"\0\4MQTT\4"
    identifier = connect[12 : 12 + connect[11]].decode()
    assert re.fullmatch(r"ucmcheck[0-9a-f]{12}", identifier)
    assert len(identifier) <= 23
    assert subscribe[4:-1].decode() == f"v1/to/{HARDWARE_ID}/ucm/v1/command/requests"
    assert len(warnings) == 1
    assert "override.time_sync" in warnings[0]


@TLS_VERSIONS
@pytest.mark.parametrize("bits", [None, 2048])
async def test_tls_with_the_modules_certificate(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion, bits: int | None
) -> None:
    # The name on the certificate is not the address: that is how the platform's devices see it too.
    context = server_context(tmp_path, authority.issue("mqtt.local"), authority, version)
    async with serving(ScriptedBroker(), context) as broker, nothing_left_behind():
        credentials = authority.credentials(authority.issue(bits=bits))
        warnings = await ConnectionCheck(timing=PATIENT).check(connection(broker.port, credentials))
    assert broker.types()[:2] == [CONNECT, SUBSCRIBE]
    assert len(warnings) == 1


async def test_the_server_name_is_the_configured_one(authority: Authority, tmp_path: Path) -> None:
    context = server_context(tmp_path, authority.issue("broker"))
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(ScriptedBroker(), context) as broker:
        credentials = authority.credentials(authority.issue())
        await ConnectionCheck(timing=PATIENT).check(connection(broker.port, credentials, host="localhost"))
    assert names == ["localhost", "localhost"]


async def test_a_chain_may_end_below_the_root(tmp_path: Path) -> None:
    root = Authority("Root")
    below = Authority("Below", parent=root)
    context = server_context(tmp_path, below.issue("broker"), below)
    async with serving(ScriptedBroker(), context) as broker:
        await ConnectionCheck(timing=PATIENT).check(connection(broker.port, below.credentials(below.issue())))
    assert SUBSCRIBE in broker.types()


async def test_private_key_is_on_no_disk(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    genuine = ssl.SSLContext.load_cert_chain

    def spy(context: ssl.SSLContext, certfile: str, *rest: str) -> None:
        loaded.append(certfile)
        genuine(context, certfile, *rest)

    context = server_context(tmp_path, authority.issue("broker"))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    async with serving(ScriptedBroker(), context) as broker:
        await ConnectionCheck(timing=PATIENT).check(connection(broker.port, authority.credentials(authority.issue())))
    assert len(loaded) == 1
    assert loaded[0].startswith("/proc/self/fd/")


async def test_another_common_name_is_a_warning(authority: Authority, tmp_path: Path) -> None:
    context = server_context(tmp_path, authority.issue("broker"), authority)
    async with serving(ScriptedBroker(), context) as broker:
        credentials = authority.credentials(authority.issue("somebody\x1b else"))
        warnings = await ConnectionCheck(timing=PATIENT).check(connection(broker.port, credentials))
    assert warnings[0] == "The certificate's common name is not the module's hardware id but: somebody else."


# ---- DNS and TCP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_is_none(host: str) -> None:
    assert (await failure_of(connection(1, host=host))).code is Code.BROKER_DNS_FAILED


async def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    error = await failure_of(connection(1, host="mqtt.local"))
    assert (error.code, error.detail) == (Code.BROKER_DNS_FAILED, "mqtt.local: Name or service not known")


async def test_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silent)
    assert (await failure_of(connection(1, host="mqtt.local"), SHORT)).code is Code.BROKER_DNS_FAILED


async def test_a_port_that_refuses() -> None:
    with closed_port() as port:
        error = await failure_of(connection(port))
    assert (error.code, error.detail) == (Code.BROKER_REFUSED, f"127.0.0.1 port {port}")


async def test_a_port_that_is_silent() -> None:
    with deaf_port() as port:
        error = await failure_of(connection(port), SHORT)
    assert error.code is Code.BROKER_TIMEOUT


async def test_the_second_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(ScriptedBroker()) as broker:

        async def two(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            places = [("127.0.0.2", port), ("127.0.0.1", port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
        await ConnectionCheck(timing=PATIENT).check(connection(broker.port, host="broker.local"))
    assert SUBSCRIBE in broker.types()


# ---- TLS -----------------------------------------------------------------------------------------


@TLS_VERSIONS
async def test_a_broker_of_another_ca(authority: Authority, tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = server_context(tmp_path, Authority("Test CA").issue("broker"), version=version)
    with blocking_tls_server(context) as port:
        error = await failure_of(connection(port, authority.credentials(authority.issue())))
    assert error.code is Code.BROKER_TLS_UNTRUSTED


@pytest.mark.parametrize(("begins", "ends"), [(-2 * DAY, -DAY), (DAY, 2 * DAY)])
async def test_a_broker_outside_its_validity(
    authority: Authority, tmp_path: Path, begins: timedelta, ends: timedelta
) -> None:
    context = server_context(tmp_path, authority.issue("broker", begins=begins, ends=ends))
    with blocking_tls_server(context) as port:
        error = await failure_of(connection(port, authority.credentials(authority.issue())))
    assert error.code is Code.BROKER_TLS_EXPIRED


@TLS_VERSIONS
async def test_a_broker_that_refuses_the_certificate(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(tmp_path, authority.issue("broker"), Authority("Another CA"), version)
    with blocking_tls_server(context) as port:
        error = await failure_of(connection(port, authority.credentials(authority.issue())))
    assert error.code is Code.BROKER_TLS_REJECTED
    assert "unknown ca" in error.detail


async def test_a_broker_that_refuses_the_certificate_without_a_word(authority: Authority, tmp_path: Path) -> None:
    context = server_context(
        tmp_path, authority.issue("broker"), Authority("Another CA"), version=ssl.TLSVersion.TLSv1_3
    )
    async with serving(ScriptedBroker(), context) as broker:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        error = await failure_of(connection(broker.port, authority.credentials(authority.issue())))
    assert error.code is Code.BROKER_TLS_REJECTED


async def test_a_module_whose_certificate_has_expired(authority: Authority, tmp_path: Path) -> None:
    with blocking_tls_server(server_context(tmp_path, authority.issue("broker"), authority)) as port:
        expired = authority.issue(begins=-2 * DAY, ends=-DAY)
        error = await failure_of(connection(port, authority.credentials(expired)))
    assert error.code is Code.BROKER_TLS_REJECTED
    assert "expired" in error.detail


async def test_a_port_without_tls(authority: Authority) -> None:
    async with http_time_source(None) as port, _shouting() as loud:
        credentials = authority.credentials(authority.issue())
        assert (await failure_of(connection(loud, credentials))).code is Code.BROKER_TLS_UNTRUSTED
        # Silent to a ClientHello, as an HTTP server that waits for the end of the line is.
        assert (await failure_of(connection(port, credentials), SHORT)).code is Code.BROKER_TIMEOUT


@asynccontextmanager
async def _shouting() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is not TLS\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_plain_mqtt_port_that_hangs_up_on_tls(authority: Authority) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(connection(port, authority.credentials(authority.issue())))
    assert error.code is Code.BROKER_REFUSED
    assert "TLS handshake" in error.detail


async def test_credentials_that_the_tls_library_refuses(authority: Authority) -> None:
    other = authority.credentials(authority.issue())
    mixed = replace(authority.credentials(authority.issue()), private_key=other.private_key)
    assert (await failure_of(connection(1, mixed))).code is Code.BROKER_TLS_REJECTED
    no_chain = replace(other, ca_chain=(b"nonsense",))
    assert (await failure_of(connection(1, no_chain))).code is Code.BROKER_TLS_UNTRUSTED


# ---- MQTT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker", "code", "detail"),
    [
        (ScriptedBroker(connack=1), Code.MQTT_UNAVAILABLE, "instead of answering CONNECT"),
        (ScriptedBroker(connack=2), Code.MQTT_NOT_AUTHORIZED, "CONNACK"),
        (ScriptedBroker(connack=3), Code.MQTT_UNAVAILABLE, "CONNACK"),
        (ScriptedBroker(connack=4), Code.MQTT_NOT_AUTHORIZED, "CONNACK"),
        (ScriptedBroker(connack=5), Code.MQTT_NOT_AUTHORIZED, "CONNACK"),
        (ScriptedBroker(connack=77), Code.MQTT_UNAVAILABLE, "CONNACK"),
        (ScriptedBroker(connack=None), Code.BROKER_TIMEOUT, "CONNECT"),
        (ScriptedBroker(hang_up_on=CONNECT), Code.MQTT_UNAVAILABLE, "instead of answering CONNECT"),
        (ScriptedBroker(suback=0x80), Code.MQTT_NOT_AUTHORIZED, "SUBACK"),
        (ScriptedBroker(suback=None), Code.BROKER_TIMEOUT, "SUBSCRIBE"),
        (ScriptedBroker(hang_up_on=SUBSCRIBE), Code.MQTT_NOT_AUTHORIZED, "instead of answering SUBSCRIBE"),
    ],
    ids=[
        "connack-version",
        "connack-identifier",
        "connack-unavailable",
        "connack-password",
        "connack-authorized",
        "connack-nonsense",
        "connack-silent",
        "connack-hangs-up",
        "suback-refused",
        "suback-silent",
        "suback-hangs-up",
    ],
)
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
async def test_what_a_broker_may_answer(
    authority: Authority, tmp_path: Path, *, broker: ScriptedBroker, code: Code, detail: str, secured: bool
) -> None:
    broker = replace(broker, packets=[], received=asyncio.Event())
    context = server_context(tmp_path, authority.issue("broker"), authority) if secured else None
    async with serving(broker, context):
        credentials = authority.credentials(authority.issue()) if secured else PASSWORD
        error = await failure_of(
            connection(broker.port, credentials), SHORT if code is Code.BROKER_TIMEOUT else PATIENT
        )
    assert error.code is code
    assert detail in error.detail


async def test_a_broker_that_fails_between_the_probe_and_the_session(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same causes when it is not the probe that meets them but the MQTT library."""

    async def unprobed(host: str, *_: object) -> str:
        return host

    monkeypatch.setattr(session, "reach", unprobed)
    credentials = authority.credentials(authority.issue())
    with closed_port() as port:
        assert (await failure_of(connection(port))).code is Code.BROKER_REFUSED
    with deaf_port() as port:
        assert (await failure_of(connection(port), SHORT)).code is Code.BROKER_TIMEOUT
    with blocking_tls_server(server_context(tmp_path, Authority().issue("broker"))) as port:
        assert (await failure_of(connection(port, credentials))).code is Code.BROKER_TLS_UNTRUSTED
    context = server_context(tmp_path, authority.issue("broker"), Authority(), ssl.TLSVersion.TLSv1_2)
    with blocking_tls_server(context) as port:
        assert (await failure_of(connection(port, credentials))).code is Code.BROKER_TLS_REJECTED


# ---- cancellation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "sign"),
    [(ScriptedBroker(connack=None), CONNECT), (ScriptedBroker(suback=None), SUBSCRIBE)],
    ids=["CONNECT", "SUBSCRIBE"],
)
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
async def test_cancelled_while_the_broker_is_silent(
    authority: Authority, tmp_path: Path, silent: ScriptedBroker, sign: int, secured: bool
) -> None:
    broker = replace(silent, packets=[], received=asyncio.Event())
    context = server_context(tmp_path, authority.issue("broker"), authority) if secured else None
    credentials = authority.credentials(authority.issue()) if secured else PASSWORD
    async with serving(broker, context), nothing_left_behind():
        patient = Timing(connect=60, alert=0, suback=60)
        check = asyncio.create_task(ConnectionCheck(timing=patient).check(connection(broker.port, credentials)))
        await broker.until(sign)
        await cancelled_at_once(check)


async def test_cancelled_during_the_handshake(authority: Authority) -> None:
    patient = Timing(connect=60)
    heard = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        heard.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, nothing_left_behind():
        port = server.sockets[0].getsockname()[1]
        tried = connection(port, authority.credentials(authority.issue()))
        check = asyncio.create_task(ConnectionCheck(timing=patient).check(tried))
        await heard.wait()
        await cancelled_at_once(check)


async def test_cancelled_while_tcp_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, connecting = asyncio.get_running_loop(), asyncio.Event()
    genuine = loop.sock_connect

    async def announced(sock: socket.socket, address: object) -> None:
        connecting.set()
        await genuine(sock, address)

    monkeypatch.setattr(loop, "sock_connect", announced)
    with deaf_port() as port:
        async with nothing_left_behind():
            check = asyncio.create_task(ConnectionCheck(timing=Timing(connect=60)).check(connection(port)))
            await connecting.wait()
            await cancelled_at_once(check)


async def test_cancelled_at_every_step_of_the_loop() -> None:
    """Wherever a cancellation falls, it passes, and nothing stays."""
    async with serving(ScriptedBroker()) as broker:
        for steps in range(0, 120, 3):
            async with nothing_left_behind():
                check = asyncio.create_task(ConnectionCheck(timing=PATIENT).check(connection(broker.port)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                check.cancel()
                await asyncio.wait({check})
                assert check.cancelled() or not check.exception()


async def cancelled_at_once(task: asyncio.Task[list[str]]) -> None:
    task.cancel()
    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await task


# ---- warn mode -----------------------------------------------------------------------------------


async def test_warn_mode_turns_failures_into_warnings() -> None:
    with closed_port() as port:
        source = TimeSource(TimeProtocol.HTTP, "127.0.0.1", port)
        check = ConnectionCheck(mode="warn", time_source_overridden=True, timing=PATIENT)
        warnings = await check.check(connection(port, time_source=source))
    assert [warning.split(":")[0] for warning in warnings] == ["BROKER_REFUSED", "TIME_SOURCE_FAILED"]


# ---- time sources --------------------------------------------------------------------------------

DATE = b"Date: Mon, 23 Nov 2026 08:55:37 GMT\r\n"


async def time_outcome(source: TimeSource, expected: str) -> str:
    """What the check says of the time source: nothing, or the failure's detail."""
    async with serving(ScriptedBroker()) as broker, nothing_left_behind():
        timing = replace(PATIENT, time_source=0.3) if "no answer" in expected else PATIENT
        check = ConnectionCheck(time_source_overridden=True, timing=timing)
        tried = check.check(connection(broker.port, time_source=source))
        (outcome,) = await asyncio.gather(tried, return_exceptions=True)
    if outcome == []:
        return ""
    assert isinstance(outcome, UcmError)
    assert outcome.code is Code.TIME_SOURCE_FAILED
    return outcome.detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n", ""),
        (b"HTTP/1.0 500 Oops\r\n" + DATE + b"\r\n", ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n" + DATE + b"\r\n", ""),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no Date header"),
        (b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "no Date header"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer"),
        (b"", "no HTTP answer"),
        (None, "no answer in 0.3 s"),
    ],
)
async def test_http_time_source(answer: bytes | None, expected: str) -> None:
    async with http_time_source(answer) as port:
        outcome = await time_outcome(TimeSource(TimeProtocol.HTTP, "127.0.0.1", port), expected)
    assert expected in outcome
    assert bool(expected) == bool(outcome)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (NtpServer(), ""),
        (NtpServer(lose=2), ""),
        (NtpServer(forged=True), ""),
        (NtpServer(head=b"\x24\x00"), "does not know the time"),
        (NtpServer(head=b"\xe4\x02"), "does not know the time"),
        (NtpServer(head=b"\x23\x02"), "no answer in 0.3 s"),
        (NtpServer(mute=True), "no answer in 0.3 s"),
    ],
    ids=["good", "lossy", "forged", "kiss", "unset", "question", "mute"],
)
async def test_ntp_time_source(server: NtpServer, expected: str) -> None:
    async with ntp_time_source(server) as port:
        outcome = await time_outcome(TimeSource(TimeProtocol.NTP, "127.0.0.1", port), expected)
    assert expected in outcome
    assert bool(expected) == bool(outcome)


@pytest.mark.parametrize("protocol", list(TimeProtocol))
async def test_time_source_that_is_not_there(protocol: TimeProtocol) -> None:
    with closed_port() as port:
        outcome = await time_outcome(TimeSource(protocol, "127.0.0.1", port), "refused")
    assert outcome.endswith(f"port {port}: Connection refused")


async def test_time_source_without_a_name() -> None:
    expected = "does not resolve"
    assert expected in await time_outcome(TimeSource(TimeProtocol.NTP, "a..b", 123), expected)
