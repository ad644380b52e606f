"""Campaigns: who begins when. What each module does is its session's business, like everything else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from ucm_provision.core import policy
from ucm_provision.core.campaign import (
    Campaign,
    CampaignKind,
    CampaignState,
    Member,
    MemberState,
    ended,
    judge,
    members_of,
    resumed,
    task_for,
    to_start,
    without,
)
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import ReprovisionAsked, Task
from ucm_provision.core.ports import Clock
from ucm_provision.engine.feed import Feed, OverrunError
from ucm_provision.engine.ports import CampaignJournal, ProfileChanges
from ucm_provision.engine.record import Record
from ucm_provision.engine.selection import Selection, Target
from ucm_provision.engine.supervisor import Supervisor

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How carefully a campaign goes: canaries, modules at a time, and failures before it pauses."""

    canary: int = 1
    wave: int = 10
    max_failures: int = 2


class Campaigns:
    """At most one that is not ended. All of them are in the journal, and go on after anything."""

    def __init__(
        self,
        journal: CampaignJournal,
        record: Record,
        supervisor: Supervisor,
        selection: Selection,
        *,
        profiles: ProfileChanges,
        feed: Feed,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._record = record
        self._supervisor = supervisor
        self._selection = selection
        self._profiles = profiles
        self._feed = feed
        self._clock = clock
        self._campaigns: dict[str, Campaign] = {}
        self._changed = asyncio.Event()
        self._placing = asyncio.Lock()

    async def load(self) -> None:
        self._campaigns = {campaign.id: campaign for campaign in await self._journal.campaigns()}
        self._changed.set()

    # ---- what an operator asks -------------------------------------------------------------------

    async def place(self, target: Target, pace: Pace, by: str, *, proposed: bool = False) -> Campaign:
        """Begins a campaign, or shows one that an operator may begin.

        Raises:
            UcmError: campaign_open, campaign_pointless.
        """
        async with self._placing:
            if other := self.open():
                raise UcmError(Code.CAMPAIGN_OPEN, other.id)
            chosen = [each.session.hardware_id or "" for each in self._selection.choose(target).members]
            if not chosen:
                raise UcmError(Code.CAMPAIGN_POINTLESS, ", ".join(target.networks))
            now, state = self._clock.now(), CampaignState.PROPOSED if proposed else CampaignState.RUNNING
            campaign = Campaign(
                id=secrets.token_hex(4),
                kind=target.kind,
                networks=target.networks,
                only=target.only,
                members=tuple(chosen),
                by=by,
                placed_at=now,
                updated_at=now,
                canary=pace.canary,
                wave=pace.wave,
                max_failures=pace.max_failures,
                state=state,
            )
            return await self._keep(campaign)

    async def pause(self, campaign_id: str, by: str) -> Campaign:
        """No further member begins; those under way finish."""
        campaign = self._open(campaign_id)
        return await self._keep(self._now(campaign, CampaignState.PAUSED, f"{by} paused it"))

    async def resume(self, campaign_id: str) -> Campaign:
        """Goes on, or begins what was only proposed."""
        campaign = self._open(campaign_id)
        return await self._keep(resumed(campaign, self.members(campaign), self._clock.now()))

    async def abort(self, campaign_id: str) -> Campaign:
        """Ends it. Members under way finish by themselves; the others stay as they are."""
        campaign = self._open(campaign_id)
        return await self._keep(ended(campaign, CampaignState.ABORTED, self.members(campaign), self._clock.now()))

    async def forget(self, hardware_id: str) -> None:
        """The module is no longer of the campaign that is open; those that have ended tell what was."""
        campaign = self.open()
        if campaign and hardware_id in campaign.members:
            await self._keep(replace(without(campaign, hardware_id), updated_at=self._clock.now()))

    def get(self, campaign_id: str) -> Campaign:
        """A campaign by its number; empty: the latest one. Raises UcmError(campaign_unknown)."""
        latest = next(reversed(self._campaigns.values()), None)
        campaign = self._campaigns.get(campaign_id) if campaign_id else latest
        if campaign is None:
            raise UcmError(Code.CAMPAIGN_UNKNOWN, campaign_id)
        return campaign

    def all(self) -> list[Campaign]:
        """Oldest first."""
        return list(self._campaigns.values())

    def open(self) -> Campaign | None:
        """The one that has not ended, if there is one."""
        return next((campaign for campaign in self._campaigns.values() if not campaign.state.ended), None)

    def members(self, campaign: Campaign) -> list[Member]:
        return members_of(campaign, self._record.for_campaign(campaign.id))

    def is_idle(self, campaign: Campaign) -> bool:
        """Whether nobody is under way, and nobody who has not begun can be reached now."""
        members = self.members(campaign)
        running = any(member.state is MemberState.RUNNING for member in members)
        return not running and not to_start(campaign, members, self._reachable(members))

    def _open(self, campaign_id: str) -> Campaign:
        campaign = self.get(campaign_id)
        if campaign.state.ended:
            raise UcmError(Code.CAMPAIGN_ENDED, campaign.id)
        return campaign

    def _now(self, campaign: Campaign, state: CampaignState, reason: str) -> Campaign:
        return replace(campaign, state=state, reason=reason, updated_at=self._clock.now())

    async def _keep(self, campaign: Campaign) -> Campaign:
        await self._journal.keep_campaign(campaign)
        self._campaigns[campaign.id] = campaign
        self._changed.set()
        log.info("campaign", campaign=campaign.id, kind=campaign.kind, state=campaign.state, reason=campaign.reason)
        return campaign

    # ---- how it goes on --------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="campaigns, what changes")
            group.create_task(self._go_on(), name="campaigns, who begins")

    async def _watch(self) -> None:
        while True:
            with suppress(OverrunError), self._feed.listen() as changes:
                self._changed.set()
                async for _ in changes:
                    self._changed.set()

    async def _go_on(self) -> None:
        """Looks at what has changed now and then: with many members, something always has."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for campaign in self.all():
                if campaign.state is CampaignState.RUNNING:
                    await self._advance(campaign)
            await self._clock.sleep(policy.CAMPAIGN_EVERY)

    async def _advance(self, campaign: Campaign) -> None:
        members = self.members(campaign)
        judged = judge(campaign, members, self._clock.now())
        if judged is not campaign:
            await self._settle_profiles(judged)
            await self._keep(judged)
        task = task_for(campaign, members)
        for hardware_id in to_start(judged, members, self._reachable(members)):
            await self._begin(hardware_id, task, judged.by)

    def _reachable(self, members: Sequence[Member]) -> set[str]:
        pending = (member.hardware_id for member in members if member.state is MemberState.PENDING)
        return {hardware_id for hardware_id in pending if self._selection.is_reachable(hardware_id)}

    async def _begin(self, hardware_id: str, task: Task, by: str) -> None:
        session = self._record.latest_of(hardware_id)
        where = self._record.where(session) if session else None
        if session is None or session.identity is None or where is None:
            return
        asked = ReprovisionAsked(where, session.identity, by, task, session.arguments, session.reach, session.device_id)
        await self._record.add(secrets.token_hex(6) if session.milestone.ended else session.id, asked)
        self._supervisor.nudge()

    async def _settle_profiles(self, campaign: Campaign) -> None:
        """What the modules have now is what new ones get from now on. Before the campaign is kept as done."""
        if campaign.state is not CampaignState.DONE:
            return
        try:
            if campaign.kind is CampaignKind.CHANGE:
                await self._profiles.prefer(campaign.only)
            elif campaign.kind is CampaignKind.DROP:
                for ssid in self._selection.profiles_without(campaign.networks):
                    await self._profiles.drop(ssid)
        except UcmError as error:  # an operator has dropped the network meanwhile: their word is the later one
            log.warning("the site's networks stay as they are", campaign=campaign.id, reason=str(error))
