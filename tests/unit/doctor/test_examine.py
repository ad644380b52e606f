"""All checks together, and how what they find is told."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from click import unstyle

from tests.unit.doctor.boxes import box_at, unprivileged
from ucm_provision.cli.doctor_text import finding_text, summary_text
from ucm_provision.core.errors import Code
from ucm_provision.doctor import disk, examine
from ucm_provision.doctor.finding import Finding, Level, counts, ok, problem, skipped, view, warn

# Stable: scripts go by them.
NAMES = {
    "service", "configuration", "operators", "daemon", "user", "rule", "ports", "adapters", "modemmanager", "brltty",
    "holders", "clock", "disk", "journal", "token", "secrets", "dns", "api", "broker", "mdns",
}  # fmt: skip
NO_NETWORK = '[api]\nurl = "gateway"\n[lan]\nmdns = false\n'


def test_every_check_says_something_of_a_box_where_nothing_is(tmp_path: Path) -> None:
    found = list(examine.examine(box_at(tmp_path, NO_NETWORK)))
    assert {each.check for each in found} == NAMES
    assert len(NAMES) == len(examine.CHECKS)


def test_every_check_says_something_to_a_stranger(public: Path) -> None:
    box = box_at(public, NO_NETWORK)
    with unprivileged():
        found = list(examine.examine(box))
    assert {each.check for each in found} == NAMES
    assert not [each for each in found if "doctor itself failed" in each.summary]


def test_checks_are_imported_when_their_turn_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def observed(name: str) -> object:
        imported.append(name)
        return import_module(name)

    monkeypatch.setattr(examine, "import_module", observed)
    findings = examine.examine(box_at(tmp_path, NO_NETWORK))
    next(findings)
    assert imported == ["ucm_provision.doctor.service"]


def test_a_check_that_breaks_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> disk.Room:
        raise ValueError("a secret of a label")

    monkeypatch.setattr(disk, "observe", broken)
    found = {each.check: each for each in examine.examine(box_at(tmp_path, NO_NETWORK))}
    assert found.keys() == NAMES
    assert found["disk"].level is Level.PROBLEM
    assert found["disk"].summary.startswith("The doctor itself failed here (ValueError at test_examine.py:")
    assert "secret" not in repr(found["disk"])


# ---- for people ----------------------------------------------------------------------------------


def plain(finding: Finding) -> list[str]:
    """As it comes out of a pipe: click takes the colours away there."""
    return unstyle(finding_text(view(finding))).splitlines()


def test_what_is_well_takes_one_line() -> None:
    assert plain(ok("clock", "It is synchronised.")) == ["ok       clock         It is synchronised."]
    assert plain(skipped("secrets", "Closed to you.", needs_root=True)) == ["skipped  secrets       Closed to you."]


def test_what_is_not_has_its_mend_below_it() -> None:
    found = problem("token", "There is none.", "Type it.", "Then Ctrl-D.", mend="sudo x", code=Code.TOKEN_MISSING)
    assert plain(found) == [
        "problem  token         There is none.",
        "         Type it.",
        "         Then Ctrl-D.",
        "         mend:  sudo x",
        "         more:  docs/OPERATIONS.md#token-missing",
    ]
    assert plain(replace(found, mend="", code=None, details=())) == ["problem  token         There is none."]


ROOT = "\nAll is well. Root sees more (holders, token): sudo ucmctl doctor"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([ok("a", "")], "\nAll is well."),
        ([warn("a", "")], "\n1 warning (a)."),
        ([problem("a", ""), problem("b", ""), warn("c", ""), ok("d", "")], "\n2 problems (a, b), 1 warning (c)."),
        ([skipped("holders", "", needs_root=True), skipped("token", "", needs_root=True), skipped("x", "")], ROOT),
    ],
)
def test_the_last_line(found: list[Finding], text: str) -> None:
    assert summary_text(found) == text


def test_a_full_stop_of_somebody_else_s_is_not_doubled() -> None:
    assert problem("api", "It says: no..").summary == warn("api", "It says: no").summary == "It says: no."


# ---- for programs --------------------------------------------------------------------------------


def test_the_shape_for_programs() -> None:
    found = problem("token", "There is none.", "Type it.", mend="sudo x", code=Code.TOKEN_MISSING)
    assert view(found) == {
        "check": "token",
        "level": "problem",
        "summary": "There is none.",
        "details": ["Type it."],
        "mend": "sudo x",
        "read": "docs/OPERATIONS.md#token-missing",
        "needs_root": False,
    }
    assert view(ok("clock", "Well.")) == {
        "check": "clock",
        "level": "ok",
        "summary": "Well.",
        "details": [],
        "mend": None,
        "read": None,
        "needs_root": False,
    }
    assert counts([found, found]) == {"ok": 0, "warn": 0, "problem": 2, "skipped": 0}
