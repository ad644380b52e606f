"""Modules that leave the site: nothing here knows them any more, and met again they are new."""

from __future__ import annotations

import pytest

from tests.unit.engine.plant import BOX, POP, Module, Plant, port
from tests.unit.engine.test_upkeep import upkeep_of
from ucm_provision.core.campaign import CampaignKind, CampaignState
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Forgotten
from ucm_provision.core.machine import Milestone, Waits
from ucm_provision.core.model import ConfigState, Endpoint
from ucm_provision.engine.campaigns import Pace
from ucm_provision.engine.decommission import Wipe

CABLE = port(0)


async def verified(plant: Plant, *numbers: int) -> list[Module]:
    """Modules on cables, brought all the way."""
    plant.profiles.set("plant", "plant-2")
    modules = [plant.module(number) for number in numbers]
    for number, module in zip(numbers, modules, strict=True):
        await plant.plug(port(number), module)
    await plant.clock.advance(30.0)
    assert [plant.session(module).milestone for module in modules] == [Milestone.VERIFIED] * len(modules)
    return modules


async def forget(plant: Plant, module: Module, wipe: Wipe | None = None) -> None:
    await plant.decommission.forget(plant.session(module), "fitter", wipe)
    await plant.clock.advance(30.0)


async def test_a_forgotten_module_is_nowhere_and_holds_what_it_held() -> None:
    plant = Plant()
    async with plant.running():
        module, other = await verified(plant, 0, 1)
        with plant.feed.listen() as changes:
            await forget(plant, module)
            last = await changes.next()
        assert [view["hardware_id"] for view in plant.record.views()] == [other.hardware_id]
        assert plant.record.counts() == {"VERIFIED": 1}
        assert plant.record.latest_of(module.hardware_id) is None
        assert plant.record.origin_of(module.hardware_id) == ""
        assert (last["session"], last["milestone"]) == (plant.session(module).id, "CANCELLED")
        assert (module.generation, plant.cables.dialled.count(CABLE.address)) == (1, 1)


async def test_where_it_is_plugged_in_it_is_left_alone_and_plugged_in_anew_it_is_new() -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        await forget(plant, module)
        await plant.plug(CABLE, module)  # the same appearance, told again
        await plant.clock.advance(30.0)
        assert (plant.record.views(), len(plant.cables.dialled)) == ([], 1)
    later = Plant(plant)
    async with later.running():  # another start of the daemon looks at what is plugged in, too
        await later.plug(CABLE, module)
        await later.clock.advance(30.0)
        assert (later.record.views(), later.cables.dialled) == ([], [])
        await later.unplug(CABLE)
        await later.plug(port(0, plug=1), module)
        await later.clock.advance(30.0)
        (view,) = later.record.views()
        assert (view["milestone"], view["adopted"]) == ("VERIFIED", True)


async def test_on_the_lan_it_is_new_once_it_has_been_away() -> None:
    plant = Plant()
    plant.profiles.set("plant")
    async with plant.running():
        module = plant.module(1)
        plant.list(module)
        endpoint = await plant.announce(module)
        await plant.clock.advance(30.0)
        await forget(plant, module, Wipe())
        await plant.announce(module, "192.0.2.8:80", state="new")
        await plant.supervisor.reconsider("a manifest was imported")
        await plant.clock.advance(30.0)
        assert (plant.record.views(), module.active) == ([], None)
        await plant.unplug(endpoint)
        await plant.announce(module)
        await plant.clock.advance(30.0)
        (view,) = plant.record.views()
        assert (view["milestone"], view["adopted"], module.generation) == ("VERIFIED", False, 2)


async def test_a_stranger_on_the_lan_is_forgotten_until_it_returns() -> None:
    plant = Plant()
    async with plant.running():
        module = plant.module(1)
        endpoint = await plant.announce(module)
        await plant.clock.advance(1.0)
        (candidate,) = plant.record.candidates.all()
        with pytest.raises(UcmError) as refused:
            await plant.decommission.forget(candidate, "fitter", Wipe())
        assert refused.value.code is Code.APPROVAL_NEEDED
        await plant.decommission.forget(candidate, "fitter")
        await plant.announce(module)
        await plant.clock.advance(1.0)
        assert (plant.record.views(), plant.journal.events) == ([], [])
        await plant.unplug(endpoint)
        await plant.announce(module)
        await plant.clock.advance(1.0)
        assert len(plant.record.views()) == 1


async def test_a_port_that_nobody_could_name_is_forgotten_until_the_next_plug() -> None:
    plant = Plant()
    async with plant.running():
        await plant.plug(CABLE, None)
        await plant.clock.advance(1.0)
        (session,) = plant.record.open_sessions()
        await plant.decommission.forget(session, "fitter")
        await plant.clock.advance(3600.0)
        assert (plant.record.views(), len(plant.cables.dialled)) == ([], 1)


async def test_a_wiped_module_is_empty_and_nobody_restores_it() -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        await forget(plant, module, Wipe())
        assert (module.active, module.reservation) == (None, None)
        assert [event for _, event in plant.journal.events][-1] == Forgotten("fitter", wiped=True)
        await upkeep_of(plant).look()
        await plant.clock.advance(30.0)
        assert (plant.record.views(), module.active) == ([], None)


async def test_what_was_typed_for_it_is_forgotten_too() -> None:
    plant = Plant()
    async with plant.running():
        module, other = await verified(plant, 0, 1)
        for each in (module, other):
            await plant.proofs.learn(plant.session(each), POP)
        await forget(plant, module)
        assert set(plant.kept_proofs.proofs) == {other.hardware_id}


# ---- what is refused -----------------------------------------------------------------------------


async def test_a_module_that_is_worked_on_is_not_forgotten() -> None:
    plant = Plant()
    async with plant.running():
        module = plant.module(0)
        module.transfer_gate.clear()
        await plant.plug(CABLE, module)
        await plant.clock.advance(5.0)
        for wipe in (None, Wipe()):
            with pytest.raises(UcmError) as refused:
                await forget(plant, module, wipe)
            assert refused.value.code is Code.MODULE_AT_WORK
        module.transfer_gate.set()
        await plant.clock.advance(30.0)
        assert plant.session(module).milestone is Milestone.VERIFIED


async def test_a_module_out_of_reach_is_forgotten_but_not_wiped() -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        await plant.unplug(CABLE)
        with pytest.raises(UcmError) as refused:
            await forget(plant, module, Wipe())
        assert (refused.value.code, len(plant.record.views())) == (Code.DEVICE_GONE, 1)
        await forget(plant, module)
        assert plant.record.views() == []


async def test_a_module_of_another_box_is_wiped_only_by_force() -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        assert module.active is not None
        module.active = ConfigState(7, b"d" * 32, "device-x", (), "box-b", b"t" * 16)
        with pytest.raises(UcmError, match="box-b") as refused:
            await forget(plant, module, Wipe())
        assert (refused.value.code, module.generation) == (Code.MODULE_NOT_OURS, 7)
        assert plant.session(module).milestone is Milestone.VERIFIED
        await forget(plant, module, Wipe(force=True))
        assert (module.active, plant.record.views()) == (None, [])


@pytest.mark.parametrize("code", [Code.LINK_LOST, Code.MODULE_REFUSED])
async def test_a_wipe_with_an_unknown_outcome_is_for_a_person(code: Code) -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        module.refuses_reset = UcmError(code)
        with pytest.raises(UcmError) as failed:
            await forget(plant, module, Wipe())
        assert (failed.value.code, module.reservation) == (code, None)
        module.active = None  # it was wiped all the same
        upkeep = upkeep_of(plant, verify_every=60.0)
        await plant.clock.advance(3600.0)
        await upkeep.look()
        await plant.clock.advance(30.0)
        hold = plant.session(module).hold
        assert hold is not None
        assert (hold.waits, hold.code, module.active) == (Waits.OPERATOR, Code.WIPE_UNFINISHED, None)
        target = plant.selection.target(CampaignKind.CHANGE, "plant-2")
        assert [each.why for each in plant.selection.choose(target).left_out] == ["was to be wiped"]
        module.refuses_reset = None
        await forget(plant, module, Wipe())
        assert plant.record.views() == []


async def test_it_can_be_kept_after_all() -> None:
    plant = Plant()
    async with plant.running():
        (module,) = await verified(plant, 0)
        module.refuses_reset = UcmError(Code.LINK_LOST)
        with pytest.raises(UcmError):
            await forget(plant, module, Wipe())
        await plant.operator.reprovision(plant.session(module).id, "fitter")
        await plant.clock.advance(30.0)
        session = plant.session(module)
        assert (session.milestone, session.hold, module.generation) == (Milestone.VERIFIED, None, 2)


# ---- campaigns -----------------------------------------------------------------------------------


async def test_a_campaign_is_done_without_those_that_were_forgotten() -> None:
    plant = Plant()
    async with plant.running():
        module, gone = await verified(plant, 0, 1)
        target = plant.selection.target(CampaignKind.CHANGE, "plant-2")
        assert {each.session.hardware_id for each in plant.selection.choose(target).members} == {
            module.hardware_id,
            gone.hardware_id,
        }
        where: Endpoint | None = plant.record.where(plant.session(gone))
        assert where is not None
        await plant.unplug(where)
        campaign = await plant.campaigns.place(target, Pace(), "fitter")
        await plant.clock.advance(120.0)
        assert plant.campaigns.get(campaign.id).state is CampaignState.RUNNING
        await forget(plant, gone)
        await plant.clock.advance(30.0)
        campaign = plant.campaigns.get(campaign.id)
        assert (campaign.state, campaign.members) == (CampaignState.DONE, (module.hardware_id,))
        assert module.active is not None
        assert module.active.owner == BOX
