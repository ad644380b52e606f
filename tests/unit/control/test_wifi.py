"""The site's networks over the control socket: passphrases go in and never come out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.unit.control.known_modules import control_api, plant
from ucm_provision.control.listening import serving_at
from ucm_provision.control.wifi import WifiRoutes
from ucm_provision.core.model import WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.site.wifi import Profiles
from ucm_provision.store.sealed import SealedStore

CANARY = "canary-5f1c"
PLANT = {"ssid": "plant", "open": False, "hidden": False, "bssid": None}


@pytest.fixture
async def profiles(tmp_path: Path) -> Profiles:
    return Profiles((WifiNetwork("plant", Secret(CANARY)),), await SealedStore.open(tmp_path / "state", None))


@pytest.fixture
async def client(tmp_path: Path, profiles: Profiles) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "control.sock"
    async with (
        serving_at(control_api(plant(), None, WifiRoutes(profiles)).application(), path),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def ask(client: aiohttp.ClientSession, what: str = "", body: Any = None) -> tuple[int, Any]:
    method = "POST" if what else "GET"
    async with client.request(method, f"/v1/wifi{what}", json=body) as response:
        text = await response.text()
        assert CANARY not in text
        return response.status, await response.json()


async def test_the_list_and_whose_choice_it_is(client: aiohttp.ClientSession) -> None:
    answer = {"networks": [PLANT], "chosen_by": "configuration", "configured": ["plant"]}
    assert await ask(client) == (200, answer)


async def test_every_change_answers_with_the_list_after_it(
    client: aiohttp.ClientSession, profiles: Profiles, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {"ssid": "new", "passphrase": CANARY, "hidden": True, "bssid": "AA:BB:CC:DD:EE:FF", "first": True}
    status, answer = await ask(client, "/add", new)
    shown = {"ssid": "new", "open": False, "hidden": True, "bssid": "aa:bb:cc:dd:ee:ff"}
    assert (status, answer) == (
        200,
        {"networks": [shown, PLANT], "chosen_by": "operator", "configured": ["plant"]},
    )
    assert profiles.networks[0] == WifiNetwork("new", Secret(CANARY), True, bytes.fromhex("aabbccddeeff"))
    assert (await ask(client, "/prefer", {"ssid": "plant"}))[1]["networks"] == [PLANT, shown]
    assert (await ask(client, "/drop", {"ssid": "new"}))[1]["networks"] == [PLANT]
    status, answer = await ask(client, "/add", {"ssid": "guests"})
    assert answer["networks"][1] == {"ssid": "guests", "open": True, "hidden": False, "bssid": None}
    assert (await ask(client, "/reset"))[1]["chosen_by"] == "configuration"
    logged = capsys.readouterr().out
    assert logged.count("wifi networks changed") == 5
    assert CANARY not in logged


@pytest.mark.parametrize(
    ("what", "body", "expected"),
    [
        ("/add", {"ssid": "", "passphrase": CANARY}, (400, "wifi_invalid")),
        ("/add", {"ssid": "x" * 33, "passphrase": CANARY}, (400, "wifi_invalid")),
        ("/add", {"ssid": "new", "passphrase": CANARY * 7}, (400, "wifi_invalid")),
        ("/add", {"ssid": "new", "passphrase": "short"}, (400, "wifi_invalid")),
        ("/add", {"ssid": "new", "bssid": "here"}, (400, "wifi_invalid")),
        ("/add", {"passphrase": CANARY}, (400, "request_invalid")),
        ("/add", {"ssid": "new", "passphrase": [CANARY]}, (400, "request_invalid")),
        ("/add", {"ssid": "new", "passphrase": CANARY * 1000}, (400, "request_invalid")),
        ("/add", {"ssid": "new", "password": CANARY}, (400, "request_invalid")),
        ("/prefer", {"ssid": "nobody"}, (404, "wifi_unknown")),
        ("/drop", {"ssid": "nobody"}, (404, "wifi_unknown")),
        ("/drop", None, (400, "request_invalid")),
        ("/forget", None, (404, "request_invalid")),
    ],
)
async def test_what_is_refused_changes_nothing(
    client: aiohttp.ClientSession, profiles: Profiles, what: str, body: Any, expected: tuple[int, str]
) -> None:
    status, answer = await ask(client, what, body)
    assert (status, answer["error"]["code"]) == expected
    assert "short" not in answer["error"]["message"]
    assert not profiles.chosen_by_operators


async def test_a_fourth_network(client: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        await ask(client, "/add", {"ssid": name})
    status, answer = await ask(client, "/add", {"ssid": "c"})
    assert (status, answer["error"]["code"]) == (409, "wifi_full")
    assert "(plant, a, b)" in answer["error"]["message"]


async def test_a_disk_that_is_full_is_told(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    (tmp_path / "state" / ".secrets.sealed.new").mkdir()
    status, answer = await ask(client, "/add", {"ssid": "new", "passphrase": CANARY})
    assert (status, answer["error"]["code"]) == (503, "secrets_not_kept")
