"""ucmctl logs asks journalctl, in its own place, for what concerns one module."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.cli.test_ucmctl import Outcome, run
from tests.unit.control.known_modules import FIRST, KnownModules, control_api, plant
from ucm_provision.control.listening import serving_at

AS_ON_A_BOX = (
    "import sys; from pathlib import Path; from ucm_provision.cli import logs, main; "
    "logs._JOURNALD = Path(sys.argv.pop(1)); main.main()"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def known(path: Path) -> AsyncIterator[KnownModules]:
    known = plant()
    async with serving_at(control_api(known).application(), path):
        yield known


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A journalctl that tells what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    journalctl = folder / "journalctl"
    journalctl.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    journalctl.chmod(0o755)
    return folder


async def logs(path: Path, journald: Path, tools: Path | str, *arguments: str) -> Outcome:
    command = (sys.executable, "-c", AS_ON_A_BOX, journald, "--socket", path, "logs", *arguments)
    return await run(*command, PATH=str(tools))


async def test_a_module_s_entries_and_those_from_before_it_had_a_name(
    path: Path, known: KnownModules, tools: Path, tmp_path: Path
) -> None:
    outcome = await logs(path, tmp_path, tools, "Boiler room", "--follow", "--since", "8h", "-n", "5")
    assert outcome.out.splitlines() == [
        "--output=short-iso",
        "--follow",
        "--since=-8h",
        "--lines=5",
        f"UCM_HWID={FIRST}",
        "+",
        "UCM_SESSION=aaaaaaaaaaaa",
    ]


async def test_a_port_that_nobody_has_named_and_every_field(
    path: Path, known: KnownModules, tools: Path, tmp_path: Path
) -> None:
    outcome = await logs(path, tmp_path, tools, "ttyUSB2", "--json", "--since", "today; rm -rf /")
    assert outcome.out.splitlines() == [
        "--output=json",
        "--no-pager",
        "--since=today; rm -rf /",
        "UCM_SESSION=cccccccccccc",
    ]


async def test_what_was_forgotten_is_found_by_its_whole_id_also_without_the_daemon(
    path: Path, tools: Path, tmp_path: Path
) -> None:
    outcome = await logs(path, tmp_path, tools, FIRST.lower())
    assert outcome.out.splitlines() == ["--output=short-iso", f"UCM_HWID={FIRST}"]
    outcome = await logs(path, tmp_path, tools, FIRST[:8])
    assert (outcome.status, outcome.err.partition(":")[0]) == (5, "DAEMON_UNREACHABLE")


async def test_nobody_answers_to_that(path: Path, known: KnownModules, tools: Path, tmp_path: Path) -> None:
    outcome = await logs(path, tmp_path, tools, "nobody")
    assert (outcome.status, outcome.out, outcome.err.partition(":")[0]) == (3, "", "MODULE_UNKNOWN")


@pytest.mark.parametrize("missing", ["journald", "bin"])
async def test_where_nobody_keeps_a_journal(
    path: Path, known: KnownModules, tools: Path, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "journald").mkdir()
    (tmp_path / missing).rename(tmp_path / "away")
    outcome = await logs(path, tmp_path / "journald", tools, "Boiler room")
    assert (outcome.status, outcome.out) == (5, "")
    assert outcome.err.startswith("There is no journald on this machine.")
    assert FIRST in outcome.err


@pytest.mark.system
async def test_the_real_journalctl_takes_these_words(path: Path, known: KnownModules, tmp_path: Path) -> None:
    found = shutil.which("journalctl")
    assert found, "apt install systemd"
    words = ("Boiler room", "--since", "2 hours ago", "--lines", "3", "--json")
    outcome = await logs(path, tmp_path, Path(found).parent, *words)
    assert (outcome.status, outcome.out) == (0, "")
    outcome = await logs(path, tmp_path, Path(found).parent, "Boiler room", "--since", "the day before")
    assert outcome.status == 1
    assert "Failed to parse timestamp" in outcome.err
