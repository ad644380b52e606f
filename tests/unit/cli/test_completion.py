"""The names of modules, completed by the shell as the daemon knows them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.cli.terminal import UCMCTL
from tests.unit.control.known_modules import FIRST, SECOND, KnownModules, control_api, plant
from ucm_provision.control.listening import serving_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def known(path: Path) -> AsyncIterator[KnownModules]:
    known = plant()
    async with serving_at(control_api(known).application(), path):
        yield known


async def completed(path: Path, *words: str) -> tuple[list[str], str]:
    """What bash is offered for the last of the words, and what else was said."""
    line = ["ucmctl", "--socket", str(path), *words]
    environment = {
        **os.environ,
        "_UCMCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    process = await asyncio.create_subprocess_exec(*UCMCTL, env=environment, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0
    offers = [offer.partition(",")[2] for offer in out.decode().splitlines()]
    return [offer for offer in offers if offer], err.decode()


@pytest.mark.parametrize("command", [["show"], ["wifi", "scan"], ["replace"], ["forget", "--wipe"]])
async def test_what_may_be_typed_without_quotes_is_offered(path: Path, known: KnownModules, command: list[str]) -> None:
    assert await completed(path, *command, "") == (["boiler-room", "Pump", "ttyUSB2"], "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("Pu", ["Pump"]), ("boi", ["boiler-room"]), ("ttyUSB", ["ttyUSB0", "ttyUSB1", "ttyUSB2"]),
     ("c8795cba", [FIRST, SECOND]), ("zzz", [])],
)  # fmt: skip
async def test_what_is_typed_decides(path: Path, known: KnownModules, typed: str, offered: list[str]) -> None:
    assert await completed(path, "show", typed) == (offered, "")


async def test_without_a_daemon_there_is_nothing_to_offer_and_nothing_to_say(path: Path) -> None:
    assert await completed(path, "show", "") == ([], "")


async def test_a_daemon_that_does_not_answer_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        began = time.monotonic()
        assert await completed(path, "show", "") == ([], "")
        assert time.monotonic() - began < 10.0  # the daemon's own deadline is 30 s


async def test_commands_are_completed_without_a_daemon(path: Path) -> None:
    offered, said = await completed(path, "for")
    assert (offered, said) == (["forget"], "")
