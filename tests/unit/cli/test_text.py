"""The daemon's answers in words, a fact a line."""

from __future__ import annotations

import time

import pytest

from tests.unit.control.known_modules import KnownModules, named, plant
from ucm_provision.cli.text import list_text, orders_text, show_text, state, status_text
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Adopted, Failed
from ucm_provision.core.kinds import Kind
from ucm_provision.core.model import ProvisionArguments
from ucm_provision.core.orders import Order, Replacement, answered, failed
from ucm_provision.engine.order_views import order_view
from ucm_provision.wire import ActivityView, AttachedView, ModuleDetail, ModuleView, PauseView

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


def test_a_fleet_s_broker_is_told_where_one_is_configured() -> None:
    status = plant().status()
    assert "fleet" not in status_text(status, [])
    status["fleet"] = "The file fleet.json cannot be used: it is not there."
    assert "fleet     The file fleet.json cannot be used: it is not there." in status_text(status, []).splitlines()


def test_open_orders_are_told_at_a_glance() -> None:
    status = plant().status()
    assert "orders" not in status_text(status, [])
    status["orders"] = {"open": 2, "done": 5}
    assert status_text(status, []).splitlines()[-1] == "orders    2 open: ucmctl orders"


def test_orders_a_line_each_and_why_they_are_not_done() -> None:
    assert orders_text([]) == "No orders yet."
    arguments = ProvisionArguments(Kind.LUA_DEVICE, name="Gas", slug="gas-1")
    waiting = failed(Order("1f", "fitter", 1.0, 1.0, arguments), UcmError(Code.API_UNREACHABLE, "no route"), 1.0)
    replacement = Replacement("device-1", "A" * 32, "B" * 32, "Boiler", "boiler-1", "Old", "old-1")
    done = answered(Order("2f", "fitter", 1.0, 1.0, replacement=replacement), "device-1", "old-1", 2.0)
    lines = orders_text([order_view(waiting), order_view(done)]).splitlines()
    assert [line.split() for line in (lines[1], lines[3])] == [
        ["1f", "lua-device", "Gas", "-", "gas-1", "-", "open", "fitter"],
        ["2f", "replace", "Boiler", "B" * 32, "boiler-1", "device-1", "done", "fitter"],
    ]
    assert lines[2].startswith("  API_UNREACHABLE: ")


def test_what_an_unknown_module_says_of_itself() -> None:
    view = one()
    view["hardware_id"], view["announced_id"] = None, HARDWARE_ID
    assert f"says it is   {HARDWARE_ID}" in show_text(ModuleDetail(module=view, timeline=[]))


def test_a_master_with_a_slave_that_is_added_and_one_that_is_not() -> None:
    view = one()
    common = {"model": "ENP-AO6", "name": "Outputs"}
    view["attached"] = [
        AttachedView(hardware_id="A" * 32, device_id="device-2", **common),  # type: ignore[typeddict-item]
        AttachedView(hardware_id="B" * 32, device_id=None, **common),  # type: ignore[typeddict-item]
    ]
    lines = show_text(ModuleDetail(module=view, timeline=[])).splitlines()
    assert f"LINK slave   Outputs  {'A' * 32}  ENP-AO6  device-2" in lines
    assert f"LINK slave   Outputs  {'B' * 32}  ENP-AO6  not added yet" in lines


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
