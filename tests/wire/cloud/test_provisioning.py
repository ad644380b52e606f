"""The API's client against servers that answer rightly, wrongly, slowly and not at all."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.wire.broker.authority import HARDWARE_ID, Authority
from tests.wire.broker.leaks import nothing_left_behind
from tests.wire.broker.servers import closed_port, deaf_port, server_context
from tests.wire.cloud.answers import ARGUMENTS, DEVICE_ID, device_answer, password_answer, tls_answer
from ucm_provision.cloud import HttpProvisioningApi, Timing
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import WITH_CONFIG, WITH_HARDWARE_ID, DeviceType, Kind
from ucm_provision.core.model import (
    GatewaySite,
    MqttProtocol,
    Overrides,
    ProvisionArguments,
    TimeProtocol,
    TimeSource,
)
from ucm_provision.core.secret import Secret

TOKEN = "70c6c1d6f6f04b6f8c9d2b4d8f3b5a7e"
QUICK = Timing(connect=0.3, call=0.5)
BY_PASSWORD = replace(ARGUMENTS, protocol=MqttProtocol.MQTT)


@dataclass
class ScriptedApi:
    """Answers every request with the same, and keeps what was asked."""

    status: int = 200
    body: bytes | str | dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        content = self.body if isinstance(self.body, bytes | str) else json.dumps(self.body)
        data = content.encode() if isinstance(content, str) else content
        return web.Response(status=self.status, body=data, headers={"Content-Type": "application/json"} | self.headers)


@asynccontextmanager
async def serving(api: ScriptedApi, context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedApi]:
    runner = web.ServerRunner(web.Server(api.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    api.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


async def token() -> Secret[str]:
    return Secret(TOKEN)


def client(url: str, **options: Any) -> HttpProvisioningApi:
    return HttpProvisioningApi(url, token, **options)


async def failure_at(url: str, **options: Any) -> UcmError:
    """How a provisioning call fails, with nothing left behind and no token told."""
    async with nothing_left_behind():
        async with client(url, **options) as api:
            with pytest.raises(UcmError) as caught:
                await api.provision(BY_PASSWORD)
        error = caught.value
        caught._excinfo = None  # its traceback holds sockets that a leak would hide behind
    assert TOKEN not in f"{error} {error!r}"
    assert error.__cause__ is None
    return error


# ---- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "root"), [("", "/v3"), ("/", "/v3"), ("/api", "/api/v3"), ("/v3/", "/v3")])
async def test_provisions_a_ucm(authority: Authority, path: str, root: str) -> None:
    async with (
        serving(ScriptedApi(body=tls_answer(authority, authority.issue()))) as server,
        client(server.url + path, user="fitter") as api,
    ):
        provisioned = await api.provision(ARGUMENTS)
    (request,) = server.requests
    assert (request.method, request.path_qs) == ("POST", f"{root}/provisioning/ucm")
    assert request.headers["X-Enapter-Auth-Token"] == TOKEN
    assert request.headers["X-Enapter-Auth-User"] == "fitter"
    assert request.headers["Content-Type"] == "application/json"
    assert "X-Enapter-Allow-HTTP" not in request.headers
    assert json.loads(server.bodies[0]) == {
        "site_id": "site-1",
        "hardware_id": HARDWARE_ID,
        "name": "My UCM",
        "protocol": "MQTTS",
    }
    assert provisioned.device_id == DEVICE_ID
    assert provisioned.connection.mqtt_host == "mqtt.local"


async def test_says_that_plain_http_is_wanted() -> None:
    async with (
        serving(ScriptedApi(body={"site": {"id": "site-1"}})) as server,
        client(server.url, allow_http=True) as api,
    ):
        assert await api.site_id() == "site-1"
    assert server.requests[0].headers["X-Enapter-Allow-HTTP"] == "true"
    assert server.requests[0].path_qs == "/v3/site"


async def test_overrides_are_applied() -> None:
    source = TimeSource(TimeProtocol.NTP, "192.0.2.1", 123)
    overrides = Overrides(mqtt_host="192.0.2.2", mqtt_port=2883, time_source=source)
    async with serving(ScriptedApi(body=password_answer())) as server, client(server.url, overrides=overrides) as api:
        connection = (await api.provision(BY_PASSWORD)).connection
    assert (connection.mqtt_host, connection.mqtt_port, connection.time_source) == ("192.0.2.2", 2883, source)


async def test_looks_up_a_device() -> None:
    async with serving(ScriptedApi(body=device_answer())) as server, client(server.url) as api:
        device = await api.device("a/b ?")
        assert device is not None
        assert device.online
        server.status = 404
        assert await api.device(DEVICE_ID) is None
    assert server.requests[0].path_qs == "/v3/devices/a%2Fb%20%3F?expand=connectivity,communication,properties"


async def test_the_token_is_asked_for_every_time() -> None:
    tokens = iter(["first", "second"])

    async def next_token() -> Secret[str]:
        return Secret(next(tokens))

    async with (
        serving(ScriptedApi(body={"site": {"id": "site-1"}})) as server,
        HttpProvisioningApi(server.url, next_token) as api,
    ):
        await api.site_id()
        await api.site_id()
    assert [request.headers["X-Enapter-Auth-Token"] for request in server.requests] == ["first", "second"]


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "t\u00f6ken", "bell\a"])
async def test_a_token_that_is_none_is_not_sent(text: str) -> None:
    async def no_token() -> Secret[str]:
        return Secret(text)

    async with serving(ScriptedApi()) as server, HttpProvisioningApi(server.url, no_token) as api:
        with pytest.raises(UcmError) as caught:
            await api.site_id()
    assert caught.value.code is Code.API_UNAUTHORIZED
    assert server.requests == []


PLACE = GatewaySite("3.0.0", "Plant", "Europe/Berlin", 52.520008, 13.404954)
EVERY_ARGUMENT = ProvisionArguments(
    Kind.UCM,
    HARDWARE_ID,
    "site-1",
    "My device",
    MqttProtocol.MQTT,
    device_type=DeviceType.DRYER,
    master_device_id="master-1",
    runtime_id="runtime-1",
    blueprint_id="blueprint-1",
    slug="my-device",
)
SITE = {"site_id": "site-1"}
NAMED = SITE | {"name": "My device"}
MODULE = NAMED | {"hardware_id": HARDWARE_ID}
# What the platform's reference shows for each call, the keys no more and no less.
BODIES = {
    Kind.UCM: MODULE | {"protocol": "MQTT"},
    Kind.VUCM: MODULE,
    Kind.EMBEDDED: MODULE | {"protocol": "MQTT", "device_type": "DRYER"},
    Kind.LINK_MASTER: MODULE,
    Kind.LINK_SLAVE: MODULE | {"master_device_id": "master-1"},
    Kind.STANDALONE: NAMED | {"slug": "my-device"},
    Kind.LUA_DEVICE: {
        "runtime_id": "runtime-1",
        "blueprint_id": "blueprint-1",
        "name": "My device",
        "slug": "my-device",
    },
    Kind.GATEWAY: SITE
    | {
        "hardware_id": HARDWARE_ID,
        "gateway_version": "3.0.0",
        "site_name": "Plant",
        "site_timezone": "Europe/Berlin",
        "site_location": {"latitude": 52.520008, "longitude": 13.404954},
    },
}


def added_answer(kind: Kind) -> dict[str, Any]:
    if kind is Kind.GATEWAY:
        return {"gateway_device_id": DEVICE_ID, "config": password_answer()["config"] | {"channel_id": "gw"}}
    if kind in WITH_CONFIG:
        return password_answer()
    return {"device_id": DEVICE_ID} | ({} if kind in WITH_HARDWARE_ID else {"slug": "my-device"})


@pytest.mark.parametrize("kind", Kind)
async def test_every_call_asks_what_the_reference_says(kind: Kind) -> None:
    arguments = replace(EVERY_ARGUMENT, kind=kind, gateway=PLACE if kind is Kind.GATEWAY else None)
    async with serving(ScriptedApi(body=added_answer(kind))) as server, client(server.url) as api:
        provisioned = await api.provision(arguments)
    (request,) = server.requests
    assert (request.method, request.path_qs) == ("POST", f"/v3/provisioning/{kind}")
    assert json.loads(server.bodies[0]) == BODIES[kind]
    assert provisioned.device_id == DEVICE_ID
    assert (provisioned.connection is not None) == (kind in WITH_CONFIG)
    assert provisioned.slug == added_answer(kind).get("slug", "")


async def test_the_configuration_is_kept_as_it_came_and_out_of_sight() -> None:
    answer = password_answer()
    answer["config"]["new_key"] = 1
    overrides = Overrides(mqtt_host="192.0.2.2")
    async with serving(ScriptedApi(body=answer)) as server, client(server.url, overrides=overrides) as api:
        provisioned = await api.provision(BY_PASSWORD)
    assert json.loads(provisioned.config.reveal()) == answer["config"]
    assert "correct-horse" not in repr(provisioned)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("damage", [{"device_id": None, "gateway_device_id": None}, {"device_id": "../x"}], ids=str)
async def test_an_answer_without_a_device(kind: Kind, damage: dict[str, Any]) -> None:
    arguments = replace(EVERY_ARGUMENT, kind=kind, gateway=PLACE if kind is Kind.GATEWAY else None)
    async with serving(ScriptedApi(body=added_answer(kind) | damage)) as server, client(server.url) as api:
        with pytest.raises(UcmError) as caught:
            await api.provision(arguments)
    assert caught.value.code is Code.API_ANSWER_INVALID


# ---- names ---------------------------------------------------------------------------------------


async def test_renames_a_device() -> None:
    async with serving(ScriptedApi(body=device_answer(slug="boiler-1"))) as server, client(server.url) as api:
        device = await api.rename(DEVICE_ID, slug="boiler-1")
    (request,) = server.requests
    assert (request.method, request.path_qs) == ("PATCH", f"/v3/devices/{DEVICE_ID}")
    assert json.loads(server.bodies[0]) == {"name": None, "slug": "boiler-1"}  # null leaves a name as it is
    assert device.slug == "boiler-1"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.API_REJECTED),
        (403, Code.API_REJECTED),
        (404, Code.API_NOT_FOUND),
        (409, Code.API_CONFLICT),
        (500, Code.API_FAILED),
    ],
)
async def test_a_right_that_the_token_lacks_pauses_nobody(status: int, code: Code) -> None:
    async with serving(ScriptedApi(status=status, body=ENVELOPE)) as server, client(server.url) as api:
        with pytest.raises(UcmError, match="Access") as caught:
            await api.rename(DEVICE_ID, slug="boiler-1")
    assert caught.value.code is code


# ---- refusals ------------------------------------------------------------------------------------

ENVELOPE = {"errors": [{"code": "forbidden", "message": "Access\x1b[31m denied.", "details": {"a": 1}}, {}]}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.API_REJECTED),
        (401, Code.API_UNAUTHORIZED),
        (402, Code.API_REJECTED),
        (403, Code.API_UNAUTHORIZED),
        (404, Code.API_NOT_FOUND),
        (405, Code.API_NOT_FOUND),
        (409, Code.API_CONFLICT),
        (413, Code.API_REJECTED),
        (422, Code.API_REJECTED),
        (429, Code.API_RATE_LIMITED),
        (499, Code.API_REJECTED),
        (500, Code.API_FAILED),
        (502, Code.API_FAILED),
        (503, Code.API_FAILED),
        (599, Code.API_FAILED),
    ],
)
async def test_statuses(status: int, code: Code) -> None:
    async with serving(ScriptedApi(status, ENVELOPE)) as server:
        error = await failure_at(server.url)
    assert (error.code, error.detail) == (code, f"HTTP {status} forbidden: Access [31m denied.")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "HTTP 500"),
        ("<html>nginx</html>", "HTTP 500"),
        (b"\xff\xfe", "HTTP 500"),
        ("null", "HTTP 500"),
        ({"errors": []}, "HTTP 500"),
        ({"errors": None}, "HTTP 500"),
        ({"errors": [{}]}, "HTTP 500"),
        ({"errors": [{"message": 5}]}, "HTTP 500"),
        ({"errors": [{"message": "Oops"}]}, "HTTP 500 Oops"),
        ({"errors": [{"code": "oops"}]}, "HTTP 500 oops"),
        ({"errors": [{"message": f"{TOKEN} is bad"}]}, "HTTP 500 <secret> is bad"),
        ("[" * 10_000, "HTTP 500"),
        ('{"errors": [{"message": "' + "x" * 100_000, "HTTP 500"),
    ],
)
async def test_error_bodies(body: Any, detail: str) -> None:
    async with serving(ScriptedApi(500, body)) as server:
        assert (await failure_at(server.url)).detail == detail


async def test_a_long_message_is_cut() -> None:
    async with serving(ScriptedApi(422, {"errors": [{"message": "x" * 10_000}]})) as server:
        assert len((await failure_at(server.url)).detail) == policy.API_DETAIL_LARGEST


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999999999999999999", policy.RETRY_AFTER_LONGEST),
        ("9" * 5000, policy.RETRY_AFTER_LONGEST),
        ("-5", None),
        ("soon", None),
        ("", None),
        (formatdate(1_000_090, usegmt=True), 90),
        (formatdate(999_000, usegmt=True), 0),
    ],
)
async def test_retry_after(header: str, seconds: float | None) -> None:
    async with serving(ScriptedApi(429, ENVELOPE, {"Retry-After": header})) as server:
        error = await failure_at(server.url, now=lambda: 1_000_000.0)
    assert error.code is Code.API_RATE_LIMITED
    assert error.retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with (
        serving(ScriptedApi(body=password_answer())) as elsewhere,
        serving(ScriptedApi(status, "", {"Location": f"{elsewhere.url}/v3?t={TOKEN}"})) as server,
    ):
        error = await failure_at(server.url)
    assert error.code is Code.API_ANSWER_INVALID
    assert elsewhere.url in error.detail
    assert elsewhere.requests == []


@pytest.mark.parametrize("body", ["", "<html>", "{}", '{"config": 1}'])
async def test_success_that_is_no_answer(body: str) -> None:
    async with serving(ScriptedApi(200, body)) as server:
        assert (await failure_at(server.url)).code is Code.API_ANSWER_INVALID


async def test_a_body_without_end() -> None:
    async with serving(ScriptedApi(200, b" " * (policy.API_BODY_LARGEST + 1))) as server:
        error = await failure_at(server.url)
    assert (error.code, error.detail) == (Code.API_ANSWER_INVALID, f"more than {policy.API_BODY_LARGEST} bytes")


# ---- no answer -----------------------------------------------------------------------------------


async def test_a_port_that_refuses_or_is_silent() -> None:
    with closed_port() as port:
        assert (await failure_at(f"http://127.0.0.1:{port}")).code is Code.API_UNREACHABLE
    with deaf_port() as port:
        began = time.monotonic()
        assert (await failure_at(f"http://127.0.0.1:{port}", timing=QUICK)).code is Code.API_UNREACHABLE
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", Code.API_UNREACHABLE),
        (None, Code.API_UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Code.API_UNREACHABLE),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Code.API_ANSWER_INVALID),
    ],
    ids=["hangs up", "silent", "breaks off", "no HTTP"],
)
async def test_raw_servers(said: bytes | None, code: Code) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if said is None:
            await reader.read()
        writer.write(said or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        error = await failure_at(url, timing=QUICK if said is None else Timing())
    assert error.code is code
    assert error.detail


async def test_cancelled_in_the_middle() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with (
        server,
        nothing_left_behind(),
        client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as api,
    ):
        call = asyncio.create_task(api.site_id())
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


# ---- TLS -----------------------------------------------------------------------------------------


async def test_tls_with_a_pinned_ca(authority: Authority, tmp_path: Path) -> None:
    ca_file, _ = authority.itself.files(tmp_path, "ca")
    async with (
        serving(ScriptedApi(body={"site": {"id": "s"}}), server_context(tmp_path, authority.issue())) as server,
        client(server.url, ca_file=ca_file) as api,
    ):
        assert await api.site_id() == "s"
        assert api.origin == server.url


async def test_tls_that_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    ca_file, _ = authority.itself.files(tmp_path, "ca")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with serving(ScriptedApi(), server_context(tmp_path, authority.issue())) as server:
        # Neither the system's roots nor another name.
        for url, trusted in [(server.url, None), (server.url.replace("127.0.0.1", "localhost"), ca_file)]:
            error = await failure_at(url, ca_file=trusted)
            assert error.code is Code.API_TLS
            assert "certificate" in error.detail.lower()
    assert server.requests == []


async def test_tls_to_a_plain_port() -> None:
    async with serving(ScriptedApi()) as server:
        assert (await failure_at(server.url.replace("http", "https"))).code is Code.API_TLS


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UcmError) as caught:
        async with client("https://127.0.0.1", ca_file=file):
            pass
    assert caught.value.code is Code.CONFIG_INVALID
    assert "api.ca_file" in caught.value.detail


# ---- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://api.enapter.com",
        "http://127.0.0.1:8480",
        "http://127.1.2.3",
        "http://[::1]:8480/api",
        "http://localhost:8480/",
        " https://x ",
    ],
)
def test_addresses_that_a_token_may_go_to(url: str) -> None:
    client(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.enapter.com",
        "ftp://api.enapter.com",
        "http://",
        "http://enapter-gateway.local/api",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://192.168.1.2",
        "https://user:hunter2@api.enapter.com",
        "https://api.enapter.com/?a=b",
        "https://api.enapter.com/#a",
        "https://[::1",
        "https://x:99999",
    ],
)
def test_addresses_that_it_may_not_go_to(url: str) -> None:
    with pytest.raises(UcmError) as caught:
        client(url)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "hunter2" not in str(caught.value)


def test_plain_http_to_a_gateway_when_the_site_says_so() -> None:
    assert client("http://enapter-gateway.local/api", allow_http=True).origin == "http://enapter-gateway.local"
