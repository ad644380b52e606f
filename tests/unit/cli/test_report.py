"""ucmctl report as a person and a script meet it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest

from tests.unit.cli.test_ucmctl import UCMCTL, Outcome, run
from tests.unit.control.known_modules import control_api, plant
from tests.unit.site.sample_report import facts
from ucm_provision.cli.report import _since
from ucm_provision.control.listening import serving_at
from ucm_provision.control.report import ReportRoutes
from ucm_provision.site.report import Facts


async def gathered() -> Facts:
    return facts()


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "control.sock"
    async with serving_at(control_api(plant(), readable=[ReportRoutes(gathered)]).application(), path):
        yield path


async def report(path: Path, *arguments: str) -> Outcome:
    return await run(UCMCTL, "--socket", path, "report", *arguments)


async def test_a_script_gets_it_on_standard_output(path: Path) -> None:
    assert (await report(path)).out.startswith("<!doctype html>")
    assert (await report(path, "--format", "csv")).out.startswith("\ufeffrecord,")
    for arguments in (["--json"], ["--format", "json"], ["--json", "--output", "-"]):
        assert (await report(path, *arguments)).json["counts"]["modules"] == 9


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (["report.html"], "<!doctype html>"),
        (["report.csv"], "\ufeffrecord,"),
        (["report.json"], "{"),
        (["report"], "<!doctype html>"),
        (["report.csv", "--format", "json"], "{"),
    ],
)
async def test_a_file_is_of_the_kind_that_its_name_says(
    path: Path, tmp_path: Path, arguments: list[str], beginning: str
) -> None:
    name, *more = arguments
    outcome = await report(path, "--output", str(tmp_path / name), *more)
    assert (outcome.status, outcome.out, outcome.err) == (0, f"{tmp_path / name}\n", "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)
    assert files_in(tmp_path) == {"control.sock", name}, "nothing else was left"


def files_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_engineer_and_period_reach_the_daemon(path: Path) -> None:
    outcome = await report(path, "--json", "--engineer", "Jana & Søn", "--since", "2026-07-14T13:00+00:00")
    assert (outcome.json["engineer"], outcome.json["since"]) == ("Jana & Søn", 1_784_034_000.0)


async def in_a_terminal(path: Path, folder: Path, *arguments: str) -> str:
    """The beginning of what is said there. What follows, nobody reads."""
    ours, theirs = pty.openpty()
    try:
        child = await asyncio.create_subprocess_exec(
            UCMCTL, "--socket", path, "report", *arguments, stdout=theirs, stderr=theirs, cwd=folder
        )
        said = await asyncio.to_thread(os.read, ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    await child.wait()
    return said.decode().strip()


async def test_in_a_terminal_it_becomes_a_file_whose_name_is_told(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    said = await in_a_terminal(path, folder)
    (file,) = folder.iterdir()
    assert said == str(file)
    assert re.fullmatch(r"commissioning-report-\d{4}-\d\d-\d\d-\d{4}\.html", file.name)
    assert file.read_text().startswith("<!doctype html>")
    assert (await in_a_terminal(path, folder, "--json")).startswith("{"), "as with every other command"
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--since", "soon"], 2, "expected a day or time like"),
        (["--since", "0001-01-01"], 2, "expected a day or time like"),
        (["--json", "--format", "csv"], 2, "contradict each other"),
        (["--format", "pdf"], 2, "'pdf' is not one of"),
        (["--engineer", "x" * 200], 2, "REQUEST_INVALID"),
        (["--output", "/nowhere/at/all.html"], 1, "No such file or directory"),
    ],
)
async def test_what_cannot_be_is_told(path: Path, arguments: list[str], status: int, complaint: str) -> None:
    outcome = await report(path, *arguments)
    assert (outcome.status, outcome.out) == (status, "")
    assert complaint in outcome.err
    assert "Traceback" not in outcome.err


async def test_a_failure_leaves_the_report_of_yesterday(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("yesterday's")
    assert (await report(path, "--output", str(file), "--engineer", "x" * 200)).status == 2
    assert file.read_text() == "yesterday's"


@pytest.mark.parametrize(("text", "ago"), [("8h", 28_800), ("3d", 259_200), ("90m", 5_400)])
def test_a_while_ago(text: str, ago: float) -> None:
    assert float(_since(text)) == pytest.approx(time.time() - ago, abs=30)


def test_today_began_at_midnight_and_a_day_does_too() -> None:
    today = time.strftime("%Y-%m-%d")
    assert _since("today") == _since(today)
    assert time.localtime(float(_since("today")))[3:6] == (0, 0, 0)
    assert _since("") == ""


@pytest.mark.parametrize("text", ["0", "8 h", "-1d", "2026-13-01", "yesterday", "9" * 400 + "d"])
def test_no_time_at_all(text: str) -> None:
    with pytest.raises(click.BadParameter):
        _since(text)


async def test_the_help_has_an_example(path: Path) -> None:
    outcome = await report(path, "--help")
    assert "Example: ucmctl report" in outcome.out
    assert json.dumps("Jana Berg") in outcome.out
