"""ucmctl wifi, a process of its own, at a real control socket."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.cli.test_ucmctl import UCMCTL, Outcome, ucmctl
from tests.unit.control.known_modules import control_api, plant
from ucm_provision.control.listening import serving_at
from ucm_provision.control.wifi import WifiRoutes
from ucm_provision.core.errors import Exit
from ucm_provision.core.model import WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.site.wifi import Profiles
from ucm_provision.store.sealed import SealedStore

CANARY = "canary-5f1c"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def profiles(tmp_path: Path, path: Path) -> AsyncIterator[Profiles]:
    configured = (WifiNetwork("plant", Secret("configured secret")), WifiNetwork("guests", hidden=True))
    profiles = Profiles(configured, await SealedStore.open(tmp_path / "state", None))
    async with serving_at(control_api(plant(), None, WifiRoutes(profiles)).application(), path):
        yield profiles


async def fed(path: Path, text: bytes, *arguments: str) -> Outcome:
    """With something other than a terminal on its standard input."""
    child = await asyncio.create_subprocess_exec(
        UCMCTL, "--socket", path, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await child.communicate(text)
    assert child.returncode is not None
    return Outcome(child.returncode, out.decode(), err.decode())


CONFIGURED = [
    "SSID    PASSPHRASE  HIDDEN  ACCESS POINT",
    "plant   set         no      any",
    "guests  none        yes     any",
    "",
    "As the configuration says.",
]


async def test_the_networks_and_whose_choice_they_are(path: Path, profiles: Profiles) -> None:
    plain, as_json = await asyncio.gather(ucmctl(path, "wifi", "show"), ucmctl(path, "wifi", "show", "--json"))
    assert (plain.status, plain.out.splitlines()) == (0, CONFIGURED)
    assert (as_json.json["chosen_by"], as_json.json["configured"]) == ("configuration", ["plant", "guests"])


async def test_a_network_is_added_preferred_dropped_and_all_is_undone(path: Path, profiles: Profiles) -> None:
    bssid = ("--bssid", "AA:BB:CC:DD:EE:FF")
    added = await fed(path, f"{CANARY}\nnext".encode(), "wifi", "add", "new", "--passphrase-file", "-", *bssid)
    assert (added.status, added.err) == (0, "")
    assert added.out.splitlines() == [
        "SSID    PASSPHRASE  HIDDEN  ACCESS POINT",
        "plant   set         no      any",
        "guests  none        yes     any",
        "new     set         no      aa:bb:cc:dd:ee:ff",
        "",
        "As operators chose. ucmctl wifi reset returns to those of the configuration: plant, guests.",
    ]
    assert profiles.networks[2] == WifiNetwork("new", Secret(CANARY), bssid=bytes.fromhex("aabbccddeeff"))
    assert (await ucmctl(path, "wifi", "prefer", "new")).out.splitlines()[1].startswith("new ")
    dropped = await ucmctl(path, "wifi", "drop", "guests", "--json")
    assert [network["ssid"] for network in dropped.json["networks"]] == ["new", "plant"]
    assert (await ucmctl(path, "wifi", "reset")).out.splitlines() == CONFIGURED


async def test_a_passphrase_from_a_file_and_an_open_network(path: Path, profiles: Profiles, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f" {CANARY} \r\n")
    await ucmctl(path, "wifi", "add", "plant", "--passphrase-file", str(file))
    opened = await ucmctl(path, "wifi", "add", "open", "--open", "--hidden", "--first")
    assert opened.status == 0
    assert profiles.networks[:2] == (WifiNetwork("open", hidden=True), WifiNetwork("plant", Secret(f" {CANARY} ")))


async def test_without_networks(path: Path, profiles: Profiles) -> None:
    await ucmctl(path, "wifi", "drop", "plant")
    none = await ucmctl(path, "wifi", "drop", "guests")
    assert none.out.splitlines()[0] == "No network: modules keep theirs."


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (b"", [], "there is no terminal to ask for the passphrase"),
        (b"\nrest", ["--passphrase-file", "-"], "is empty; a network without a passphrase is --open"),
        (b"", ["--passphrase-file", "-"], "is empty; a network without a passphrase is --open"),
        (b"\xff\xfe", ["--passphrase-file", "-"], "is not UTF-8 text"),
        (b"x", ["--passphrase-file", "-", "--open"], "an --open network has no --passphrase-file"),
        (b"canary", ["--passphrase-file", "-"], "WIFI_INVALID"),
        (b"", ["--open", "--bssid", "here"], "WIFI_INVALID"),
    ],
)
async def test_a_slip_is_told_and_changes_nothing(
    path: Path, profiles: Profiles, text: bytes, arguments: list[str], said: str
) -> None:
    outcome = await fed(path, text, "wifi", "add", "new", *arguments)
    assert (outcome.status, outcome.out) == (Exit.USAGE, "")
    assert said in outcome.err
    assert "canary" not in outcome.err
    assert not profiles.chosen_by_operators


async def test_a_network_that_is_not_there(path: Path, profiles: Profiles) -> None:
    outcome = await ucmctl(path, "wifi", "drop", "nobody")
    assert (outcome.status, outcome.err.partition(":")[0]) == (Exit.NOT_FOUND, "WIFI_UNKNOWN")


async def typed(path: Path, *lines: str) -> tuple[int, str]:
    """What a person sees who is asked for the passphrase on a terminal, and answers with these lines."""
    ours, theirs = pty.openpty()
    command = (str(UCMCTL), "--socket", str(path), "wifi", "add", "new")
    # A session of its own, so that this terminal is the one that the passphrase is asked on.
    script = (
        "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *command, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = await asyncio.to_thread(_converse, ours, list(lines))
    os.close(ours)
    return await child.wait(), said


def _converse(terminal: int, lines: list[str]) -> str:
    """Answers each question as it comes: what is typed before it is thrown away with the echo."""
    said, answered = "", 0
    while True:
        try:
            said += os.read(terminal, 1000).decode()
        except OSError:  # the other end is closed
            return said
        if lines and said.count(": ") > answered and said.endswith(": "):
            answered = said.count(": ")
            os.write(terminal, lines.pop(0).encode() + b"\n")


async def test_a_passphrase_is_asked_for_twice_without_an_echo(path: Path, profiles: Profiles) -> None:
    status, said = await typed(path, CANARY, "a slip of the hand", CANARY, CANARY)
    assert status == 0
    assert said.count("Passphrase: ") == 2
    assert CANARY not in said
    assert profiles.networks[2] == WifiNetwork("new", Secret(CANARY))


async def test_every_command_has_an_example() -> None:
    for name in ("show", "add", "prefer", "drop", "reset"):
        outcome = await ucmctl(Path("nowhere"), "wifi", name, "--help")
        assert f"Example: ucmctl wifi {name}" in outcome.out
