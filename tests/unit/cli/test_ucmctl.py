"""ucmctl as a person and a script meet it: a process of its own, speaking to a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control.known_modules import FIRST, PUMP_WAITS, SECOND, KnownModules, control_api, named, plant
from ucm_provision.cli.client import ControlClient, DaemonError
from ucm_provision.control.listening import serving_at
from ucm_provision.core.errors import Exit, UcmError

UCMCTL = Path(sys.executable).with_name("ucmctl")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)


async def run(*arguments: str | Path, **environment: str) -> Outcome:
    inherited = {name: value for name, value in os.environ.items() if name != "UCM_CONTROL_SOCKET"}
    child = await asyncio.create_subprocess_exec(
        *arguments, stdout=PIPE, stderr=PIPE, env={**inherited, "TZ": "UTC", **environment}
    )
    async with asyncio.timeout(20.0):
        out, err = await child.communicate()
    assert child.returncode is not None
    return Outcome(child.returncode, out.decode(), err.decode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def known(path: Path) -> AsyncIterator[KnownModules]:
    known = plant()
    async with serving_at(control_api(known).application(), path):
        yield known


async def ucmctl(path: Path, *arguments: str) -> Outcome:
    return await run(UCMCTL, "--socket", path, *arguments)


# ---- the daemon answers --------------------------------------------------------------------------


async def test_the_site_at_a_glance(path: Path, known: KnownModules) -> None:
    outcome = await run(UCMCTL, "status", UCM_CONTROL_SOCKET=str(path))
    lines = outcome.out.splitlines()
    assert (outcome.status, outcome.err) == (0, "")
    assert lines[0].startswith("daemon    0.1.0, up ")
    assert lines[0].endswith(" d, box box-a")
    assert lines[1:] == [
        "API       https://api.test, site site-1",
        "witness   connected",
        "Wi-Fi     plant, guests",
        "modules   1 verified, 1 needs you, 1 seen",
    ]


async def test_the_modules_a_line_each_and_what_they_wait_for(path: Path, known: KnownModules) -> None:
    outcome = await ucmctl(path, "list")
    assert outcome.out.splitlines() == [
        "NAME         HARDWARE ID                       MODEL    WHERE         STATE",
        f"Boiler room  {FIRST}  ENP-RL6  /dev/ttyUSB0  verified",
        f"Pump         {SECOND}  ENP-RL6  /dev/ttyUSB1  needs you",
        f"  {PUMP_WAITS}",
        "-            not known yet                     -        /dev/ttyUSB2  seen",
    ]


async def test_one_module_with_its_history(path: Path, known: KnownModules) -> None:
    outcome = await ucmctl(path, "show", "Boiler room")
    assert outcome.out.splitlines() == [
        f"hardware id  {FIRST}",
        "name         Boiler room",
        "model        ENP-RL6 2.4.1",
        "endpoint     /dev/ttyUSB0",
        "state        verified",
        "device       device-1 boiler-room",
        "protocol     MQTTS",
        "evidence     reports ONLINE on plant (-61 dBm); witness saw a message",
        "",
        "2023-11-14 22:13:20  Seen at /dev/ttyUSB0.",
        f"2023-11-14 22:13:21  Identified as ENP-RL6 {FIRST}, firmware 2.4.1.",
        '2023-11-14 22:13:22  Will be "Boiler room" on site site-1, with MQTTS.',
        "2023-11-14 22:13:23  Device device-1 (boiler-room) in the provisioning API.",
        "2023-11-14 22:13:24  Verified at generation 1: the module reports ONLINE, and the witness saw a message.",
    ]


async def test_scripts_get_the_daemon_s_own_answers(path: Path, known: KnownModules) -> None:
    status, modules, module, seen = await asyncio.gather(
        ucmctl(path, "status", "--json"),
        ucmctl(path, "list", "--json"),
        ucmctl(path, "show", "--json", "pump".title()),
        ucmctl(path, "list", "--state", "seen", "--json"),
    )
    assert status.json == known.status()
    assert modules.json == {"modules": known.views()}
    assert module.json == {"module": known.views()[1], "timeline": known.histories["bbbbbbbbbbbb"]}
    assert [module["session"] for module in seen.json["modules"]] == ["cccccccccccc"]


async def test_a_module_that_nobody_or_more_than_one_answers_to(path: Path, known: KnownModules) -> None:
    unknown, ambiguous = await asyncio.gather(ucmctl(path, "show", "nobody"), ucmctl(path, "show", "c8795", "--json"))
    assert (unknown.status, unknown.out) == (Exit.NOT_FOUND, "")
    assert unknown.err.startswith("MODULE_UNKNOWN: ")
    assert "(nobody) docs/OPERATIONS.md#module-unknown" in unknown.err
    assert (ambiguous.status, ambiguous.out) == (Exit.NOT_FOUND, "")
    assert f"({FIRST}, {SECOND})" in ambiguous.err
    assert "Traceback" not in unknown.err + ambiguous.err


ODD_NAMES = [
    "Boiler/room", "Tank {1}", "100 %", "%2F", "a?b#c&d=e", "Kesselraum Süd", "a+b", "back\\slash", 'said "so"', "...",
    "..", ".", "-v", "emoji 🔥", "semi;colon", " padded ", "[x]", "a:b@c",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_module_is_found_whatever_its_name(path: Path, known: KnownModules, name: str) -> None:
    known.add("dddddddddddd", *named(name, "F" * 32), number=7)
    answer = await asyncio.to_thread(ControlClient(str(path)).get, "modules", name)
    assert answer["module"]["name"] == name


async def test_odd_names_on_a_real_command_line(path: Path, known: KnownModules) -> None:
    known.add("dddddddddddd", *named("Kessel/Süd 100 %", "E" * 32), number=7)
    known.add("eeeeeeeeeeee", *named("--json", "F" * 32), number=8)
    slash, option = await asyncio.gather(
        ucmctl(path, "show", "--json", "Kessel/Süd 100 %"), ucmctl(path, "show", "--json", "--", "--json")
    )
    assert slash.json["module"]["name"] == "Kessel/Süd 100 %"
    assert "Süd" in slash.out
    assert option.json["module"]["name"] == "--json"


# ---- nobody answers, or somebody else ------------------------------------------------------------


async def test_no_daemon(path: Path) -> None:
    outcome = await ucmctl(path, "status")
    assert (outcome.status, outcome.out) == (Exit.UNAVAILABLE, "")
    assert outcome.err.startswith("DAEMON_UNREACHABLE: ")
    assert str(path) in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nnull",
        b'HTTP/1.1 500 Oops\r\nContent-Length: 11\r\n\r\n{"error":0}',
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
def test_what_answers_is_not_the_daemon(path: Path, answer: bytes) -> None:
    with pytest.raises(UcmError) as failed:
        asked_of(path, answer)
    assert failed.value.failure.exit_status == Exit.UNAVAILABLE


def test_a_refusal_that_only_a_newer_daemon_knows(path: Path) -> None:
    body = b'{"error":{"code":"moon_phase","message":"MOON_PHASE: wait."}}'
    with pytest.raises(DaemonError, match=r"^MOON_PHASE: wait\.$") as failed:
        asked_of(path, b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert failed.value.exit_status == Exit.FAILED


def asked_of(path: Path, answer: bytes) -> object:
    """Asks for the status, and gets ``answer`` whoever it is from."""

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def exchange() -> object:
        async with await asyncio.start_unix_server(impostor, path):
            return await asyncio.to_thread(ControlClient(str(path)).get, "status")

    return asyncio.run(exchange())


def test_a_daemon_that_never_answers_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ucm_provision.cli.client._DEADLINE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(UcmError, match="timed out"):
            ControlClient(str(path)).get("status")


# ---- starting ------------------------------------------------------------------------------------


HEAVY = {
    "aiohttp",
    "structlog",
    "msgspec",
    "cryptography",
    "asyncio",
    "google",
    "paho",
    "aiomqtt",
    "serial",
    "pyudev",
    "zeroconf",
    "rich",
}


@pytest.mark.parametrize("command", [["--help"], ["status"], ["list"], ["retry", "--all"], ["orders"]])
async def test_it_starts_without_the_daemon_s_libraries(path: Path, known: KnownModules, command: list[str]) -> None:
    script = (
        "import sys, ucm_provision.cli.main as cli\n"
        "try: cli.ucmctl(sys.argv[1:])\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    outcome = await run(sys.executable, "-c", script, "--socket", path, *command)
    imported = outcome.err.split()
    assert "ucm_provision.cli.main" in imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()
    assert ("ucm_provision.cli.provision" in imported) == (command == ["--help"])  # which says what each is for


async def test_help_and_version_need_no_daemon() -> None:
    helped, version, wrong = await asyncio.gather(
        run(UCMCTL, "show", "--help"), run(UCMCTL, "--version"), run(UCMCTL, "dance")
    )
    assert (helped.status, version.status, wrong.status) == (0, 0, Exit.USAGE)
    assert "Example: ucmctl show C8795CBA" in helped.out
    assert "dance" in wrong.err
