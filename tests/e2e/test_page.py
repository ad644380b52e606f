"""The page as a real daemon serves it: where, to whom, over what, and in whose name."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.station import HARDWARE_ID, Running, Station, ucmctl, verified
from ucm_provision import app
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.host import config
from ucm_provision.host.web_certificate import own_certificate
from ucm_provision.wire import PageInvitation


async def invited(station: Station) -> PageInvitation:
    status, out = await ucmctl(station.socket, "page-login", "--json")
    assert status == 0, out
    invitation: PageInvitation = json.loads(out)
    return invitation


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """One that takes any certificate, as a person does who has compared its fingerprint."""
    origin = url.partition("/#")[0]
    headers = {"Origin": origin, "X-UCM-Page": "1"}
    jar = aiohttp.CookieJar(unsafe=True)  # from addresses, too
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(origin, headers=headers, cookie_jar=jar, connector=connector) as session:
        yield session


async def sign_in(session: aiohttp.ClientSession, url: str) -> int:
    async with session.post("/v1/page/sign-in", json={"token": url.partition("#sign-in=")[2]}) as answer:
        return answer.status


def fingerprint(running: Running) -> str:
    """Of the certificate that the page shows to whoever connects."""
    port = running.daemon.places[0].port
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    return hashlib.sha256(der).digest().hex(":").upper()


async def test_what_is_done_on_the_page_is_done_in_somebody_s_name(station: Station) -> None:
    station.web = 'listen = "127.0.0.1:0"'
    async with station.daemon() as running, station.module():
        await running.until(verified)
        invitation = await invited(station)
        (url,) = invitation["urls"]
        assert url.startswith("http://127.0.0.1:")
        assert invitation["fingerprint"] is None
        async with browser(url) as session:
            async with session.get("/v1/modules") as answer:
                assert [each["hardware_id"] for each in (await answer.json())["modules"]] == [HARDWARE_ID]
            async with session.post(f"/v1/modules/{HARDWARE_ID}/name", json={"name": "Boiler"}) as answer:
                assert answer.status == 401
            assert await sign_in(session, url) == 200
            async with session.post(f"/v1/modules/{HARDWARE_ID}/name", json={"name": "Boiler"}) as answer:
                assert (await answer.json())["module"]["name"] == "Boiler"
        _, shown = await ucmctl(station.socket, "show", "Boiler")
        assert f'page:{getpass.getuser()} called it "Boiler".' in shown


async def test_on_the_lan_it_is_over_tls_and_for_members(station: Station) -> None:
    station.web = 'listen = "0.0.0.0:0"\nnames = ["box.plant.example"]'
    async with station.daemon() as running:
        invitation = await invited(station)
        assert all(url.startswith("https://") for url in invitation["urls"])
        assert invitation["fingerprint"] == await asyncio.to_thread(fingerprint, running)
        port = running.daemon.places[0].port
        token = invitation["urls"][0].partition("#")[2]
        url = f"https://127.0.0.1:{port}/#{token}"
        async with browser(url) as session:
            async with session.get("/") as answer:
                assert answer.status == 200
            async with session.get("/v1/modules") as answer:
                assert answer.status == 401
            assert await sign_in(session, url) == 200
            async with session.get("/v1/modules") as answer:
                assert await answer.json() == {"modules": []}
            named = {"Host": f"box.plant.example:{port}", "Origin": f"https://box.plant.example:{port}"}
            async with session.get("/v1/page", headers=named) as answer:
                assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):  # it speaks nothing else there
            async with browser(f"http://127.0.0.1:{port}") as session, session.get("/"):
                pass


async def test_its_own_certificate_stays_through_restarts(station: Station) -> None:
    station.web = 'listen = "0.0.0.0:0"'
    async with station.daemon() as running:
        first = await asyncio.to_thread(fingerprint, running)
    async with station.daemon() as running:
        assert await asyncio.to_thread(fingerprint, running) == first
    assert (station.folder / "state" / "page.pem").stat().st_mode & 0o777 == 0o600


async def test_a_phone_gets_a_code_to_scan(station: Station) -> None:
    station.web = 'listen = "0.0.0.0:0"'
    async with station.daemon():
        status, said = await ucmctl(station.socket, "page-login", "--qr")
        assert status == 0
        assert re.search(r"^https://\S+/#sign-in=[\w-]{43}$", said, re.MULTILINE)
        assert re.search(r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$", said, re.MULTILINE)
        assert len(re.findall(r"^[█▀▄ ]{25,}$", said, re.MULTILINE)) >= 12
        assert "█" not in (await ucmctl(station.socket, "page-login"))[1]  # nobody looks


async def test_an_operator_s_own_certificate(station: Station) -> None:
    own = station.folder / "mine.pem"
    mine = await asyncio.to_thread(own_certificate, own, ["box.plant.example"], 1_800_000_000.0)
    station.web = 'listen = "0.0.0.0:0"\ncert_file = "mine.pem"'
    async with station.daemon() as running:
        assert await asyncio.to_thread(fingerprint, running) == mine
        assert (await invited(station))["fingerprint"] is None
        assert not (station.folder / "state" / "page.pem").exists()


async def test_a_socket_that_systemd_opened_for_the_lan_is_no_less_guarded(station: Station) -> None:
    settings = config.load(station.configure())
    with socket.create_server(("0.0.0.0", 0)) as wide, socket.create_server(("127.0.0.1", 0)) as near:
        for listener, scheme, status in ((wide, "https", 401), (near, "http", 200)):
            listener.setblocking(False)
            async with app.start(settings, passed={"web": listener}) as daemon:
                assert [place.private for place in daemon.places] == [scheme == "https"]
                async with (
                    browser(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}") as session,
                    session.get("/v1/status") as answer,
                ):
                    assert answer.status == status


async def test_without_a_page_there_is_nothing_to_sign_in_to(station: Station) -> None:
    async with station.daemon():
        status, said = await ucmctl(station.socket, "page-login")
    assert status == 1
    assert said.startswith("PAGE_OFF: ")


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ('listen = "8471"', 'expected an IP address and a port, like "0.0.0.0:8471"'),
        ('listen = "box:8471"', "expected an IP address and a port"),
        ('listen = "1.2.3:8471"', "expected an IP address and a port"),
        ('listen = "0.0.0.0:70000"', "expected an IP address and a port"),
        ('listen = "0.0.0.0:0"\nkey_file = "key.pem"', "expected web.cert_file beside it"),
        ('listen = "0.0.0.0:0"\ncert_file = "gone.pem"', "expected a certificate with its key, as PEM"),
        ('listen = "0.0.0.0:0"\ncert_file = "passphrase"', "expected a certificate with its key, as PEM"),
    ],
    ids=str,
)
async def test_a_page_that_cannot_be_served_is_told_with_line_and_key(station: Station, web: str, said: str) -> None:
    station.web = web
    with pytest.raises(UcmError) as refused:
        async with app.start(config.load(station.configure())):
            pytest.fail("it must not start")
    assert refused.value.code is Code.CONFIG_INVALID
    assert said in refused.value.detail
    assert re.search(r"line \d+, web\.(listen|cert_file|key_file)", refused.value.detail)


async def test_a_port_that_somebody_else_has(station: Station) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        station.web = f'listen = "127.0.0.1:{taken.getsockname()[1]}"'
        with pytest.raises(UcmError) as refused:
            async with app.start(config.load(station.configure())):
                pytest.fail("it must not start")
    assert refused.value.code is Code.CONTROL_UNUSABLE
    assert refused.value.detail.endswith("Address already in use")


@pytest.mark.parametrize("spoilt", ["", "not a certificate", "ended", "from the future"])
def test_a_certificate_that_cannot_serve_any_more_is_made_anew(tmp_path: Path, spoilt: str) -> None:
    path, now = tmp_path / "page.pem", 1_800_000_000.0
    made_at = {"ended": now - 800 * 86400, "from the future": now + 30 * 86400}.get(spoilt)
    before = ""
    if made_at is not None:
        before = own_certificate(path, ["box"], made_at)
    elif spoilt:
        path.write_text(spoilt)
    after = own_certificate(path, ["box", "192.0.2.7", "2001:db8::7"], now)
    assert after != before
    assert own_certificate(path, ["another name"], now) == after
