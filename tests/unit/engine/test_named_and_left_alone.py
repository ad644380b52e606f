"""Modules that operators call something, and those that they want left alone."""

from __future__ import annotations

import pytest

from tests.unit.engine.fake_clock import settle
from tests.unit.engine.plant import POP, Module, Plant, device_of, port
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import ArgumentsFixed, Cancelled, DeviceAdded, Named, Warned
from ucm_provision.core.machine import Milestone
from ucm_provision.core.plan import ExpectedModule, UsbPolicy
from ucm_provision.wire import ModuleView


def view_of(plant: Plant) -> ModuleView:
    """Of the only module that is shown."""
    (view,) = plant.record.views()
    return view


async def verified(plant: Plant, number: int = 1) -> Module:
    module = plant.module(number)
    await plant.plug(port(number), module)
    await plant.clock.advance(10.0)
    assert plant.session(module).milestone is Milestone.VERIFIED
    return module


async def failing(plant: Plant, code: Code = Code.BROKER_TLS_UNTRUSTED) -> Module:
    """A module that waits for an operator, or for its next try."""
    module = plant.module(1)
    plant.api.fault = UcmError(code, "as the test wants")
    await plant.plug(port(1), module)
    await plant.clock.advance(1.0)
    assert plant.session(module).hold is not None
    return module


# ---- names -----------------------------------------------------------------------------------------


async def test_a_name_that_was_given_with_the_approval_is_what_the_api_is_asked_with() -> None:
    async with Plant(usb=UsbPolicy.ASK).running() as plant:
        module = plant.module(1)
        await plant.plug(port(1), module)
        await plant.clock.advance(1.0)
        await plant.operator.approve(view_of(plant)["session"], POP, "page:anna", name="Boiler room")
        await plant.clock.advance(10.0)
        assert plant.api.devices[module.hardware_id].name == "Boiler room"
        assert view_of(plant)["name"] == "Boiler room"
    kinds = [type(event) for _, event in plant.journal.events]
    assert kinds.index(Named) < kinds.index(ArgumentsFixed) < kinds.index(DeviceAdded)


async def test_a_module_on_the_lan_is_named_as_it_is_approved_and_not_before() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.announce(module)
        await settle()
        session = view_of(plant)["session"]
        with pytest.raises(UcmError, match="APPROVAL_NEEDED"):
            await plant.operator.name(session, "Tank", "anna")
        await plant.operator.approve(session, POP, "anna", name="Tank")
        await plant.clock.advance(10.0)
        assert plant.api.devices[module.hardware_id].name == "Tank"


async def test_an_operator_s_name_goes_before_the_manifest_and_outlives_sessions_and_restarts() -> None:
    plant = Plant()
    plant.expected[Module(1).hardware_id] = ExpectedModule(Module(1).hardware_id, name="As listed", pop=POP)
    async with plant.running():
        module = await verified(plant)
        assert plant.api.devices[module.hardware_id].name == "As listed"
        await plant.operator.name(plant.session(module).id, "Boiler", "anna")
        assert plant.api.devices[module.hardware_id].name == "Boiler"
        await plant.operator.reprovision(plant.session(module).id, "anna")
        await plant.clock.advance(10.0)
        assert view_of(plant)["name"] == "Boiler"
    again = Plant(plant)
    async with again.running():
        await again.plug(port(1), module)
        await again.operator.reprovision(again.session(module).id, "anna")
        assert view_of(again)["name"] == "Boiler"
        await again.clock.advance(10.0)
        assert (view_of(again)["name"], again.api.devices[module.hardware_id].name) == ("Boiler", "Boiler")


async def test_a_device_that_the_api_knew_already_is_renamed_when_it_is_provisioned() -> None:
    async with Plant(usb=UsbPolicy.ASK).running() as plant:
        module = plant.module(1)
        plant.api.devices[module.hardware_id] = device_of(module.hardware_id, "Old name")
        await plant.plug(port(1), module)
        await plant.clock.advance(1.0)
        await plant.operator.approve(view_of(plant)["session"], POP, "anna", name="New name")
        await plant.clock.advance(10.0)
        assert plant.api.devices[module.hardware_id].name == "New name"
        assert view_of(plant)["warnings"] == []


async def test_an_api_that_refuses_the_name_is_a_warning_and_no_obstacle() -> None:
    async with Plant(usb=UsbPolicy.ASK).running() as plant:
        module = plant.module(1)
        plant.api.devices[module.hardware_id] = device_of(module.hardware_id, "Old name")
        plant.api.refuses_names = True
        await plant.plug(port(1), module)
        await plant.clock.advance(1.0)
        await plant.operator.approve(view_of(plant)["session"], POP, "anna", name="New name")
        await plant.clock.advance(10.0)
        assert plant.session(module).milestone is Milestone.VERIFIED
    (warned,) = [event for _, event in plant.journal.events if isinstance(event, Warned)]
    assert warned.text.startswith('The API keeps the name "Old name": "New name" was refused')


async def test_an_api_that_is_away_is_told_with_the_same_call_again() -> None:
    async with Plant().running() as plant:
        module = await verified(plant)
        session = plant.session(module).id
        plant.api.fault = UcmError(Code.API_UNREACHABLE, "no route")
        with pytest.raises(UcmError, match="API_UNREACHABLE"):
            await plant.operator.name(session, "Boiler", "anna")
        assert view_of(plant)["name"] == "Boiler"
        plant.api.fault = None
        await plant.operator.name(session, "Boiler", "anna")
        assert plant.api.devices[module.hardware_id].name == "Boiler"
    assert [event for _, event in plant.journal.events if isinstance(event, Named)] == [Named("Boiler", "anna")]


async def test_a_module_that_is_worked_on_is_not_interrupted() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        plant.api.gate.clear()
        await plant.plug(port(1), module)
        await settle()
        session = view_of(plant)["session"]
        for asked in (plant.operator.name(session, "Boiler", "anna"), plant.operator.cancel(session, "anna")):
            with pytest.raises(UcmError, match="MODULE_AT_WORK"):
                await asked
        plant.api.gate.set()


# ---- left alone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.API_REJECTED, Code.API_FAILED], ids=["waits for somebody", "would try again"])
async def test_a_module_is_left_alone_through_restarts_until_somebody_retries_it(code: Code) -> None:
    plant = Plant()
    async with plant.running():
        module = await failing(plant, code)
        await plant.operator.cancel(plant.session(module).id, "anna")
        plant.api.fault = None
        await plant.clock.advance(3600.0)
        view = view_of(plant)
        assert (view["milestone"], view["left_alone_by"], view["hold"]) == ("CANCELLED", "anna", None)
    again = Plant(plant)
    async with again.running():
        await again.plug(port(1), module)  # the same appearance: the daemon, not the module, was away
        await again.clock.advance(3600.0)
        assert view_of(again)["left_alone_by"] == "anna"
        fresh = await again.operator.retry(view_of(again)["session"], "anna")
        await again.clock.advance(10.0)
        assert (view_of(again)["session"], view_of(again)["milestone"]) == (fresh, "VERIFIED")
        assert view_of(again)["left_alone_by"] is None


async def test_a_new_plug_is_an_operator_s_hand() -> None:
    async with Plant().running() as plant:
        module = await failing(plant, Code.API_REJECTED)
        await plant.operator.cancel(plant.session(module).id, "anna")
        plant.api.fault = None
        await plant.unplug(port(1))
        await plant.plug(port(1, plug=1), module)
        await plant.clock.advance(10.0)
        assert view_of(plant)["milestone"] == "VERIFIED"


async def test_so_is_reprovision() -> None:
    async with Plant().running() as plant:
        module = await failing(plant, Code.API_REJECTED)
        await plant.operator.cancel(plant.session(module).id, "anna")
        plant.api.fault = None
        await plant.operator.reprovision(view_of(plant)["session"], "anna")
        await plant.clock.advance(10.0)
        assert view_of(plant)["milestone"] == "VERIFIED"


async def test_on_the_lan_a_module_stays_left_alone_however_often_it_is_announced() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        plant.list(module)
        plant.api.fault = UcmError(Code.API_REJECTED, "no")
        await plant.announce(module)
        await plant.clock.advance(10.0)
        await plant.operator.cancel(plant.session(module).id, "anna")
        plant.api.fault = None
        await plant.announce(module, state="configured")
        await plant.clock.advance(3600.0)
        assert view_of(plant)["left_alone_by"] == "anna"
        await plant.operator.retry(view_of(plant)["session"], "anna")
        await plant.clock.advance(10.0)
        assert view_of(plant)["milestone"] == "VERIFIED"


async def test_one_that_is_not_there_cannot_begin_again() -> None:
    async with Plant().running() as plant:
        module = await failing(plant, Code.API_REJECTED)
        await plant.operator.cancel(plant.session(module).id, "anna")
        await plant.unplug(port(1))
        await settle()
        with pytest.raises(UcmError, match="DEVICE_GONE"):
            await plant.operator.retry(view_of(plant)["session"], "anna")


async def test_where_nothing_is_to_be_done_nothing_can_be_cancelled() -> None:
    async with Plant().running() as plant:
        module = await verified(plant)
        with pytest.raises(UcmError, match="NOTHING_TO_CANCEL"):
            await plant.operator.cancel(plant.session(module).id, "anna")
        await plant.announce(plant.module(2))
        await settle()
        (candidate,) = [view for view in plant.record.views() if view["hardware_id"] is None]
        with pytest.raises(UcmError, match="NOTHING_TO_CANCEL"):
            await plant.operator.cancel(candidate["session"], "anna")
    assert not [event for _, event in plant.journal.events if isinstance(event, Cancelled)]


# ---- and forgotten ---------------------------------------------------------------------------------


async def test_with_the_module_its_name_and_its_being_left_alone_are_forgotten() -> None:
    async with Plant().running() as plant:
        module = await failing(plant, Code.API_REJECTED)
        session = plant.session(module).id
        await plant.operator.name(session, "Boiler", "anna")
        await plant.operator.cancel(session, "anna")
        with plant.feed.listen() as changes:
            await plant.decommission.forget(plant.session(module), "anna")
            told = await changes.next()
        assert (told["milestone"], told["left_alone_by"], plant.record.views()) == ("CANCELLED", None, [])
        plant.api.fault = None
        await plant.unplug(port(1))
        await plant.plug(port(1, plug=1), module)
        await plant.clock.advance(10.0)
        assert view_of(plant)["name"] == f"ENP-RL6 {module.hardware_id[-6:]}"
