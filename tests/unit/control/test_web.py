"""What is served over TCP: reading, for pages of this box."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.unit.control.known_modules import control_api, plant
from ucm_provision.control.listening import serving
from ucm_provision.control.web import reading


@pytest.fixture
async def page() -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serving(reading(control_api(plant())), listener):
        yield f"127.0.0.1:{port}"


async def ask(page: str, method: str = "GET", target: str = "/v1/status", **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as browser,
        browser.request(method, f"http://{page}{target}", headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.parametrize("host", ["", "localhost", "localhost:8470", "127.0.0.1", "[::1]:8470"])
async def test_pages_of_this_box_may_read(page: str, host: str) -> None:
    assert await ask(page, Host=host or page) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8470", "192.0.2.7", "[::2]", ":8470"])
async def test_others_may_not(page: str, host: str) -> None:
    assert await ask(page, Host=host) == 403


async def test_another_page_s_script_may_not(page: str) -> None:
    assert await ask(page, Origin="http://evil.example") == 403
    assert await ask(page, Origin="null") == 403
    assert await ask(page, Origin=f"http://{page}") == 200


async def test_nothing_can_be_changed_there(page: str) -> None:
    for target in ("/v1/modules/anything/retry", "/v1/wifi", "/v1/manifest"):
        assert await ask(page, "POST", target) in (404, 405)
    assert await ask(page, target="/v1/manifest") == 404
