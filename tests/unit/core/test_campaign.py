"""Campaigns: whatever becomes of the members, a few go first, no more than a wave at a time, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

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
)
from ucm_provision.core.errors import Code

PENDING, RUNNING, AWAY = MemberState.PENDING, MemberState.RUNNING, MemberState.AWAY
DONE, FAILED = MemberState.DONE, MemberState.FAILED

NAMES = [f"module-{number:02}" for number in range(12)]

campaigns = st.builds(
    Campaign,
    id=st.just("c"),
    kind=st.sampled_from(CampaignKind),
    networks=st.just(("new", "old")),
    only=st.just("new"),
    members=st.integers(1, len(NAMES)).map(lambda count: tuple(NAMES[:count])),
    by=st.just("uid 1"),
    placed_at=st.just(1.0),
    updated_at=st.just(1.0),
    canary=st.integers(1, 4),
    wave=st.integers(1, 6),
    max_failures=st.integers(0, 4),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Campaign, list[Member]]:
    """A running campaign, and anything that may have become of its members."""
    campaign = draw(campaigns)
    states = draw(
        st.lists(st.sampled_from(MemberState), min_size=len(campaign.members), max_size=len(campaign.members))
    )
    members = [member(name, state) for name, state in zip(campaign.members, states, strict=True)]
    forgiven = draw(st.integers(0, count(members, FAILED)))
    return replace(campaign, forgiven=forgiven), members


def member(name: str, state: MemberState) -> Member:
    return Member(name, state, Code.TRIAL_WIFI_NOT_FOUND if state is FAILED else None)


def count(members: Sequence[Member], *states: MemberState) -> int:
    return sum(member.state in states for member in members)


def canaries_done(campaign: Campaign, members: Sequence[Member]) -> bool:
    return count(members, DONE) >= min(campaign.canary, len(members))


# ---- what holds in any situation -----------------------------------------------------------------


@given(situations())
def test_before_the_canaries_are_done_no_more_than_they_are_under_way(
    situation: tuple[Campaign, list[Member]],
) -> None:
    campaign, members = situation
    begun = to_start(campaign, members, NAMES)
    if begun and not canaries_done(campaign, members):
        assert count(members, DONE, RUNNING, AWAY) + len(begun) <= campaign.canary


@given(situations())
def test_never_more_than_a_wave_begin_beside_those_under_way(situation: tuple[Campaign, list[Member]]) -> None:
    campaign, members = situation
    begun = to_start(campaign, members, NAMES)
    if begun and canaries_done(campaign, members):
        assert count(members, RUNNING) + len(begun) <= campaign.wave


@given(situations(), st.sets(st.sampled_from(NAMES)))
def test_they_begin_in_order_once_each_and_only_if_they_can_be_reached(
    situation: tuple[Campaign, list[Member]], reachable: set[str]
) -> None:
    campaign, members = situation
    begun = to_start(campaign, members, reachable)
    could = [each.hardware_id for each in members if each.state is PENDING and each.hardware_id in reachable]
    assert begun == could[: len(begun)]


@given(situations(), st.sampled_from([state for state in CampaignState if state is not CampaignState.RUNNING]))
def test_a_campaign_that_does_not_run_begins_nobody_and_is_judged_no_more(
    situation: tuple[Campaign, list[Member]], state: CampaignState
) -> None:
    campaign, members = replace(situation[0], state=state), situation[1]
    assert (to_start(campaign, members, NAMES), judge(campaign, members, 2.0)) == ([], campaign)


@given(situations())
def test_it_pauses_exactly_when_its_budget_is_exceeded(situation: tuple[Campaign, list[Member]]) -> None:
    campaign, members = situation
    unseen = count(members, FAILED) - campaign.forgiven
    budget = campaign.max_failures if canaries_done(campaign, members) else 0
    judged = judge(campaign, members, 2.0)
    assert (judged.state is CampaignState.PAUSED) == (unseen > budget)
    assert bool(judged.reason) == (judged.state is CampaignState.PAUSED)


@given(situations())
def test_it_is_done_only_when_everybody_has_ended_and_keeps_what_came_of_each(
    situation: tuple[Campaign, list[Member]],
) -> None:
    campaign, members = situation
    judged = judge(campaign, members, 2.0)
    if judged.state is CampaignState.DONE:
        assert count(members, DONE, FAILED) == len(members)
        assert members_of(judged, {}) == members
    elif judged.state is CampaignState.RUNNING:
        assert count(members, PENDING, RUNNING, AWAY) > 0
    assert [each.hardware_id for each in members_of(judged, {})] == list(campaign.members)


@given(situations())
def test_only_canaries_of_a_change_prove_the_network_first(situation: tuple[Campaign, list[Member]]) -> None:
    campaign, members = situation
    task = task_for(campaign, members)
    assert task.prove == (campaign.kind is CampaignKind.CHANGE and not canaries_done(campaign, members))
    assert (task.campaign, task.networks, task.only) == (campaign.id, campaign.networks, campaign.only)


@given(situations())
def test_who_goes_on_after_failures_is_stopped_by_further_ones_only(situation: tuple[Campaign, list[Member]]) -> None:
    campaign, members = situation
    again = judge(resumed(campaign, members, 2.0), members, 2.0)
    assert again.state is not CampaignState.PAUSED


@given(situations(), st.integers(1, 5))
def test_what_was_forgiven_and_then_mended_does_not_widen_the_budget(
    situation: tuple[Campaign, list[Member]], mended: int
) -> None:
    campaign, members = situation
    failures = count(members, FAILED)
    judged = judge(replace(campaign, forgiven=failures + mended), members, 2.0)
    assert judged.forgiven <= failures
    assert judge(judged, members, 3.0) is judged


# ---- whole campaigns -----------------------------------------------------------------------------

FOLLOWS = {RUNNING: (RUNNING, DONE, FAILED, AWAY), AWAY: (AWAY, RUNNING), FAILED: (FAILED, DONE)}


@given(campaigns, st.data())
def test_whatever_becomes_of_them_every_campaign_keeps_its_bounds_and_comes_to_an_end(
    campaign: Campaign, data: st.DataObject
) -> None:
    members = [Member(name) for name in campaign.members]
    began: list[str] = []
    for _ in range(40):
        campaign = judge(campaign, members, 2.0)
        if campaign.state is CampaignState.PAUSED:
            campaign = resumed(campaign, members, 3.0)
        begun = to_start(campaign, members, NAMES)
        began += begun
        members = [replace(each, state=RUNNING) if each.hardware_id in begun else each for each in members]
        if not canaries_done(campaign, members):
            assert count(members, RUNNING, AWAY) <= campaign.canary
        members = [becomes(each, data) for each in members]
    assert began == list(campaign.members)[: len(began)]
    members = [replace(each, state=DONE) if each.state in (RUNNING, AWAY) else each for each in members]
    assert judge(campaign, members, 4.0).state is CampaignState.DONE or count(members, PENDING)


def becomes(each: Member, data: st.DataObject) -> Member:
    """An operator may retry who has failed; nobody else returns from an end."""
    follows = FOLLOWS.get(each.state, (each.state,))
    return member(each.hardware_id, data.draw(st.sampled_from(follows)))


@given(situations())
def test_an_aborted_one_tells_for_ever_what_had_become_of_each(situation: tuple[Campaign, list[Member]]) -> None:
    campaign, members = situation
    aborted = ended(campaign, CampaignState.ABORTED, members, 2.0)
    assert (aborted.state.ended, members_of(aborted, {}), to_start(aborted, members, NAMES)) == (True, members, [])
