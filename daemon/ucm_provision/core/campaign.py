"""Campaigns: one purpose for many modules, a few first. Pure.

What each module's part has come to is read off its session, which is journalled anyway; a campaign itself
holds only who belongs to it and whether it goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ucm_provision.core.errors import Code
from ucm_provision.core.events import Task
from ucm_provision.core.machine import Milestone, Session, Waits


class CampaignKind(StrEnum):
    """The moves of a site from one network to another, in their order."""

    STAGE = "stage"  # the new network beside the old one; whichever takes the module counts
    CHANGE = "change"  # the new one first, and on trial it alone
    DROP = "drop"  # without the old one


class CampaignState(StrEnum):
    PROPOSED = "proposed"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        return self in (CampaignState.DONE, CampaignState.ABORTED)


class MemberState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    AWAY = "away"  # begun, and waits for the module to come back
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Member:
    """A module's part in a campaign. ``code``, ``detail``: why it failed, or what it waits for."""

    hardware_id: str
    state: MemberState = MemberState.PENDING
    code: Code | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as the journal keeps it.

    Attributes:
        networks: The SSIDs that every member is to hold, in order of preference.
        only: The network that a member must get online on; empty: any of them.
        members: Hardware ids in the order in which they are taken.
        canary: How many go first, alone, and must be done before the others begin.
        wave: How many are under way at the same time after that.
        max_failures: How many may fail before the campaign pauses.
        forgiven: Failures that an operator has seen and gone on after.
        reason: Why it paused, a sentence for a person.
        results: What came of each member, once the campaign has ended.
    """

    id: str
    kind: CampaignKind
    networks: tuple[str, ...]
    only: str
    members: tuple[str, ...]
    by: str
    placed_at: float
    updated_at: float
    canary: int = 1
    wave: int = 10
    max_failures: int = 2
    state: CampaignState = CampaignState.RUNNING
    forgiven: int = 0
    reason: str = ""
    results: tuple[Member, ...] = ()


def member_of(hardware_id: str, session: Session | None) -> Member:
    """What a module's part has come to, by its session for the campaign."""
    if session is None:
        return Member(hardware_id)
    hold = session.hold
    if session.milestone is Milestone.VERIFIED:
        return Member(hardware_id, MemberState.DONE)
    if session.milestone.ended or (hold and hold.waits is Waits.OPERATOR):
        code, detail = (hold.code, hold.detail) if hold else (None, "")
        return Member(hardware_id, MemberState.FAILED, code, detail)
    if hold and hold.waits is Waits.DEVICE_GONE:
        return Member(hardware_id, MemberState.AWAY, hold.code, hold.detail)
    return Member(hardware_id, MemberState.RUNNING, hold.code if hold else None, hold.detail if hold else "")


def members_of(campaign: Campaign, sessions: Mapping[str, Session]) -> list[Member]:
    """Every member, in the campaign's order. ``sessions``: those for this campaign, by hardware id."""
    if campaign.results:
        return list(campaign.results)
    return [member_of(hardware_id, sessions.get(hardware_id)) for hardware_id in campaign.members]


def judge(campaign: Campaign, members: Sequence[Member], at: float) -> Campaign:
    """The campaign after what has become of its members: it pauses, ends, or stays as it is."""
    if campaign.state is not CampaignState.RUNNING:
        return campaign
    failed = [member for member in members if member.state is MemberState.FAILED]
    if len(failed) < campaign.forgiven:  # what was mended since must not widen the budget
        campaign = replace(campaign, forgiven=len(failed), updated_at=at)
    unforgiven = len(failed) - campaign.forgiven
    if unforgiven > 0 and not _canaries_done(campaign, members):
        return _paused(campaign, f"the canary failed{_why(failed[-1])}", at)
    if unforgiven > campaign.max_failures:
        return _paused(campaign, f"{len(failed)} modules failed, the last one{_why(failed[-1])}", at)
    if all(member.state in (MemberState.DONE, MemberState.FAILED) for member in members):
        return ended(campaign, CampaignState.DONE, members, at)
    return campaign


def ended(campaign: Campaign, state: CampaignState, members: Sequence[Member], at: float) -> Campaign:
    """The campaign with its results for good."""
    return replace(campaign, state=state, results=tuple(members), reason="", updated_at=at)


def resumed(campaign: Campaign, members: Sequence[Member], at: float) -> Campaign:
    """An operator has seen the failures and wants to go on."""
    failures = sum(member.state is MemberState.FAILED for member in members)
    return replace(campaign, state=CampaignState.RUNNING, forgiven=failures, reason="", updated_at=at)


def without(campaign: Campaign, hardware_id: str) -> Campaign:
    """The campaign without a member that is no more."""
    return replace(campaign, members=tuple(member for member in campaign.members if member != hardware_id))


def to_start(campaign: Campaign, members: Sequence[Member], reachable: Collection[str]) -> list[str]:
    """Who begins now: canaries alone, then so many at a time that a wave is under way."""
    if campaign.state is not CampaignState.RUNNING:
        return []
    waiting = [m.hardware_id for m in members if m.state is MemberState.PENDING and m.hardware_id in reachable]
    return waiting[: max(_room(campaign, members), 0)]


def _room(campaign: Campaign, members: Sequence[Member]) -> int:
    """How many more may be under way. A canary that is away has told nothing yet: nobody else goes in its place."""
    states = Counter(member.state for member in members)
    if _canaries_done(campaign, members):
        return campaign.wave - states[MemberState.RUNNING]
    return campaign.canary - states[MemberState.DONE] - states[MemberState.RUNNING] - states[MemberState.AWAY]


def task_for(campaign: Campaign, members: Sequence[Member]) -> Task:
    """What the next member is to do. A canary of a change proves the network before the API is asked."""
    canary = not _canaries_done(campaign, members)
    prove = canary and campaign.kind is CampaignKind.CHANGE
    return Task(campaign.id, campaign.networks, campaign.only, prove)


def _canaries_done(campaign: Campaign, members: Sequence[Member]) -> bool:
    return _done(members) >= min(campaign.canary, len(members))


def _done(members: Sequence[Member]) -> int:
    return sum(member.state is MemberState.DONE for member in members)


def _paused(campaign: Campaign, reason: str, at: float) -> Campaign:
    return replace(campaign, state=CampaignState.PAUSED, reason=reason, updated_at=at)


def _why(member: Member) -> str:
    detail = f" ({member.detail})" if member.detail else ""
    return f": {member.hardware_id} {member.code.name if member.code else 'was cancelled'}{detail}"
