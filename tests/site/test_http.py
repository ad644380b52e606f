"""The HTTP surface: errors, lists, views, and the time source."""

import asyncio
import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.site.harness import Clock, Plant, closed, new_hardware_id

GOOD = {"hardware_id": "A" * 32, "name": "n", "protocol": "MQTT"}
PROVISION = "/v3/provisioning/ucm"
HARDWARE_ID = {"path": "$.hardware_id"}


class Refusal(NamedTuple):
    method: str
    path: str
    options: dict[str, Any]
    status: int
    code: str
    details: dict[str, Any] | None = None


REFUSALS = [
    Refusal("GET", "/", {"headers": {"Expect": "a miracle"}}, 417, "expectation_failed"),
    Refusal("GET", "/v3/site", {"headers": {"Expect": "a miracle"}}, 417, "expectation_failed"),
    Refusal("GET", "/nothing", {"headers": {"Expect": "a miracle"}}, 417, "expectation_failed"),
    Refusal("GET", "/nothing", {}, 404, "not_found"),
    Refusal("GET", "/v3/provisioning", {}, 404, "not_found"),
    Refusal("GET", "/v3/devices/nobody", {}, 404, "not_found"),
    Refusal("GET", "/v3/sites/nowhere", {}, 404, "not_found"),
    Refusal("GET", "/v3/sites/nowhere/devices", {}, 404, "not_found"),
    Refusal("DELETE", PROVISION, {}, 405, "method_not_allowed"),
    Refusal("GET", PROVISION, {}, 405, "method_not_allowed"),
    Refusal("POST", "/", {}, 405, "method_not_allowed"),
    Refusal("GET", "/v3/devices?offset=x", {}, 400, "invalid_query_parameter_format", {"parameter": "offset"}),
    Refusal("GET", "/v3/devices?offset=-1", {}, 400, "invalid_query_parameter_format", {"parameter": "offset"}),
    Refusal("GET", "/v3/sites?limit=1e3", {}, 400, "invalid_query_parameter_format", {"parameter": "limit"}),
    Refusal("POST", PROVISION, {"data": b""}, 400, "invalid_request"),
    Refusal("POST", PROVISION, {"data": b"{"}, 400, "invalid_request"),
    Refusal("POST", PROVISION, {"data": b'{"name":"\xff"}'}, 400, "invalid_request"),
    Refusal("POST", PROVISION, {"data": b'{"x":' + b"[" * 30000}, 400, "invalid_request"),
    Refusal("POST", PROVISION, {"json": []}, 400, "invalid_request", {"path": "$"}),
    Refusal("POST", PROVISION, {"json": {}}, 400, "invalid_request", HARDWARE_ID),
    Refusal("POST", PROVISION, {"json": GOOD | {"name": 7}}, 400, "invalid_request", {"path": "$.name"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"name": None}}, 400, "invalid_request", {"path": "$.name"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"name": "a\x00\x1b[2J"}}, 400, "invalid_request", {"path": "$.name"}),
    Refusal("POST", PROVISION, {"data": b'{"name":"\\ud800"}'}, 400, "invalid_request"),
    Refusal("POST", PROVISION, {"json": GOOD | {"name": " "}}, 400, "invalid_request", {"path": "$.name"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"name": "n" * 256}}, 400, "invalid_request", {"path": "$.name"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"protocol": "HTTP"}}, 400, "invalid_request", {"path": "$.protocol"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"hardware_id": "A" * 31}}, 400, "invalid_request", HARDWARE_ID),
    Refusal("POST", PROVISION, {"json": GOOD | {"hardware_id": "+" * 32}}, 400, "invalid_request", HARDWARE_ID),
    Refusal("POST", PROVISION, {"json": GOOD | {"site_id": "x"}}, 422, "unprocessable_entity", {"path": "$.site_id"}),
    Refusal("POST", PROVISION, {"json": GOOD | {"x": "x" * 70000}}, 413, "payload_too_large"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal.status}-{refusal.path}")
async def test_every_refusal_is_an_envelope(plant: Plant, refusal: Refusal) -> None:
    status, body = await plant.call(refusal.method, refusal.path, **refusal.options)
    assert status == refusal.status
    assert body.keys() == {"errors"}
    (error,) = body["errors"]
    assert error["code"] == refusal.code
    assert error["message"]
    assert error.get("details") == refusal.details


async def test_method_not_allowed_names_those_that_are(plant: Plant) -> None:
    async with plant.http.put(plant.site.url + "/v3/site") as response:
        assert response.status == 405
        assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "PATCH"}


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("", 401), ("0" * 64, 403), ("ünbekannt", 403)])
@pytest.mark.parametrize("path", ["/v3/site", "/api/v3/devices", "/v3/provisioning/ucm"])
async def test_token_is_asked_before_anything_else(plant: Plant, path: str, token: str | None, status: int) -> None:
    headers = {} if token is None else {"X-Enapter-Auth-Token": token}
    async with aiohttp.ClientSession() as stranger:
        method = "POST" if "provisioning" in path else "GET"
        async with stranger.request(method, plant.site.url + path, headers=headers, data=b"x" * 100000) as response:
            error = json.loads(await response.read())["errors"][0]
            assert response.status == status
            assert error["code"] == "invalid_header"
            assert error["details"] == {"header": "X-Enapter-Auth-Token"}


async def test_announced_body_is_refused_before_it_is_sent(plant: Plant) -> None:
    host, port = plant.site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    token = plant.site.token_file.read_text().strip()
    head = f"POST {PROVISION} HTTP/1.1\r\nHost: x\r\nX-Enapter-Auth-Token: {token}\r\nContent-Length: 9999999\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()


async def test_unannounced_body_is_refused_when_it_has_grown_too_large(plant: Plant) -> None:
    async def flood() -> Any:
        for _ in range(100):
            yield b" " * 1024

    status, body = await plant.call("POST", PROVISION, data=flood())
    assert (status, body["errors"][0]["code"]) == (413, "payload_too_large")


async def test_a_failure_inside_is_an_envelope_and_tells_no_more(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("the inside of the server")

    monkeypatch.setattr("ucm_site_api.provisioning.Provisioner.provision_ucm", fail)
    status, body = await plant.call("POST", PROVISION, json=GOOD)
    assert (status, body["errors"][0]["code"]) == (500, "internal_error")
    assert "inside of the server" not in json.dumps(body)
    assert "inside of the server" in capsys.readouterr().out


async def test_role_below_owner_may_look_but_not_provision(plant: Plant) -> None:
    token = "f" * 64
    from ucm_site_api.random_secrets import digest_of
    from ucm_site_api.settings import utc_now

    await plant.site._registry.add_token(digest_of(token), "USER", utc_now())
    headers = {"X-Enapter-Auth-Token": token}
    status, answer = await plant.call("GET", "/v3/site", headers=headers)
    assert (status, answer["site"]["authorized_role"]) == (200, "USER")
    status, answer = await plant.call("POST", PROVISION, json=GOOD, headers=headers)
    assert (status, answer["errors"][0]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_root_is_the_time_source_without_a_token(plant: Plant, clock: Clock, method: str) -> None:
    async with aiohttp.ClientSession() as stranger, stranger.request(method, plant.site.url) as response:
        assert response.status == 200
        assert abs((parsedate_to_datetime(response.headers["Date"]) - clock()).total_seconds()) < 2


async def test_site_is_found_by_every_way(plant: Plant) -> None:
    _, own = await plant.call("GET", "/v3/site")
    site = own["site"]
    assert site == {
        "id": site["id"],
        "name": "Demo plant",
        "timezone": "UTC",
        "version": "V3",
        "authorized_role": "INSTALLER",
        "archived": False,
    }
    assert (await plant.call("GET", f"/api/v3/sites/{site['id']}?what=ever"))[1] == own
    assert (await plant.call("GET", "/v3/sites"))[1] == {"sites": [site], "total_count": 1}
    assert (await plant.call("GET", "/v3/sites?offset=1"))[1] == {"sites": [], "total_count": 1}


async def test_lists_end_with_an_empty_page(plant: Plant) -> None:
    made = [(await plant.provision(new_hardware_id(), "MQTT"))["device_id"] for _ in range(7)]
    _, own = await plant.call("GET", "/v3/site")
    for path in ("/v3/devices", f"/v3/sites/{own['site']['id']}/devices"):
        seen: list[str] = []
        while True:
            _, page = await plant.call("GET", path, params={"offset": len(seen), "limit": 3, "expand": ""})
            assert page["total_count"] == 7
            if not page["devices"]:
                break
            seen += [device["id"] for device in page["devices"]]
        assert seen == made
        assert (await plant.call("GET", path, params={"offset": 10**19}))[1]["devices"] == []


async def test_device_has_the_keys_that_clients_demand_and_what_is_expanded(plant: Plant) -> None:
    answer = await plant.provision("B" * 33)
    device = await plant.device(answer["device_id"])
    demanded = {"id", "blueprint_id", "name", "site_id", "updated_at", "slug", "type", "authorized_role"}
    assert device.keys() == demanded
    assert device["type"] == "HARDWARE_UCM"
    assert datetime.fromisoformat(device["updated_at"]).tzinfo is not None
    assert device["updated_at"].endswith("Z")

    expanded = await plant.device(answer["slug"], "connectivity, communication,properties,manifest,site,unheard-of,")
    assert expanded.keys() == demanded | {"connectivity", "communication", "properties", "site"}
    assert expanded["connectivity"] == {"status": "UNKNOWN"}
    assert expanded["properties"] == {}
    assert expanded["site"]["id"] == device["site_id"]
    assert expanded["communication"] == {
        "type": "MQTT_V1_TLS",
        "upstream_id": None,
        "hardware_id": "B" * 33,
        "channel_id": "ucm",
        "needs_reprovisioning": False,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
bodies = st.one_of(
    st.binary(max_size=80),
    st.fixed_dictionaries(
        {},
        optional={
            "site_id": json_values,
            "hardware_id": json_values | st.from_regex(r"\A[0-9a-zA-Z]{31,34}\Z"),
            "name": json_values,
            "protocol": json_values | st.sampled_from(["MQTT", "MQTTS"]),
        },
    ).map(lambda body: json.dumps(body).encode()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_body_makes_the_server_fail(plant: Plant, data: st.DataObject) -> None:
    status, _ = await plant.call("POST", PROVISION, data=data.draw(bodies))
    assert status in {200, 400, 422}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
        (b"GET /v3/\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v3/site HTTP/1.1\r\nHost: x\r\nX-Enapter-Auth-Token: a\x01b\r\n\r\n", 400),
        (b"POST /v3/site HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /v3/site HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Enapter-Auth-Token: \xff\r\n\r\n", 403),
    ],
)
async def test_bytes_that_are_no_http_get_an_envelope_too(
    plant: Plant, request_bytes: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = plant.site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes)
    head, _, body = (await closed(reader)).partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert json.loads(body)["errors"][0]["code"]
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    writer.close()
    await writer.wait_closed()


async def test_body_of_a_false_encoding(plant: Plant) -> None:
    status, answer = await plant.call("POST", PROVISION, data=b"abcd", headers={"Content-Encoding": "gzip"})
    assert (status, answer["errors"][0]["code"]) == (400, "invalid_request")
