"""The daemon's answers in words, a fact a line."""

from __future__ import annotations

import time

import pytest

from tests.unit.control.known_modules import KnownModules, named, plant
from ucm_provision.cli.text import list_text, show_text, state, status_text
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Adopted, Failed
from ucm_provision.wire import ActivityView, ModuleDetail, ModuleView, PauseView

HARDWARE_ID = "F" * 32


def one(*events: object) -> ModuleView:
    known = KnownModules()
    known.add("s", *named("Pump", HARDWARE_ID), *events)  # type: ignore[arg-type]  # events only
    return known.views()[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [(Code.API_REJECTED, "needs you"), (Code.API_UNREACHABLE, "tries again"), (Code.DEVICE_GONE, "unplugged")],
)
def test_what_a_module_waits_for_in_two_words(code: Code, words: str) -> None:
    assert state(one(Failed(code))) == words


def test_what_is_being_done_goes_before_what_is_true() -> None:
    view = one()
    assert state(view) == "identified"
    view["activity"] = ActivityView(step="push", detail="40 %")
    assert state(view) == "push 40 %"
    view["activity"] = ActivityView(step="check", detail="")
    assert state(view) == "check"


def test_no_modules_yet() -> None:
    assert (
        list_text([])
        == "No modules yet. Plug one in; if it stays away, docs/OPERATIONS.md#a-module-that-is-not-listed-at-all helps."
    )
    status = plant().status()
    assert status_text(status, []).splitlines()[-1] == "modules   none seen yet"


def test_a_pause_is_the_second_thing_that_is_said() -> None:
    known = plant()
    known.pause = PauseView(code="api_unauthorized", message="API_UNAUTHORIZED: …", until=1.0)
    assert status_text(known.status(), known.views()).splitlines()[1] == "PAUSED    API_UNAUTHORIZED: …"


def test_a_site_that_has_little() -> None:
    status = plant().status()
    status["wifi"], status["api"]["site_id"] = [], None
    lines = status_text(status, []).splitlines()
    assert lines[1] == "API       https://api.test"
    assert lines[3] == "Wi-Fi     no network configured: modules keep theirs"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86400, "1 d"), (-5, "0 s")],
)
def test_how_long_the_daemon_is_up(monkeypatch: pytest.MonkeyPatch, seconds: int, words: str) -> None:
    status = plant().status()
    monkeypatch.setattr(time, "time", lambda: status["started_at"] + seconds)
    assert status_text(status, []).splitlines()[0] == f"daemon    0.1.0, up {words}, box box-a"


def test_a_module_with_everything_that_can_be_said() -> None:
    view = one(Adopted("device-1", "pump", 4, "box-b"), Failed(Code.NOT_SEEN))
    view["present"], view["warnings"] = False, ["The signal is weak."]
    lines = show_text(ModuleDetail(module=view, timeline=[])).splitlines()
    assert lines[3:9] == [
        "endpoint     /dev/ttyUSB0 (not there now)",
        "state        needs you",
        "device       device-1 pump",
        "protocol     MQTTS",
        "managed by   box-b",
        "generation   4",
    ]
    assert lines[9:11] == ["warning      The signal is weak.", ""]
    assert lines[11].startswith("NOT_SEEN: ")
