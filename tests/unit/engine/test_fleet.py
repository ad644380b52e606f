"""Which changes of a module a fleet is told, and which are nobody's business."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.control.known_modules import EVIDENCE, FIRST, KnownModules, named, port
from tests.unit.control.sample_signs import ENGINE
from tests.unit.engine.fake_clock import START, FakeClock, settle
from tests.unit.store.strategies import SESSIONS
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Cancelled, DeviceAdded, Event, Failed, HoldCleared, Inspected, Seen, Verified
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.documents import FleetEvent, FleetStatus
from ucm_provision.engine.candidates import Candidates
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.fleet import Box, FleetReporter
from ucm_provision.engine.views import module_view
from ucm_provision.engine.vital_signs import VitalSigns
from ucm_provision.wire import ActivityView, ModuleView, PauseView


@dataclass
class Announced:
    """What would be told."""

    dropped: int = 0
    events: list[Any] = field(default_factory=list)
    status: list[Any] = field(default_factory=list)

    def tell(self, name: str, payload: bytes) -> None:
        assert name == "events"
        msgspec.json.decode(payload, type=FleetEvent)
        self.events.append(json.loads(payload))

    def keep(self, name: str, payload: bytes) -> None:
        assert name == "status"
        msgspec.json.decode(payload, type=FleetStatus)
        self.status.append(json.loads(payload))


class Site:
    """Modules that live through events, and a reporter that looks on."""

    def __init__(self) -> None:
        self.feed, self.clock, self.told = Feed(depth=64), FakeClock(), Announced()
        self.views: dict[str, ModuleView] = {}
        self.signs: VitalSigns = ENGINE
        self.known = KnownModules()
        self._sessions: dict[str, Session] = {}
        box = Box(
            "plant-7",
            lambda: {"name": "Plant", "id": "site-1"},
            self.known.status,
            lambda: list(self.views.values()),
            lambda: self.signs,
        )
        self._reporter = FleetReporter(box, self.feed, self.told, self.clock)

    def happens(self, session_id: str, *events: Event, activity: ActivityView | None = None) -> None:
        for event in events:
            session = evolve(self._sessions.get(session_id), event, session_id=session_id, at=self.clock.now())
            self._sessions[session_id] = session
            self.shows(session, activity=activity)

    def shows(self, session: Session, *, activity: ActivityView | None = None) -> None:
        view = module_view(session, where=session.endpoint, activity=activity)
        self.views[session.id] = view
        self.feed.publish(view)

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._reporter.run())
        await settle()
        try:
            yield
            await settle()
        finally:
            task.cancel()
            await asyncio.wait({task})

    def changes(self) -> list[tuple[list[str], str]]:
        return [(event["changed"], event["milestone"]) for event in self.told.events]


@pytest.fixture
def site() -> Site:
    return Site()


BUSY = ActivityView(step="push", detail="40 %")


async def test_each_milestone_is_told_once_and_progress_between_them_is_not(site: Site) -> None:
    async with site.reporting():
        site.happens("a", Seen(port(0)), *named("Boiler", FIRST), activity=BUSY)
        site.happens("a", DeviceAdded("device-1", "boiler"), activity=BUSY)
        site.happens("a", Verified(EVIDENCE))
        site.shows(site._sessions["a"])
    assert site.changes() == [
        (["milestone"], "SEEN"),
        (["milestone"], "IDENTIFIED"),
        (["milestone"], "PROVISIONED"),
        (["milestone"], "VERIFIED"),
    ]
    last = site.told.events[-1]
    assert (last["version"], last["box"], last["sequence"], last["started_at"]) == (1, "plant-7", 4, START)
    assert last["module"] == {
        "session": "a",
        "hardware_id": FIRST,
        "name": "Boiler",
        "device_id": "device-1",
        "slug": "boiler",
        "product": "UCM",
        "model": "ENP-RL6",
        "firmware": "2.4.1",
        "endpoint": "/dev/ttyUSB0",
        "carrier": "serial",
    }


async def test_a_hold_is_told_when_it_begins_changes_and_ends(site: Site) -> None:
    site.happens("a", Seen(port(0)))
    async with site.reporting():
        site.happens("a", Failed(Code.LINK_SILENT, "first"))
        site.happens("a", Failed(Code.LINK_SILENT, "second"), activity=BUSY)
        site.happens("a", Failed(Code.LINK_SILENT, "third"))
        site.happens("a", Failed(Code.LINK_INSECURE))
        site.happens("a", HoldCleared("an operator"))
    assert site.changes() == [(["hold"], "SEEN")] * 3
    assert [event["hold"] and event["hold"]["code"] for event in site.told.events] == [
        "link_silent",
        "link_insecure",
        None,
    ]


async def test_a_step_forward_ends_a_hold_without_a_word_of_its_own(site: Site) -> None:
    site.happens("a", Seen(port(0)), Failed(Code.LINK_SILENT))
    async with site.reporting():
        site.happens("a", *named("Boiler", FIRST), activity=BUSY)
        site.happens("a", Failed(Code.API_FAILED))
    assert site.changes() == [(["milestone"], "IDENTIFIED"), (["hold"], "IDENTIFIED")]


async def test_a_milestone_and_a_hold_at_once_are_one_event(site: Site) -> None:
    async with site.reporting():
        site.happens("a", Seen(port(0)), *named("Boiler", FIRST), activity=BUSY)
        site.told.events.clear()
        site.happens("a", DeviceAdded("device-1", ""), activity=BUSY)
        await settle()
        site.told.events.clear()
        session = evolve(site._sessions["a"], Failed(Code.API_REJECTED), session_id="a", at=START)
        site.happens("b", Seen(port(1)))
        site.shows(session)
    assert site.changes() == [(["milestone"], "SEEN"), (["hold"], "PROVISIONED")]


async def test_trouble_of_a_verified_module_is_told_and_that_it_is_over(site: Site) -> None:
    site.happens("a", Seen(port(0)), *named("Boiler", FIRST), DeviceAdded("device-1", ""), Verified(EVIDENCE))
    async with site.reporting():
        site.happens("a", Inspected(Code.NOT_ONLINE, "WIFI"), Inspected(Code.NOT_ONLINE, "DHCP"), Inspected())
    assert [event["trouble"] and event["trouble"]["code"] for event in site.told.events] == ["not_online", None]
    assert site.changes() == [(["trouble"], "VERIFIED")] * 2


async def test_a_module_s_next_session_goes_on_where_its_last_one_ended(site: Site) -> None:
    site.happens("a", Seen(port(0)), *named("Boiler", FIRST), DeviceAdded("device-1", ""), Verified(EVIDENCE))
    async with site.reporting():
        site.happens("b", Seen(port(1)), *named("Boiler", FIRST))
    assert site.changes() == [(["milestone"], "SEEN"), (["milestone"], "IDENTIFIED")]


async def test_what_a_flood_swallowed_is_told_afterwards(site: Site) -> None:
    async with site.reporting():
        for number in range(200):
            site.happens(f"s{number}", Seen(port(number)), Failed(Code.LINK_SILENT))
    last = {event["module"]["session"]: event for event in site.told.events}
    assert set(last) == {f"s{number}" for number in range(200)}
    assert all(event["hold"]["code"] == "link_silent" for event in last.values())
    assert [event["sequence"] for event in site.told.events] == list(range(1, len(site.told.events) + 1))


async def test_strangers_on_the_lan_are_not_the_fleet_s_business(site: Site) -> None:
    stranger, _ = Candidates().add(Endpoint(Carrier.HTTP, "ucm-x", "lan:x"), "F" * 32, START)
    async with site.reporting():
        site.shows(stranger)
        site.shows(evolve(stranger, Cancelled("gone"), session_id=stranger.id, at=START))
    assert site.told.events == []


async def test_the_status_is_told_at_once_and_then_when_it_has_changed(site: Site) -> None:
    async with site.reporting():
        (first,) = site.told.status
        assert (first["box"], first["site"], first["software"]) == (
            "plant-7",
            {"name": "Plant", "id": "site-1"},
            "ucm-provisiond 0.1.0",
        )
        assert first["needs_person"] == {"pop_missing": 2, "not_seen": 1}
        assert first["campaign"] == {
            "id": "c1",
            "kind": "change",
            "state": "running",
            "members": ENGINE.campaign and dict(ENGINE.campaign.members),
        }
        site.happens("a", Seen(port(0)))
        await settle()
        assert [status["sequence"] for status in site.told.status] == [0], "not each change by itself"
        site.happens("a", Failed(Code.LINK_SILENT))
        await site.clock.advance(policy.FLEET_STATUS_PAUSE)
        assert [status["sequence"] for status in site.told.status] == [0, 2]
        error = UcmError(Code.API_UNAUTHORIZED)
        site.known.pause = PauseView(code=error.code.value, message=str(error), until=START)
        site.happens("a", HoldCleared("it is heard"))
        await site.clock.advance(policy.FLEET_STATUS_PAUSE)
    assert site.told.status[-1]["paused"]["code"] == "api_unauthorized"


@given(st.lists(SESSIONS, max_size=5))
def test_whatever_happens_can_be_told(sessions: list[Session]) -> None:
    site = Site()

    async def live() -> None:
        async with site.reporting():
            for session in sessions:
                site.shows(session)
                await settle()

    asyncio.run(live())
    assert [event["sequence"] for event in site.told.events] == list(range(1, len(site.told.events) + 1))
