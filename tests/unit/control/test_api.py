"""The control socket: what it answers, and when it may be opened."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.unit.control.known_modules import FIRST, SECOND, control_api, plant
from ucm_provision.control.api import find
from ucm_provision.control.listening import serving_at
from ucm_provision.core.errors import Code, UcmError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
async def client(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serving_at(control_api(plant()).application(), path),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def ask(client: aiohttp.ClientSession, target: str, method: str = "GET") -> tuple[int, Any]:
    async with client.request(method, target) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


# ---- answers -------------------------------------------------------------------------------------


async def test_the_answers_are_the_public_shapes(client: aiohttp.ClientSession) -> None:
    known = plant()
    assert await ask(client, "/v1/status") == (200, known.status())
    assert await ask(client, "/v1/modules") == (200, {"modules": known.views()})
    assert await ask(client, f"/v1/modules/{FIRST}") == (
        200,
        {"module": known.views()[0], "timeline": known.histories["aaaaaaaaaaaa"]},
    )


@pytest.mark.parametrize(
    ("state", "sessions"), [("verified", "a"), ("SEEN", "c"), ("", "abc"), ("rejected", "")], ids=str
)
async def test_modules_of_one_state(client: aiohttp.ClientSession, state: str, sessions: str) -> None:
    _, answer = await ask(client, f"/v1/modules?state={state}")
    assert "".join(module["session"][0] for module in answer["modules"]) == sessions


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "request_invalid"),
        ("GET", "/v2/status", 404, "request_invalid"),
        ("GET", "/v1/modules/", 404, "request_invalid"),
        ("GET", "/v1/modules/a/b", 404, "request_invalid"),
        ("POST", "/v1/status", 405, "request_invalid"),
        ("DELETE", f"/v1/modules/{FIRST}", 405, "request_invalid"),
        ("GET", "/v1/modules/nobody", 404, "module_unknown"),
        ("GET", "/v1/modules/C8795CBA", 409, "module_ambiguous"),
    ],
)
async def test_every_refusal_has_a_body_that_programs_understand(
    client: aiohttp.ClientSession, method: str, target: str, status: int, code: str
) -> None:
    got, answer = await ask(client, target, method)
    assert (got, answer.keys(), answer["error"]["code"]) == (status, {"error"}, code)
    assert answer["error"]["message"].startswith(f"{code.upper()}: ")


async def test_what_goes_wrong_inside_is_not_told_outside(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = plant()

    def broken() -> Any:
        raise ZeroDivisionError("canary-5f1c")

    async with (
        serving_at(control_api(known, status=broken).application(), path),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as client,
    ):
        status, answer = await ask(client, "/v1/status")
        assert (status, answer["error"]["code"]) == (500, "internal")
        assert "canary-5f1c" not in str(answer)
        assert (await ask(client, "/v1/modules"))[0] == 200
    assert "control request failed" in capsys.readouterr().out


# ---- which module is meant -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "session"),
    [
        (FIRST, "a"),
        (FIRST.lower(), "a"),
        ("C8795CBA5375484E829105", "a"),
        ("c8795cba5375484e8291f", "b"),
        ("Boiler room", "a"),
        ("boiler-room", "a"),
        ("device-1", "a"),
        ("aaaaaaaaaaaa", "a"),
        ("Pump", "b"),
        ("/dev/ttyUSB2", "c"),
        ("cccccccccccc", "c"),
    ],
)
def test_a_module_is_found_by_whatever_a_person_calls_it(wanted: str, session: str) -> None:
    assert find(plant().views(), wanted)["session"][0] == session


@pytest.mark.parametrize("wanted", ["", "nobody", "boiler", "/dev/ttyUSB", "D"])
def test_an_unknown_module(wanted: str) -> None:
    with pytest.raises(UcmError) as refused:
        find(plant().views(), wanted)
    assert (refused.value.code, refused.value.detail) == (Code.MODULE_UNKNOWN, wanted)


def test_a_name_that_nobody_has_is_not_repeated_at_length() -> None:
    with pytest.raises(UcmError) as refused:
        find([], "x" * 10_000)
    assert refused.value.detail == "x" * 64


def test_an_ambiguous_module_names_the_candidates() -> None:
    with pytest.raises(UcmError) as refused:
        find(plant().views(), "c8")
    assert (refused.value.code, refused.value.detail) == (Code.MODULE_AMBIGUOUS, f"{FIRST}, {SECOND}")


# ---- the socket ----------------------------------------------------------------------------------


async def unusable(path: Path, code: Code = Code.CONTROL_UNUSABLE) -> str:
    with pytest.raises(UcmError) as refused:
        async with serving_at(control_api(plant()).application(), path):
            pytest.fail("it must not be opened")
    assert refused.value.code is code
    return refused.value.detail


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_only_owner_and_group_may_speak_to_the_daemon(path: Path) -> None:
    umask = os.umask(0)
    try:
        async with serving_at(control_api(plant()).application(), path):
            assert (mode(path), mode(path.parent)) == (0o660, 0o755)
    finally:
        os.umask(umask)
    assert list(path.parent.iterdir()) == []


async def test_a_socket_that_a_killed_daemon_left_is_replaced(path: Path) -> None:
    left_behind(path)
    async with serving_at(control_api(plant()).application(), path), aiohttp.UnixConnector(str(path)) as connector:
        client = aiohttp.ClientSession("http://localhost", connector=connector, connector_owner=False)
        async with client:
            assert (await ask(client, "/v1/status"))[0] == 200


def left_behind(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()


async def test_a_second_daemon_leaves_the_first_alone(path: Path, client: aiohttp.ClientSession) -> None:
    assert await unusable(path, Code.ALREADY_RUNNING) == f"it answers on {path}"
    assert (await ask(client, "/v1/status"))[0] == 200


async def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    occupied(path)
    assert await unusable(path) == f"{path}: Address already in use"
    assert content(path) == "somebody's notes"


def occupied(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("somebody's notes")


def content(path: Path) -> str:
    return path.read_text()


async def test_a_path_that_is_too_long_for_a_socket(path: Path) -> None:
    long = path.with_name("s" * 120)
    assert await unusable(long) == f"{long}: AF_UNIX path too long"


async def test_a_folder_that_cannot_be_made(path: Path) -> None:
    occupied(path)
    inside = path / "deeper" / "control.sock"
    assert await unusable(inside) == f"{inside}: Not a directory"
