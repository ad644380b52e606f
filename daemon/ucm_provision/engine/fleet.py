"""What a fleet is told: each change of a module that means something, and how the box fares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.core.machine import Waits
from ucm_provision.core.ports import Clock
from ucm_provision.documents import (
    FLEET_VERSION,
    Change,
    FleetCampaign,
    FleetEvent,
    FleetModule,
    FleetStatus,
    ReportedSite,
)
from ucm_provision.engine.feed import Feed, OverrunError
from ucm_provision.engine.vital_signs import CampaignSigns, VitalSigns
from ucm_provision.wire import ModuleView, StatusView, TroubleView

_EVENTS, _STATUS = "events", "status"


class Announce(Protocol):
    """Passes messages on, sooner or later; never waits."""

    @property
    def dropped(self) -> int: ...

    def tell(self, name: str, payload: bytes) -> None: ...

    def keep(self, name: str, payload: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Box:
    """Who speaks. ``name`` is the fleet's name for the box."""

    name: str
    site: Callable[[], ReportedSite]
    status: Callable[[], StatusView]
    modules: Callable[[], list[ModuleView]]
    signs: Callable[[], VitalSigns]


@dataclass(slots=True)
class _Told:
    """What the fleet was told of a module last."""

    milestone: str = ""
    hold: tuple[str, str] | None = None
    trouble: str | None = None

    def learn(self, view: ModuleView) -> list[Change]:
        """What is new, and is told from now on."""
        changes: tuple[tuple[Change, bool], ...] = (
            ("milestone", self._learn_milestone(view["milestone"])),
            ("hold", self._learn_hold(view)),
            ("trouble", self._learn_trouble(view["trouble"])),
        )
        return [name for name, is_new in changes if is_new]

    def _learn_milestone(self, milestone: str) -> bool:
        """With every step forward a hold is over, which needs no word of its own."""
        if self.milestone == milestone:
            return False
        self.milestone, self.hold = milestone, None
        return True

    def _learn_hold(self, view: ModuleView) -> bool:
        if view["activity"]:  # while something is done, a hold is only hidden
            return False
        before, hold = self.hold, view["hold"]
        self.hold = (hold["waits"], hold["code"]) if hold else None
        return self.hold != before

    def _learn_trouble(self, trouble: TroubleView | None) -> bool:
        before, self.trouble = self.trouble, trouble["code"] if trouble else None
        return self.trouble != before


class FleetReporter:
    """Listens to the feed like everybody else, and says what has changed."""

    def __init__(self, box: Box, feed: Feed, announce: Announce, clock: Clock) -> None:
        self._box = box
        self._feed = feed
        self._announce = announce
        self._clock = clock
        self._started_at = clock.now()
        self._sequence = 0
        self._news = asyncio.Event()
        self._told: dict[str, _Told] = {}
        self._last_status: FleetStatus | None = None

    async def run(self) -> None:
        """Until cancelled."""
        for view in self._box.modules():  # what was so before is no news
            self._changes(view)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_changes(), name="fleet, changes")
            group.create_task(self._keep_status(), name="fleet, status")

    # ---- what happens --------------------------------------------------------------------------------

    async def _tell_changes(self) -> None:
        while True:
            with suppress(OverrunError), self._feed.listen() as changes:
                for view in self._box.modules():  # what was missed in a flood
                    self._tell(view)
                async for view in changes:
                    self._tell(view)

    def _tell(self, view: ModuleView) -> None:
        self._news.set()
        changed = self._changes(view)
        if not changed:
            return
        self._sequence += 1
        event = FleetEvent(
            version=FLEET_VERSION,
            box=self._box.name,
            started_at=self._started_at,
            sequence=self._sequence,
            at=self._clock.now(),
            changed=changed,
            module=_module(view),
            milestone=view["milestone"],
            hold=view["hold"],
            trouble=view["trouble"],
        )
        self._announce.tell(_EVENTS, msgspec.json.encode(event))

    def _changes(self, view: ModuleView) -> list[Change]:
        return [] if _is_anybody(view) else self._told_of(view).learn(view)

    def _told_of(self, view: ModuleView) -> _Told:
        """One entry for each module, however many sessions it has had. Sessions that went up in others are dropped."""
        session, hardware_id = view["session"], view["hardware_id"]
        if hardware_id and (before := self._told.pop(session, None)):
            self._told.setdefault(hardware_id, before)
        if hardware_id is None and view["milestone"] == "CANCELLED":
            return self._told.pop(session, _Told())
        return self._told.setdefault(hardware_id or session, _Told())

    # ---- how things are ------------------------------------------------------------------------------

    async def _keep_status(self) -> None:
        """Soon after a change; what no module's news tell, such as a pause, a little later."""
        while True:
            self._news.clear()
            status = self._status()
            if status != self._last_status:
                self._last_status = status
                self._announce.keep(_STATUS, msgspec.json.encode(status))
            await self._clock.sleep(policy.FLEET_STATUS_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(policy.STATUS_EVERY):
                    await self._news.wait()

    def _status(self) -> FleetStatus:
        status, signs = self._box.status(), self._box.signs()
        waiting = {code: count for (waits, code), count in signs.waiting.items() if waits == Waits.OPERATOR.value}
        return FleetStatus(
            version=FLEET_VERSION,
            box=self._box.name,
            site=self._box.site(),
            software=f"ucm-provisiond {status['version']}",
            started_at=self._started_at,
            sequence=self._sequence,
            dropped=self._announce.dropped,
            modules=dict(signs.modules),
            needs_person=waiting,
            unwell=dict(signs.unwell),
            paused=status["paused"],
            api=status["api"]["url"],
            witness=status["witness"],
            campaign=_campaign(signs.campaign) if signs.campaign else None,
        )


def _is_anybody(view: ModuleView) -> bool:
    """A module on the LAN that nobody has approved may be anybody's invention."""
    waits = view["hold"] is not None and view["hold"]["code"] == Code.APPROVAL_NEEDED.value
    return view["carrier"] == "http" and view["hardware_id"] is None and (waits or view["milestone"] == "CANCELLED")


def _module(view: ModuleView) -> FleetModule:
    return FleetModule(
        session=view["session"],
        hardware_id=view["hardware_id"],
        name=view["name"],
        device_id=view["device_id"],
        slug=view["slug"],
        product=view["product"],
        model=view["model"],
        firmware=view["firmware"],
        endpoint=view["endpoint"],
        carrier=view["carrier"],
    )


def _campaign(signs: CampaignSigns) -> FleetCampaign:
    return FleetCampaign(id=signs.id, kind=signs.kind, state=signs.state, members=dict(signs.members))
