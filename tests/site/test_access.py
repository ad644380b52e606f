"""Who may do what: roles, tokens for one site, the limit of calls, the audit log, and TLS."""

from __future__ import annotations

import json
import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from cryptography import x509
from structlog.testing import capture_logs

from tests.site.harness import Clock, Plant, new_hardware_id, plant_in, settings_in
from tests.site.test_command_line import run, serving
from tests.site.test_kinds import LOCAL, UCM, add, another_site, own_site
from ucm_site_api import CertificateFiles, ConfigurationError, SiteStartError, TimeSource
from ucm_site_api.authority import Authority
from ucm_site_api.errors import ApiError
from ucm_site_api.limits import RateLimit
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import ROLES
from ucm_site_api.routes import OPERATIONS

NTP = TimeSource("NTP", "127.0.0.1", 123)
FROM_WHICH = {
    **dict.fromkeys(("get_device", "list_devices", "list_site_devices", "get_site", "list_sites"), "READONLY"),
    **dict.fromkeys(("create_site", "delete_site"), "INSTALLER"),
}


async def token_for(plant: Plant, role: str, site_id: str | None = None) -> dict[str, str]:
    secret = new_secret()
    await plant.site._registry.add_token(digest_of(secret), role, plant.site._settings.now(), site_id=site_id)
    return {"X-Enapter-Auth-Token": secret}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_includes_those_below(plant: Plant, role: str) -> None:
    """A call that is allowed gets as far as its body or its resource."""
    headers = await token_for(plant, role)
    for operation in OPERATIONS:
        least = FROM_WHICH.get(operation.name, "OWNER")
        path = re.sub("{[a-z]+}", "nobody", operation.path)
        status, answer = await plant.call(operation.method, f"/v3{path}", headers=headers, data=b"[]")
        allowed = ROLES.index(role) >= ROLES.index(least)
        assert (status == 403) == (not allowed), (operation.name, answer)
        if not allowed:
            assert answer["errors"][0]["code"] == "forbidden"
            assert answer["errors"][0]["details"] == {"required_role": least}


async def test_authorized_role_is_the_tokens(plant: Plant) -> None:
    await add(plant, "ucm", UCM)
    headers = await token_for(plant, "SYSTEM")
    _, answer = await plant.call("GET", "/v3/devices/relay?expand=site", headers=headers)
    assert (answer["device"]["authorized_role"], answer["device"]["site"]["authorized_role"]) == ("SYSTEM", "SYSTEM")


async def test_token_for_one_site_sees_no_other(plant: Plant) -> None:
    here, there = await own_site(plant), await another_site(plant)
    hidden = await add(plant, "ucm", UCM | {"site_id": here})
    headers = await token_for(plant, "VENDOR", there)

    async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await plant.call(method, f"/v3{path}", json=body, headers=headers)

    assert (await call("GET", "/site"))[1]["site"]["id"] == there
    assert (await call("GET", "/sites"))[1]["total_count"] == 1
    assert (await call("GET", "/sites?name=Demo%20plant"))[1] == {"sites": [], "total_count": 0}
    for path in (f"/sites/{here}", f"/sites/{here}/devices", f"/devices/{hidden['device_id']}", "/devices/relay"):
        assert (await call("GET", path))[0] == 404, path
    for path in (f"/devices/{hidden['device_id']}", f"/sites/{here}/devices/relay"):
        assert (await call("PATCH", path, {"name": "x"}))[0] == 404
        assert (await call("DELETE", path))[0] == 404
    assert (await call("POST", "/devices/relay/generate_config", {"protocol": "MQTT"}))[0] == 404
    lua = {"runtime_id": hidden["device_id"], "blueprint_id": "b", "name": "n"}
    assert (await call("POST", "/provisioning/lua_device", lua))[0] == 422
    assert (await call("POST", "/provisioning/vucm", LOCAL | {"site_id": here}))[0] == 422
    assert (await call("POST", "/provisioning/ucm", UCM))[0] == 409
    for method, path in (("POST", "/sites"), ("DELETE", f"/sites/{there}")):
        assert (await call(method, path, {"name": "n", "timezone": "UTC"}))[0] == 403
    _, made = await call("POST", "/provisioning/standalone", {"name": "n"})
    assert [device["id"] for device in (await call("GET", "/devices"))[1]["devices"]] == [made["device_id"]]
    assert (await plant.device(made["device_id"]))["site_id"] == there


async def test_gateway_of_another_role_brings_no_site(tmp_path: Path) -> None:
    async with plant_in(tmp_path, role="cloud") as plant:
        body = {
            "hardware_id": new_hardware_id(),
            "site_id": "new",
            "gateway_version": "3",
            "site_name": "n",
            "site_timezone": "UTC",
        }
        for headers in (await token_for(plant, "OWNER"), await token_for(plant, "VENDOR", await own_site(plant))):
            status, answer = await plant.call("POST", "/v3/provisioning/gateway", json=body, headers=headers)
            assert (status, answer["errors"][0]["details"]) == (422, {"path": "$.site_id"})
        assert (await plant.call("GET", "/v3/sites"))[1]["total_count"] == 1


async def test_too_many_calls(tmp_path: Path) -> None:
    async with plant_in(tmp_path, rate_limit=5) as plant:
        statuses = [(await plant.call("GET", "/v3/site"))[0] for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        async with plant.http.get(plant.site.url + "/v3/site") as response:
            assert response.status == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 12
            assert (await response.json())["errors"][0]["code"] == "too_many_requests"
        other = await token_for(plant, "USER")
        assert (await plant.call("GET", "/v3/site", headers=other))[0] == 200


def test_bucket_fills_up_again() -> None:
    moment = 0.0
    limit = RateLimit(60, lambda: moment)
    for _ in range(60):
        limit.take("a")
    with pytest.raises(ApiError) as caught:
        limit.take("a")
    assert caught.value.headers == {"Retry-After": "1"}
    moment = 0.9
    with pytest.raises(ApiError):
        limit.take("a")
    moment = 1.9
    limit.take("a")
    with pytest.raises(ApiError):
        limit.take("a")
    moment = 10_000.0
    for _ in range(60):
        limit.take("a")
    with pytest.raises(ApiError):
        limit.take("a")


def test_no_limit() -> None:
    limit = RateLimit(0, lambda: 0.0)
    for _ in range(1000):
        limit.take("a")


async def test_each_change_is_one_line_without_secrets(plant: Plant) -> None:
    with capture_logs() as lines:
        made = await add(plant, "ucm", UCM)
        _, config = await plant.call("POST", "/v3/devices/relay/generate_config", json={"protocol": "MQTTS"})
        await plant.call("PATCH", "/v3/devices/relay", json={"name": "Pump"})
        await plant.call("GET", "/v3/devices")
        await plant.call("PATCH", "/v3/devices/nobody", json={"name": "Pump"})
        await plant.call("DELETE", "/v3/devices/relay")
    assert [line["event"] for line in lines] == ["provision_ucm", "generate_config", "change_device", "delete_device"]
    (bearer,) = await plant.site._registry.tokens()
    for line in lines:
        assert (line["token"], line["role"], line["address"]) == (bearer.id, "INSTALLER", "127.0.0.1")
    assert lines[0]["about"] == UCM | {"device_id": made["device_id"]}
    assert lines[2]["about"] == {"device": "relay", "name": "Pump", "device_id": made["device_id"]}
    written = json.dumps(lines)
    secrets = [
        plant.site.token_file.read_text().strip(),
        made["config"]["mqtt_credentials"]["password"],
        config["config"]["mqtt_credentials"]["private_key"].splitlines()[1],
    ]
    assert not [secret for secret in secrets if secret in written]


def test_audit_line_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("ucm_site_api.audit").info("change_device", about={"name": "a\nb\x1b[2J"})
    assert "\x1b[2J" not in capsys.readouterr().out


def trusting(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_tls_by_the_sites_own_authority(tmp_path: Path, host: str) -> None:
    async with plant_in(tmp_path, tls="own", time_sync=NTP) as plant:
        assert plant.site.url.startswith("https://127.0.0.1:")
        url = plant.site.url.replace("127.0.0.1", host)
        authority = (tmp_path / "state" / "ca.crt").read_text()
        async with plant.http.get(f"{url}/v3/site", ssl=trusting(authority)) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await plant.http.get(f"{url}/v3/site")


async def test_tls_with_files(tmp_path: Path) -> None:
    authority = Authority.open(_folder(tmp_path / "other"), "rsa", Clock()(), first_start=True)
    issued = authority.issue_server("127.0.0.1", Clock()())
    (tmp_path / "api.crt").write_text(issued.certificate)
    (tmp_path / "api.key").write_text(issued.private_key)
    files = CertificateFiles(tmp_path / "api.crt", tmp_path / "api.key")
    async with (
        plant_in(tmp_path, tls=files, time_sync=NTP) as plant,
        plant.http.get(f"{plant.site.url}/v3/site", ssl=trusting(authority.certificate)) as response,
    ):
        assert response.status == 200
    (tmp_path / "api.key").write_text("damaged")
    with pytest.raises(SiteStartError, match=re.escape("api.key")):
        async with plant_in(tmp_path, tls=files, time_sync=NTP):
            pass


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_tls_needs_another_time_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="time"):
        settings_in(tmp_path, tls="own")


async def test_tokens_and_sites_by_command(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    async with serving(tmp_path / "state", "--tls", "--time-sync=ntp://127.0.0.1") as (_, shown):
        url = re.findall(r"https://\S+/v3", shown)[0]
        code, site_id, _ = await run("site", "create", "--state", state, "--name", "Plant 2", "--timezone", "UTC")
        assert code == 0
        made = await run("token", "create", "--state", state, "--role=owner", "--site", site_id.strip(), "--name=lap")
        assert made[0] == 0
        _, authority, _ = await run("ca", "show", "--state", state)
        assert x509.load_pem_x509_certificate(authority.encode())
        headers = {"X-Enapter-Auth-Token": made[1].strip()}
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(ssl=trusting(authority))
        ) as http:
            async with http.get(f"{url}/site") as response:
                assert (await response.json())["site"]["name"] == "Plant 2"
            _, listed, _ = await run("token", "list", "--state", state)
            (row,) = [line.split() for line in listed.splitlines() if line.endswith(" lap")]
            assert row[1:3] == ["owner", site_id.strip()]
            assert made[1].strip() not in listed
            assert (await run("token", "revoke", "--state", state, row[0]))[0] == 0
            async with http.get(f"{url}/site") as response:
                assert response.status == 403
        assert "Plant 2" in (await run("site", "list", "--state", state))[1]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["token", "revoke", "none"], "no token"),
        (["token", "create", "--site", "nowhere"], "no site"),
        (["site", "create", "--name", "n", "--timezone", "Mars/Olympus"], "time zone"),
        (["site", "create", "--name", "n", "--id", "mine"], "already"),
    ],
)
async def test_commands_that_cannot_be_done(tmp_path: Path, command: list[str], sentence: str) -> None:
    async with plant_in(tmp_path):
        pass
    state = ["--state", str(tmp_path / "state")]
    await run("site", "create", *state, "--name", "n", "--id", "mine")
    code, out, err = await run(*command, *state)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert sentence in err


@pytest.mark.parametrize("command", [["token", "list"], ["site", "list"], ["ca", "show"], ["token", "revoke", "x"]])
async def test_commands_before_the_first_start(tmp_path: Path, command: list[str]) -> None:
    code, _, err = await run(*command, "--state", str(tmp_path / "none"))
    assert code == 1
    assert "start the server once" in err


@pytest.mark.parametrize("options", [["--tls-key", "k"], ["--tls-certificate", "k"], ["--tls", "--tls-key", "k"]])
async def test_half_of_tls(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "k").write_text("")
    given = [str(tmp_path / "k") if option == "k" else option for option in options]
    code, _, err = await run("serve", "--state", str(tmp_path / "state"), *given)
    assert code == 78
    assert "--tls-certificate and --tls-key" in err


def test_grace_is_not_negative(tmp_path: Path) -> None:
    for wrong in ({"rate_limit": -1}, {"rotation_grace": timedelta(-1)}):
        with pytest.raises(ConfigurationError):
            settings_in(tmp_path, **wrong)
