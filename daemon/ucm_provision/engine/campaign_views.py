"""From campaigns to what people and programs are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ucm_provision.core.campaign import Campaign, Member, MemberState
from ucm_provision.core.errors import explain
from ucm_provision.core.machine import Session
from ucm_provision.engine.selection import Candidate, Choice, Target
from ucm_provision.wire import CampaignMemberView, CampaignPlan, CampaignView, ChosenView

NameOf = Callable[[str], str | None]
WhyOf = Callable[[str], str]


def campaign_view(
    campaign: Campaign, members: Sequence[Member], name_of: NameOf, why_of: WhyOf, *, idle: bool
) -> CampaignView:
    """``why_of``: why a module cannot be reached now, or nothing if it can."""
    return CampaignView(
        id=campaign.id,
        kind=campaign.kind.value,
        networks=list(campaign.networks),
        only=campaign.only or None,
        state=campaign.state.value,
        reason=campaign.reason or None,
        by=campaign.by,
        placed_at=campaign.placed_at,
        updated_at=campaign.updated_at,
        canary=campaign.canary,
        wave=campaign.wave,
        max_failures=campaign.max_failures,
        idle=idle,
        counts=dict(Counter(member.state.value for member in members)),
        members=[_member(member, name_of, _no_reason if campaign.state.ended else why_of) for member in members],
    )


def _no_reason(_: str) -> str:
    """Nobody waits for the modules of a campaign that has ended."""
    return ""


def _member(member: Member, name_of: NameOf, why_of: WhyOf) -> CampaignMemberView:
    waits = why_of(member.hardware_id) if member.state is MemberState.PENDING else ""
    return CampaignMemberView(
        hardware_id=member.hardware_id,
        name=name_of(member.hardware_id),
        state=member.state.value,
        code=member.code.value if member.code else None,
        message=explain(member.code, member.detail) if member.code else waits or None,
    )


def campaign_plan(target: Target, choice: Choice) -> CampaignPlan:
    return CampaignPlan(
        networks=list(target.networks),
        only=target.only or None,
        members=[_chosen(candidate) for candidate in choice.members],
        left_out=[_chosen(candidate) for candidate in choice.left_out],
    )


def _chosen(candidate: Candidate) -> ChosenView:
    session = candidate.session
    return ChosenView(hardware_id=session.hardware_id or "", name=name_in(session), why=candidate.why or None)


def name_in(session: Session | None) -> str | None:
    return (session.name or None) if session else None
