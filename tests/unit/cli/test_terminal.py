"""ucmctl where a person looks: on terminals wide and narrow, with and without colour, and interrupted."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.cli.terminal import UCMCTL, seen_on, terminal
from tests.unit.control.known_modules import EVIDENCE, KnownModules, control_api, named, plant
from ucm_provision.control.listening import serving_at
from ucm_provision.core.errors import Code
from ucm_provision.core.events import DeviceAdded, Failed, Inspected, Verified
from ucm_provision.core.machine import Hold, Waits
from ucm_provision.core.model import Carrier, Endpoint

_COLOUR = re.compile(r"\x1b\[[0-9;]*3[1-7]")
LONG = "Kesselraum Süd, Wärmepumpe 3 hinter der großen Trennwand"
WAITS_FOR_APPROVAL = Hold(Waits.OPERATOR, Code.APPROVAL_NEEDED, "", None)


class Site:
    """The known modules, and whatever else is asked of the daemon, scripted."""

    def __init__(self, known: KnownModules) -> None:
        self.known = known
        self.campaigns: list[dict[str, Any]] = []
        self.well: dict[str, bool] = {}

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/campaigns", self._campaign)
        app.router.add_get("/v1/campaigns/{campaign}", self._campaign)
        app.router.add_post("/v1/modules/{module}/verify", self._verify)

    async def _campaign(self, _: web.Request) -> web.Response:
        """The next of them, and the last one for ever."""
        campaign = self.campaigns.pop(0) if len(self.campaigns) > 1 else self.campaigns[0]
        return web.json_response({"campaign": campaign})

    async def _verify(self, request: web.Request) -> web.Response:
        (module,) = [view for view in self.known.views() if view["session"] == request.match_info["module"]]
        well = self.well.get(module["session"], True)
        message = None if well else "NOT_ONLINE: it is not."
        return web.json_response({"module": module, "well": well, "code": None, "message": message})


def strangers(known: KnownModules, count: int) -> None:
    for number in range(count):
        known.add(f"stranger-{number}", number=100 + number)
        route = Endpoint(Carrier.HTTP, f"ucm-{number}", f"lan-{number}", (f"192.0.2.{number}:80",))
        hardware_id = f"{number:032X}"
        session = replace(known.sessions[-1], endpoint=route, announced_id=hardware_id, hold=WAITS_FOR_APPROVAL)
        known.sessions[-1] = session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def site(path: Path) -> AsyncIterator[Site]:
    known = plant()
    known.add("dddddddddddd", *named(LONG, "D" * 32), DeviceAdded("d", "s"), Verified(EVIDENCE), number=4)
    known.add("eeeeeeeeeeee", *named("Roof", "E" * 32), Failed(Code.API_UNREACHABLE, "no route"), number=5)
    known.add(
        "ffffffffffff", *named("Tank", "F" * 32), DeviceAdded("f", "t"), Verified(EVIDENCE),
        Inspected(Code.NOT_ONLINE, "WIFI"), number=6,
    )  # fmt: skip
    site = Site(known)
    async with serving_at(control_api(known, None, site).application(), path):
        yield site


def headings(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"\d+ ", line)]


# ---- the modules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
async def test_what_needs_a_person_comes_first_on_every_terminal(path: Path, site: Site, columns: int) -> None:
    strangers(site.known, 40)
    shown = await seen_on(columns, *UCMCTL, "--socket", path, "list")
    assert headings(shown.lines) == [
        "2 need you",
        "40 wait for your approval",
        "1 at work",
        "1 waits, and goes on by itself",
        "2 verified",
    ]
    assert shown.widest <= columns
    assert len(shown.lines) < 60  # 40 strangers are no 40 lines
    assert "ucmctl manifest template" in " ".join(" ".join(shown.lines).split())
    assert LONG[:12] in shown.text
    assert LONG not in shown.text
    assert "BROKER_TLS_UNTRUSTED: " in shown.text
    assert _COLOUR.search(shown.raw)


async def test_strangers_are_listed_one_by_one_where_they_are_asked_for(path: Path, site: Site) -> None:
    strangers(site.known, 40)
    shown = await seen_on(80, *UCMCTL, "--socket", path, "list", "--state", "seen")
    assert sum("192.0.2." in line for line in shown.lines) == 40
    known = plant()
    strangers(known, 2)
    site.known.sessions[:] = known.sessions
    shown = await seen_on(80, *UCMCTL, "--socket", path, "list")
    assert sum("192.0.2." in line for line in shown.lines) == 2


async def test_columns_stand_below_each_other_and_ids_are_as_short_as_they_may_be(path: Path, site: Site) -> None:
    shown = await seen_on(80, *UCMCTL, "--socket", path, "list")
    rows = [line for line in shown.lines if "ttyUSB" in line]
    assert len({line.index("ttyUSB") for line in rows}) == 1
    (pump,) = [line for line in rows if line.startswith("  Pump ")]
    status = await seen_on(80, *UCMCTL, "--socket", path, "show", pump.split()[1])
    assert "Pump" in status.text


async def test_without_colour_every_word_is_there(path: Path, site: Site) -> None:
    coloured = await seen_on(80, *UCMCTL, "--socket", path, "list")
    plain = await seen_on(80, *UCMCTL, "--socket", path, "list", NO_COLOR="1")
    assert (_COLOUR.search(plain.raw), plain.lines) == (None, coloured.lines)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONPATH": ""}])
async def test_plain_lines_for_what_cannot_be_drawn_on(
    path: Path, site: Site, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A terminal that knows no colours, and a box without rich."""
    command = [*UCMCTL, "--socket", str(path), "list"]
    if "PYTHONPATH" in environment:
        script = "import sys; sys.modules['rich.console'] = None; from ucm_provision.cli.main import main; main()"
        command = [sys.executable, "-c", script, *command[1:]]
        environment = {}
    shown = await seen_on(200, *command, **environment)
    assert shown.lines[0].startswith("NAME ")
    assert "\x1b" not in shown.raw


@pytest.mark.parametrize("columns", [40, 120])
async def test_the_site_at_a_glance(path: Path, site: Site, columns: int) -> None:
    strangers(site.known, 12)
    shown = await seen_on(columns, *UCMCTL, "--socket", path, "status")
    told = " ".join(shown.text.split())
    assert "modules 2 need you: ucmctl list says what each needs 12 wait for your approval: ucmctl list says" in told
    assert told.endswith("1 at work 1 waits, and goes on by itself 2 verified")
    assert shown.widest <= columns


async def test_watching_ends_with_the_terminal_as_it_was(path: Path, site: Site) -> None:
    strangers(site.known, 40)
    async with terminal(60, *UCMCTL, "--socket", path, "watch") as shown:
        await shown.shows("40 wait for your approval")
        await shown.shows("2 verified")
        shown.interrupt()
        assert await shown.status() == 0
        await shown.shows("Ctrl-C ends the watching")
    assert shown.raw.count("\x1b[?1049h") == shown.raw.count("\x1b[?1049l") == 1
    assert "Traceback" not in shown.text


async def test_more_modules_than_a_terminal_has_lines(path: Path, site: Site) -> None:
    for number in range(60):
        events = [*named(f"Module {number}", f"{number:032X}"), DeviceAdded("d", "s"), Verified(EVIDENCE)]
        site.known.add(f"many-{number}", *events, number=200 + number)
    async with terminal(60, *UCMCTL, "--socket", path, "watch") as shown:
        await shown.shows("more lines: ucmctl list")
        shown.interrupt()
        assert await shown.status() == 0
    assert "62 verified" in shown.text


async def test_looking_at_all_of_them_says_how_many_are_well(path: Path, site: Site) -> None:
    site.well["dddddddddddd"] = False
    async with terminal(60, *UCMCTL, "--socket", path, "verify", "--all") as shown:
        assert await shown.status() == 4
        await shown.shows("NOT_ONLINE: it is not.")
    assert "2 of 3 verified modules are well." in shown.text
    assert "3/3" in shown.text


async def test_who_says_no_keeps_the_module(path: Path, site: Site) -> None:
    async with terminal(80, *UCMCTL, "--socket", path, "forget", "Pump", "--wipe") as shown:
        await shown.shows("Wipe and forget Pump (C8795CBA5375484E8291FFFFFFFFFFFF)? [y/N]: ")
        shown.type("n\n")
        assert await shown.status() == 1
        await shown.shows("Aborted!")


# ---- a campaign ----------------------------------------------------------------------------------


def campaign(state: str = "running", **counts: int) -> dict[str, Any]:
    members = [
        {"hardware_id": f"{number:032X}", "name": f"M{number}", "state": what, "code": None, "message": "TRIAL: no."}
        for what, count in counts.items()
        for number in range(count)
    ]
    return {
        "id": "c1", "kind": "change", "networks": ["new", "old"], "only": "new", "state": state, "reason": None,
        "by": "fitter", "placed_at": 0.0, "updated_at": 0.0, "canary": 1, "wave": 10, "max_failures": 2,
        "idle": False, "counts": counts, "members": members,
    }  # fmt: skip


@pytest.mark.parametrize("columns", [40, 100])
async def test_a_campaign_goes_from_canary_to_waves_while_one_looks(path: Path, site: Site, columns: int) -> None:
    site.campaigns = [
        campaign(pending=11, running=1),
        campaign(pending=1, running=9, done=1, failed=1),
        campaign("done", done=11, failed=1),
    ]
    async with terminal(columns, *UCMCTL, "--socket", path, "wifi", "change", "--ssid", "new") as shown:
        await shown.shows("canary")
        await shown.shows("M0 failed: TRIAL: no.")
        await shown.shows("waves of 10")
        await shown.shows("campaign c1: change to new, old: done, 11 of 12 done, 1 failed")
        assert await shown.status() == 4
    assert shown.text.count("M0 failed: ") == 1
    assert shown.widest <= columns or columns == 40  # the last lines are for grep, too


async def test_ctrl_c_ends_only_the_looking(path: Path, site: Site) -> None:
    site.campaigns = [campaign(pending=11, running=1)]
    async with terminal(80, *UCMCTL, "--socket", path, "wifi", "change", "--ssid", "new") as shown:
        await shown.shows("0/12")
        shown.interrupt()
        assert await shown.status() == 130
        await shown.shows("ucmctl wifi abort ends it.")
    assert "The campaign goes on without this command." in " ".join(shown.text.split())
    assert "Traceback" not in shown.text
