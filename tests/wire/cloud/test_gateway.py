"""The choice of a Gateway: what is kept of it, where, and who gets the token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.wire.broker.authority import Authority
from tests.wire.broker.servers import closed_port
from tests.wire.cloud.test_provisioning import QUICK, TOKEN, ScriptedApi, serving
from ucm_provision.cloud import HttpProvisioningApi
from ucm_provision.cloud.gateway import GatewayApi, find_gateway
from ucm_provision.core.errors import Code, Disposition, UcmError
from ucm_provision.core.model import GatewaySighting
from ucm_provision.core.secret import Secret

SITE = {"site": {"id": "site-1"}}
SEEN = GatewaySighting("Enapter-GW", "enapter-gateway.local", 80, ("192.0.2.1",))


def connect(url: str, secret: Secret[str], ca: str) -> HttpProvisioningApi:
    async def token() -> Secret[str]:
        return secret

    return HttpProvisioningApi(url, token, ca=ca, allow_http=True, timing=QUICK)


def gateway_api(file: Path, *, allow_http: bool = False) -> GatewayApi:
    return GatewayApi(file, connect, allow_http=allow_http)


def at(server: ScriptedApi, name: str = SEEN.name) -> GatewaySighting:
    return GatewaySighting(name, SEEN.host, int(server.url.rpartition(":")[2]), ("127.0.0.1",))


def kept(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def put(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.json"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedApi]:
    async with serving(ScriptedApi(body=SITE)) as server:
        yield server


async def test_nobody_is_asked_before_there_is_a_choice(file: Path) -> None:
    async with gateway_api(file) as api:
        assert (api.url, api.name, api.origin) == ("", "", "")
        with pytest.raises(UcmError) as caught:
            await api.site_id()
    assert caught.value.code is Code.API_NOT_CHOSEN
    assert kept(file) is None


async def test_a_choice_is_kept_in_one_file_that_only_its_owner_reads(server: ScriptedApi, file: Path) -> None:
    async with gateway_api(file) as api:
        await api.accept(at(server), Secret(TOKEN), "")
        assert await api.site_id() == "site-1"
    assert modes(file.parent) == {file.name: 0o600}
    async with gateway_api(file) as api:
        assert (api.name, api.url) == (SEEN.name, f"{server.url}/api")
        assert await api.site_id() == "site-1"
    assert {request.headers["X-Enapter-Auth-Token"] for request in server.requests} == {TOKEN}
    assert {request.path for request in server.requests} == {"/api/v3/site"}


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_a_gateway_that_does_not_take_the_token_changes_nothing(
    server: ScriptedApi, file: Path, status: int
) -> None:
    async with serving(ScriptedApi(body=SITE)) as other, gateway_api(file) as api:
        await api.accept(at(server), Secret(TOKEN), "")
        before = kept(file)
        other.status = status
        with pytest.raises(UcmError) as caught:
            await api.accept(at(other, "Another"), Secret("another-token"), "")
        assert caught.value.code is Code.GATEWAY_REFUSED
        assert (api.name, kept(file)) == (SEEN.name, before)
        assert await api.site_id() == "site-1"
    assert [request.headers["X-Enapter-Auth-Token"] for request in other.requests] == ["another-token"]


async def test_a_gateway_that_is_not_there_is_not_accepted(file: Path) -> None:
    with closed_port() as port:
        nobody = replace(SEEN, port=port, addresses=("127.0.0.1",))
        async with gateway_api(file) as api:
            with pytest.raises(UcmError, match="api_unreachable"):
                await api.accept(nobody, Secret(TOKEN), "")
    assert kept(file) is None


async def test_a_token_crosses_the_network_in_the_clear_only_with_consent(file: Path) -> None:
    async with gateway_api(file) as api:
        for gateway in (SEEN, replace(SEEN, addresses=())):
            with pytest.raises(UcmError, match=r"set api\.allow_http, or give its CA") as caught:
                await api.accept(gateway, Secret(TOKEN), "")
            assert caught.value.code is Code.GATEWAY_REFUSED
    assert kept(file) is None


async def test_with_a_ca_the_gateway_is_asked_by_name_over_https(file: Path, authority: Authority) -> None:
    asked: list[str] = []

    def note(url: str, secret: Secret[str], ca: str) -> HttpProvisioningApi:
        asked.append(url)
        return connect(url, secret, ca)

    async with GatewayApi(file, note, allow_http=False) as api:
        for ca in (authority.itself.certificate_pem, "no certificate"):
            with pytest.raises(UcmError) as caught:
                await api.accept(replace(SEEN, host="localhost"), Secret(TOKEN), ca)
            assert caught.value.code is Code.GATEWAY_REFUSED
    assert asked == ["https://localhost:443/api"] * 2
    assert kept(file) is None


async def test_a_folder_that_takes_no_file_is_told(server: ScriptedApi, tmp_path: Path) -> None:
    async with gateway_api(tmp_path / "nowhere" / "gateway.json") as api:
        with pytest.raises(UcmError, match="No such file or directory") as caught:
            await api.accept(at(server), Secret(TOKEN), "")
        assert (caught.value.code, api.name) == (Code.GATEWAY_REFUSED, "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x", "url": "http://127.0.0.1/api"}', '{"token": 5}'])
async def test_a_file_that_cannot_be_read_says_what_to_do(file: Path, text: str) -> None:
    put(file, text)
    with pytest.raises(UcmError, match="Remove it, and accept the Gateway again") as caught:
        async with gateway_api(file):
            pass
    assert (caught.value.code, caught.value.failure.disposition) == (Code.CONFIG_INVALID, Disposition.FATAL)
    assert str(file) in caught.value.detail


async def test_a_file_that_is_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(UcmError, match="Is a directory"):
        async with gateway_api(tmp_path):
            pass


async def test_the_token_stands_in_no_log_no_error_and_no_repr(server: ScriptedApi, file: Path) -> None:
    with capture_logs() as logged:
        async with gateway_api(file) as api:
            await api.accept(at(server), Secret(TOKEN), "")
            server.status, server.body = 401, f'{{"errors": [{{"message": "no {TOKEN}"}}]}}'
            with pytest.raises(UcmError) as caught:
                await api.accept(at(server), Secret(TOKEN), "")
            shown = [repr(api), *(repr(value) for value in vars(api).values()), str(caught.value), repr(caught.value)]
    assert TOKEN not in "".join([*shown, str(logged)])
    assert [entry["event"] for entry in logged] == ["gateway accepted"]


def test_a_gateway_is_meant_by_its_name_host_or_address() -> None:
    other = GatewaySighting("Other", "other.local", 80, ("192.0.2.2", "fe80::1%eth0"))
    for wanted in ("Other", "other.local", "192.0.2.2", "fe80::1%eth0"):
        assert find_gateway([SEEN, other], wanted) is other


@pytest.mark.parametrize("wanted", ["", "enapter-gw", "192.0.2.9", "twice.local"])
def test_who_is_not_seen_or_seen_twice_is_not_found(wanted: str) -> None:
    twins = [GatewaySighting(f"Twin {number}", "twice.local", 80, ("192.0.2.3",)) for number in (1, 2)]
    with pytest.raises(UcmError) as caught:
        find_gateway([SEEN, *twins], wanted)
    assert caught.value.code is Code.GATEWAY_UNKNOWN
