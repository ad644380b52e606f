"""The commissioning report as it is asked for: over the control socket, and from this box's own pages."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.unit.control.known_modules import control_api, own_page, plant
from tests.unit.site.sample_report import START, facts
from ucm_provision.control.listening import serving, serving_at
from ucm_provision.control.report import ReportRoutes
from ucm_provision.site.report import Facts


async def gathered() -> Facts:
    return facts()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "control.sock"
    api = control_api(plant(), readable=[ReportRoutes(gathered)])
    async with (
        serving_at(api.application(), path),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


@asynccontextmanager
async def on_tcp() -> AsyncIterator[aiohttp.ClientSession]:
    """As a page of this box asks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = control_api(plant(), readable=[ReportRoutes(gathered)])
        async with (
            serving(own_page(api), listener.dup()),
            aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session,
        ):
            yield session


@pytest.mark.parametrize(
    ("query", "content_type", "disposition"),
    [
        ({}, "text/html", "inline"),
        ({"format": "html"}, "text/html", "inline"),
        ({"format": "csv"}, "text/csv", "attachment"),
        ({"format": "json"}, "application/json", "attachment"),
    ],
)
async def test_each_form_is_a_file_of_its_own_kind(
    client: aiohttp.ClientSession, query: dict[str, str], content_type: str, disposition: str
) -> None:
    async with client.get("/v1/report", params=query) as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, content_type, "utf-8")
        assert answer.content_disposition is not None
        assert answer.content_disposition.type == disposition
        name, _, suffix = (answer.content_disposition.filename or "").rpartition(".")
        assert (name[:21], suffix) == ("commissioning-report-", query.get("format", "html"))
        assert "Electrolyser 10" in await answer.text()


async def test_engineer_and_period_are_those_that_were_asked_for(client: aiohttp.ClientSession) -> None:
    query = {"format": "json", "engineer": " Jana   Björkqvist ", "since": str(START + 3600.0 * 5)}
    async with client.get("/v1/report", params=query) as answer:
        report = json.loads(await answer.read())
    assert (report["engineer"], report["since"], report["counts"]["older"]) == (
        "Jana Björkqvist",
        START + 3600.0 * 5,
        7,
    )


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"format": "pdf"}, "format is one of html, csv, json"),
        ({"format": ""}, "format is one of"),
        ({"engineer": "x" * 129}, "at most 128 characters"),
        ({"engineer": "a\u0007b"}, "engineer is a name"),
        ({"engineer": "\u202egnirts"}, "engineer is a name"),
        ({"since": "yesterday"}, "seconds since the Unix epoch"),
        ({"since": "nan"}, "seconds since the Unix epoch"),
        ({"since": "inf"}, "seconds since the Unix epoch"),
        ({"since": "-1"}, "seconds since the Unix epoch"),
        ({"since": "1e300"}, "seconds since the Unix epoch"),
        ({"until": "1"}, "a report takes no until"),
    ],
)
async def test_what_no_report_can_be_made_of_is_refused(
    client: aiohttp.ClientSession, query: dict[str, str], complaint: str
) -> None:
    async with client.get("/v1/report", params=query) as answer:
        body = await answer.json()
    assert (answer.status, body["error"]["code"]) == (400, "request_invalid")
    assert complaint in body["error"]["message"]


async def test_a_page_of_this_box_gets_it_with_a_policy_of_its_own() -> None:
    async with on_tcp() as client, client.get("/v1/report", params={"engineer": "Jana"}) as answer:
        page = await answer.text()
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.replace("'", "&#x27;") in page, "the file says the same of itself"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_nobody_else_s_page_gets_it() -> None:
    async with on_tcp() as client:
        for headers in ({"Host": "evil.test"}, {"Origin": "https://evil.test"}):
            async with client.get("/v1/report", headers=headers) as answer:
                assert answer.status == 403
                assert "Electrolyser" not in await answer.text()


async def test_one_report_at_a_time_is_made(tmp_path: Path) -> None:
    """However often it is asked for, it takes one core."""
    under_way, most, entered, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def counting() -> Facts:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        entered.set()
        await go_on.wait()
        under_way -= 1
        return facts()

    path = tmp_path / "control.sock"
    async with (
        serving_at(control_api(plant(), readable=[ReportRoutes(counting)]).application(), path),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as client,
        asyncio.timeout(20),
    ):

        async def asked() -> int:
            async with client.get("/v1/report", params={"format": "csv"}) as answer:
                return answer.status

        asking = [asyncio.ensure_future(asked()) for _ in range(5)]
        await entered.wait()
        async with client.get("/v1/status") as answer:  # everything else goes on meanwhile
            assert answer.status == 200
        go_on.set()
        assert await asyncio.gather(*asking) == [200] * 5
    assert most == 1
