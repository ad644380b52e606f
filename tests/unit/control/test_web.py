"""The page's server: who may read, who may act, how a browser signs in, and what it is given."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any

import aiohttp
import pytest

from tests.unit.control.known_modules import control_api, plant
from ucm_provision.control.assets import FOLDER
from ucm_provision.control.listening import serving
from ucm_provision.control.sessions import PageSessions
from ucm_provision.control.web import WebPage
from ucm_provision.core import policy
from ucm_provision.wire import PageView

ASSETS = sorted(path.name for path in FOLDER.iterdir())


class Moment:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A page that is served, and a browser before it."""

    origin: str
    sessions: PageSessions
    moment: Moment
    cookie: str = ""

    @property
    def host(self) -> str:
        return self.origin.partition("://")[2]

    @property
    def as_our_page(self) -> dict[str, str]:
        return {"Origin": self.origin, "X-UCM-Page": "1"}

    async def ask(
        self, method: str = "GET", target: str = "/v1/status", body: object = None, **headers: str
    ) -> tuple[int, Any]:
        async with self.asked(method, target, body, **headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def status(self, method: str = "GET", target: str = "/v1/status", **headers: str) -> int:
        async with self.asked(method, target, **headers) as answer:
            return answer.status

    async def act(self, target: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """A change, asked as our own page does."""
        return await self.ask("POST", target, body if body is not None else {}, **self.as_our_page | headers)

    async def sign_in(self, token: str = "") -> Morsel[str]:
        """Anna's browser, unless the token is another one's; the cookie that comes of it."""
        body = {"token": token or self.sessions.invite("anna").reveal()}
        async with self.asked("POST", "/v1/page/sign-in", body, **self.as_our_page) as answer:
            assert answer.status == 200
            (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
        self.cookie = f"{cookie.key}={cookie.value}"
        return cookie

    @asynccontextmanager
    async def asked(
        self, method: str, target: str, body: object = None, **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent["Cookie"] = self.cookie
        async with (
            aiohttp.ClientSession() as browser,
            browser.request(method, f"http://{self.host}{target}", headers=sent, json=body) as answer,
        ):
            yield answer


@asynccontextmanager
async def served(*, private: bool) -> AsyncIterator[Site]:
    """``private``: as on the LAN, but for TLS, which is not this test's business."""
    moment, listener = Moment(), socket.create_server(("127.0.0.1", 0))
    sessions = PageSessions(moment)
    page = WebPage(control_api(plant()), sessions, (), ["ucm-box", "ucm-box.local"])
    async with serving(page.application(private=private), listener):
        scheme = "https" if private else "http"
        yield Site(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", sessions, moment)


@pytest.fixture
async def page() -> AsyncIterator[Site]:
    async with served(private=False) as site:
        yield site


@pytest.fixture
async def lan() -> AsyncIterator[Site]:
    async with served(private=True) as site:
        yield site


# ---- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "localhost", "LOCALHOST:8470", "127.0.0.1", "[::1]:8470"])
async def test_pages_of_this_box_may_read(page: Site, host: str) -> None:
    assert await page.status(Host=host or page.host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8470", "192.0.2.7", "[::2]", ":8470", "ucm-box", "localhost:x"]
)
async def test_under_other_names_nothing_is_answered(page: Site, host: str) -> None:
    for target in ("/v1/status", "/", "/main.js"):
        status, answer = await page.ask(target=target, Host=host)
        assert (status, answer["error"]["code"]) == (403, "origin_refused")


async def test_another_page_s_script_may_not(page: Site) -> None:
    assert await page.status(Origin="http://evil.example") == 403
    assert await page.status(Origin="null") == 403
    assert await page.status(Origin=f"https://{page.host}") == 403
    assert await page.status(Origin=page.origin) == 200
    assert await page.status(Sec_Fetch_Site="cross-site") == 403
    assert await page.status(Sec_Fetch_Site="same-site") == 403
    assert await page.status(Sec_Fetch_Site="same-origin") == 200


async def test_a_link_from_elsewhere_leads_to_the_page(page: Site) -> None:
    assert await page.status(target="/", Sec_Fetch_Site="cross-site") == 200


@pytest.mark.parametrize("target", ["/v1/manifest", "/v1/orders", "/v1/provision", "/v1/page/login", "/v1/api"])
async def test_what_has_secrets_is_not_there(page: Site, target: str) -> None:
    await page.sign_in()
    assert (await page.act(target))[0] in (404, 405)
    assert await page.status(target=target) == 404


# ---- acting ----------------------------------------------------------------------------------------


async def test_who_has_not_signed_in_changes_nothing(page: Site) -> None:
    status, answer = await page.act("/v1/modules/anything/retry")
    assert (status, answer["error"]["code"]) == (401, "sign_in_needed")
    assert "ucmctl page-login" in answer["error"]["message"]


async def test_who_has_signed_in_may_act(page: Site) -> None:
    await page.sign_in()
    status, answer = await page.act("/v1/modules/nobody/retry")
    assert (status, answer["error"]["code"]) == (404, "module_unknown")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-UCM-Page": "1"},
        {"Origin": "http://evil.example", "X-UCM-Page": "1"},
        {"Origin": "HERE"},
        {"Origin": "HERE", "X-UCM-Page": "yes"},
        {"Origin": "HERE", "X-UCM-Page": "1", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "HERE", "X-UCM-Page": "1", "Host": "evil.example"},
    ],
    ids=str,
)
async def test_a_change_must_come_from_our_own_page(page: Site, headers: dict[str, str]) -> None:
    """Also with the cookie, which a browser may send along."""
    await page.sign_in()
    here = {name: value.replace("HERE", page.origin) for name, value in headers.items()}
    status, answer = await page.ask("POST", "/v1/modules/nobody/retry", {}, **here)
    assert (status, answer["error"]["code"]) == (403, "origin_refused")


async def test_a_browser_that_sends_no_origin_says_that_it_is_the_same(page: Site) -> None:
    await page.sign_in()
    headers = {"X-UCM-Page": "1", "Sec-Fetch-Site": "same-origin"}
    assert (await page.ask("POST", "/v1/modules/nobody/retry", {}, **headers))[0] == 404


# ---- signing in ------------------------------------------------------------------------------------


async def test_a_browser_learns_who_it_is(page: Site) -> None:
    assert await page.ask(target="/v1/page") == (200, PageView(signed_in_as=None, private=False))
    await page.sign_in()
    assert await page.ask(target="/v1/page") == (200, PageView(signed_in_as="anna", private=False))


@pytest.mark.parametrize("private", [False, True])
async def test_no_script_and_no_other_site_gets_at_the_cookie(*, private: bool) -> None:
    async with served(private=private) as site:
        cookie = await site.sign_in()
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert bool(cookie["secure"]) == private
    assert cookie.key.startswith("__Host-") == private


async def test_an_invitation_works_once(page: Site) -> None:
    token = page.sessions.invite("anna").reveal()
    await page.sign_in(token)
    status, answer = await page.act("/v1/page/sign-in", {"token": token})
    assert (status, answer["error"]["code"]) == (403, "sign_in_invalid")
    assert token not in str(answer)


async def test_an_invitation_works_soon_or_never(page: Site) -> None:
    token = page.sessions.invite("anna").reveal()
    page.moment.now += policy.SIGN_IN_LIFETIME
    assert (await page.act("/v1/page/sign-in", {"token": token}))[0] == 403


async def test_a_session_ends_with_the_day_and_when_somebody_signs_out(page: Site) -> None:
    await page.sign_in()
    page.moment.now += policy.PAGE_SESSION_LIFETIME
    assert (await page.act("/v1/modules/nobody/retry"))[0] == 401
    await page.sign_in()
    assert (await page.act("/v1/page/sign-out"))[0] == 200
    assert (await page.act("/v1/modules/nobody/retry"))[0] == 401


@pytest.mark.parametrize("cookie", ["ucm-page=", "ucm-page=nobody", "other=1"])
async def test_other_cookies_are_nobody_s(page: Site, cookie: str) -> None:
    page.cookie = cookie
    assert (await page.act("/v1/modules/nobody/retry"))[0] == 401


@pytest.mark.parametrize("body", [[], {}, {"token": 1}, {"token": "x" * 5000}, {"token": "x", "more": 1}])
async def test_what_is_no_sign_in_is_refused(page: Site, body: object) -> None:
    status, answer = await page.act("/v1/page/sign-in", body)
    assert (status, answer["error"]["code"]) == (400, "request_invalid")


def test_invitations_and_sessions_are_bounded_and_the_oldest_give_way() -> None:
    sessions = PageSessions(Moment())
    first = sessions.invite("anna").reveal()
    cookies = []
    for _ in range(policy.PAGE_SESSIONS_OPEN + 1):
        _, cookie = sessions.sign_in(sessions.invite("anna").reveal())
        cookies.append(cookie.reveal())
    assert sessions.find(cookies[0]) is None
    assert all(sessions.find(cookie) for cookie in cookies[1:])
    for _ in range(policy.SIGN_INS_OPEN):
        sessions.invite("bert")
    with pytest.raises(Exception, match="SIGN_IN_INVALID"):
        sessions.sign_in(first)


# ---- on the LAN ------------------------------------------------------------------------------------


async def test_on_the_lan_reading_needs_a_sign_in_too(lan: Site) -> None:
    for target in ("/v1/status", "/v1/modules", "/v1/events", "/anything"):
        status, answer = await lan.ask(target=target)
        assert (status, answer["error"]["code"]) == (401, "sign_in_needed")
    assert await lan.ask(target="/v1/page") == (200, PageView(signed_in_as=None, private=True))
    assert await lan.status(target="/") == 200


async def test_on_the_lan_the_box_is_known_by_its_names_and_the_address_that_was_asked(lan: Site) -> None:
    for host in ("ucm-box:8471", "UCM-Box.local", "127.0.0.1:8471"):
        assert await lan.status(target="/", Host=host) == 200
    for host in ("localhost", "192.0.2.7:8471", "evil.example"):
        assert await lan.status(target="/", Host=host) == 403


async def test_a_stream_ends_with_the_session(lan: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FEED_HEARTBEAT", 0.01)
    cookie = await lan.sign_in()
    async with lan.asked("GET", "/v1/events") as stream:
        assert await stream.content.readline()
        lan.sessions.sign_out(cookie.value)
        async with asyncio.timeout(10):
            assert b"event: snapshot" in await stream.content.read()


# ---- what a browser is given -----------------------------------------------------------------------


async def test_the_page_allows_nothing_but_itself(page: Site) -> None:
    async with page.asked("GET", "/") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        rules = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache"
        text = await answer.text()
    assert "default-src 'self'" in rules
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in rules
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", text)


async def test_files_are_kept_by_the_browser_until_they_change(page: Site) -> None:
    async with page.asked("GET", "/main.js") as answer:
        tag = answer.headers["ETag"]
    assert await page.status(target="/main.js", If_None_Match=tag) == 304
    assert await page.status(target="/main.js", If_None_Match='"older"') == 200


@pytest.mark.parametrize("name", ASSETS)
async def test_every_file_is_served(page: Site, name: str) -> None:
    assert await page.status(target=f"/{name}") == 200


@pytest.mark.parametrize("target", ["/web.py", "/../web.py", "/%2e%2e/web.py", "/page/main.js", "//main.js"])
async def test_nothing_else_is(page: Site, target: str) -> None:
    assert await page.status(target=target) == 404


def test_the_page_works_offline_with_all_of_its_files() -> None:
    kept = set(re.findall(r'"/([^"/]*)"', (FOLDER / "sw.js").read_text())) - {""}
    assert kept == set(ASSETS) - {"index.html", "sw.js"}


def test_the_browser_is_told_of_every_module_at_once() -> None:
    told = set(re.findall(r'rel="modulepreload" href="/([^"]+)"', (FOLDER / "index.html").read_text()))
    assert told == {name for name in ASSETS if name.endswith(".js")} - {"main.js", "theme.js", "sw.js"}


def test_no_file_asks_anybody_else_or_makes_markup_of_text() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in (".js", ".css", ".html"):
            text = path.read_text()
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
