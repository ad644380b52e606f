"""Many modules to another network: a few first, within a budget of failures, and again after anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.engine.fake_clock import settle
from tests.unit.engine.plant import SITE_ID, Module, Plant
from ucm_provision.core.campaign import Campaign, CampaignKind, CampaignState, MemberState
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ConfigState, Device, Sighting
from ucm_provision.engine.campaigns import Pace

OLD, NEW = "plant-old", "plant-new"


@asynccontextmanager
async def site(count: int, **options: object) -> AsyncIterator[tuple[Plant, list[Module]]]:
    """A site whose modules are verified on the old network, and that knows the new one."""
    plant = Plant(**options)
    plant.profiles.set(OLD)
    async with plant.running():
        modules = [plant.module(number) for number in range(1, count + 1)]
        for module in modules:
            plant.list(module)
            await plant.announce(module)
        await plant.clock.advance(30.0)
        assert all(module.ssid == OLD for module in modules)
        plant.profiles.set(OLD, NEW)
        yield plant, modules


async def place(plant: Plant, kind: CampaignKind = CampaignKind.CHANGE, ssid: str = NEW, **pace: int) -> Campaign:
    return await plant.campaigns.place(plant.selection.target(kind, ssid), Pace(**pace), "uid 1")


def states(plant: Plant, campaign: Campaign) -> list[str]:
    return [member.state.value for member in plant.campaigns.members(plant.campaigns.get(campaign.id))]


async def test_every_module_moves_and_new_ones_get_the_new_network_first() -> None:
    async with site(12) as (plant, modules):
        devices = {module.hardware_id: plant.session(module).device_id for module in modules}
        campaign = await place(plant)
        await plant.clock.advance(120.0)
        assert plant.campaigns.get(campaign.id).state is CampaignState.DONE
        assert all((module.ssid, module.only_tried) == (NEW, NEW) for module in modules)
        assert {module.hardware_id: plant.session(module).device_id for module in modules} == devices
        assert [network.ssid for network in plant.profiles.networks] == [NEW, OLD]
    # The canary proved the network with its old credentials first; nobody else was written to twice.
    assert sorted(module.commits for module in modules) == [2] * 11 + [3]
    assert sum(module.kept for module in modules) == 1


async def test_the_canary_goes_alone() -> None:
    async with site(5) as (plant, modules):
        for module in modules:
            module.transfer_gate.clear()
        await place(plant)
        await plant.clock.advance(60.0)
        assert sum(module.writers for module in modules) == 1
        for module in modules:
            module.transfer_gate.set()
        await plant.clock.advance(60.0)
        assert all(module.ssid == NEW for module in modules)


async def test_a_network_that_takes_nobody_stops_at_the_canary() -> None:
    async with site(6) as (plant, modules):
        for module in modules:
            module.refuses = NEW
        asked = plant.api.asked.total()
        campaign = await place(plant)
        await plant.clock.advance(300.0)
        campaign = plant.campaigns.get(campaign.id)
        assert campaign.state is CampaignState.PAUSED
        assert "the canary failed" in campaign.reason
        assert states(plant, campaign).count("pending") == 5
        assert [module.ssid for module in modules] == [OLD] * 6
        assert plant.api.asked.total() == asked  # the API was not even asked
        assert [network.ssid for network in plant.profiles.networks] == [OLD, NEW]


async def test_more_failures_than_allowed_pause_it_and_an_operator_may_go_on() -> None:
    async with site(12) as (plant, modules):
        for module in modules[6:]:
            module.refuses = NEW
        campaign = await place(plant, wave=1, max_failures=1)
        await plant.clock.advance(900.0)
        assert plant.campaigns.get(campaign.id).state is CampaignState.PAUSED
        assert states(plant, campaign).count("failed") == 2
        for module in modules:
            module.refuses = ""
        for session in plant.record.for_campaign(campaign.id).values():
            if session.hold:
                await plant.operator.retry(session.id, "uid 1")
        await plant.campaigns.resume(campaign.id)
        await plant.clock.advance(900.0)
        assert plant.campaigns.get(campaign.id).state is CampaignState.DONE
        assert all(module.ssid == NEW for module in modules)


async def test_who_is_off_is_taken_up_when_it_appears() -> None:
    async with site(4) as (plant, modules):
        gone = await plant.announce(modules[3])
        await plant.supervisor.sight(Sighting(gone, present=False, announced_id=modules[3].hardware_id))
        choice = plant.selection.choose(plant.selection.target(CampaignKind.CHANGE, NEW))
        assert [bool(candidate.why) for candidate in choice.members] == [False, False, False, True]
        campaign = await place(plant)
        await plant.clock.advance(120.0)
        assert states(plant, campaign) == ["done", "done", "done", "pending"]
        assert plant.campaigns.get(campaign.id).state is CampaignState.RUNNING
        assert plant.campaigns.is_idle(plant.campaigns.get(campaign.id))
        await plant.announce(modules[3])
        await plant.clock.advance(60.0)
        assert plant.campaigns.get(campaign.id).state is CampaignState.DONE


async def test_a_restart_goes_on_where_it_was() -> None:
    async with site(8) as (plant, modules):
        modules[5].transfer_gate.clear()
        campaign = await place(plant, wave=2)
        await plant.clock.advance(20.0)
        assert 0 < states(plant, campaign).count("done") < 8
    modules[5].transfer_gate.set()
    again = Plant(before=plant)
    async with again.running():
        for module in modules:
            await again.announce(module)
        await again.clock.advance(300.0)
        assert again.campaigns.get(campaign.id).state is CampaignState.DONE
    assert all(module.ssid == NEW for module in modules)
    assert sorted(module.commits for module in modules) == [2] * 7 + [3]


async def test_staging_and_dropping_let_any_network_count() -> None:
    async with site(3) as (plant, modules):
        await place(plant, CampaignKind.STAGE)
        await plant.clock.advance(60.0)
        assert all((module.networks, module.only_tried) == ((OLD, NEW), "") for module in modules)
        await place(plant)
        await plant.clock.advance(60.0)
        assert all(module.networks == (NEW, OLD) for module in modules)
        await place(plant, CampaignKind.DROP, OLD)
        await plant.clock.advance(60.0)
        assert all(module.networks == (NEW,) for module in modules)
        assert [network.ssid for network in plant.profiles.networks] == [NEW]
        with pytest.raises(UcmError, match="CAMPAIGN_POINTLESS"):
            await place(plant)


async def test_one_campaign_at_a_time_and_an_aborted_one_touches_nobody_else() -> None:
    async with site(6) as (plant, modules):
        for module in modules:
            module.transfer_gate.clear()
        campaign = await place(plant)
        await settle()
        with pytest.raises(UcmError, match="CAMPAIGN_OPEN"):
            await place(plant)
        await plant.campaigns.abort(campaign.id)
        for module in modules:
            module.transfer_gate.set()
        await plant.clock.advance(120.0)
        assert sum(module.commits > 1 for module in modules) <= 1
        ended = plant.campaigns.get(campaign.id)
        assert (ended.state, {member.state for member in ended.results} >= {MemberState.PENDING}) == (
            CampaignState.ABORTED,
            True,
        )
        with pytest.raises(UcmError, match="CAMPAIGN_ENDED"):
            await plant.campaigns.resume(campaign.id)


async def test_a_module_of_another_owner_is_left_out() -> None:
    async with site(2) as (plant, modules):
        theirs = plant.module(9)
        plant.list(theirs)
        theirs.active, theirs.credentials_live = ConfigState(4, b"", "device-9", (OLD,), "box-b", b"theirs"), True
        plant.api.devices[theirs.hardware_id] = Device("device-9", "s", "n", SITE_ID, theirs.hardware_id, True, 4)
        await plant.announce(theirs)
        await plant.clock.advance(30.0)
        choice = plant.selection.choose(plant.selection.target(CampaignKind.CHANGE, NEW))
        assert [candidate.session.hardware_id for candidate in choice.members] == [m.hardware_id for m in modules]
        assert [candidate.why for candidate in choice.left_out] == ['managed by "box-b"']
        await place(plant)
        await plant.clock.advance(60.0)
    assert (theirs.commits, theirs.reservation) == (0, None)


async def test_a_module_whose_old_credentials_are_dead_gets_fresh_ones_on_its_old_network() -> None:
    async with site(3) as (plant, modules):
        for module in modules[1:]:
            module.refuses, module.revoked_when_asked = NEW, True
        campaign = await place(plant, max_failures=5)
        await plant.clock.advance(600.0)
        failed = [member for member in plant.campaigns.members(plant.campaigns.get(campaign.id)) if member.code]
        assert {member.code for member in failed} == {Code.TRIAL_WIFI_NOT_FOUND}
        assert all("fresh credentials" in member.detail for member in failed)
        assert all((module.ssid, module.is_online) == (OLD, True) for module in modules[1:])
        assert modules[0].ssid == NEW
