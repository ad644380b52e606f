"""Modules on the LAN: who is spoken to, who goes first, and what happens when they come and go."""

from __future__ import annotations

import pytest

from tests.unit.engine.fake_clock import settle, until
from tests.unit.engine.plant import POP, Module, Plant, lan, port
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Approved, Failed, Moved
from ucm_provision.core.machine import Milestone, Session
from ucm_provision.core.model import Reservation, Sighting
from ucm_provision.core.plan import LanPolicy, UsbPolicy


def is_verified(plant: Plant, module: Module) -> bool:
    session = plant.record.latest_of(module.hardware_id)
    return session is not None and session.milestone is Milestone.VERIFIED


def held(session: Session | None, code: Code) -> bool:
    return session is not None and session.hold is not None and session.hold.code is code


def listed(plant: Plant, number: int) -> Module:
    module = plant.module(number)
    plant.list(module)
    return module


# ---- who is spoken to ----------------------------------------------------------------------------


async def test_a_listed_module_is_provisioned_and_met_again_after_its_commit() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.leaves_for = 3
        endpoint = await plant.announce(module)
        await until(lambda: module.active is not None)
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)
        session = plant.session(module)
    assert (session.endpoint, session.announced_id) == (endpoint, module.hardware_id)
    assert plant.cables.dialled == [endpoint.address]


async def test_one_that_never_comes_back_is_told_after_its_trial() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.leaves_for = 1000
        await plant.announce(module)
        await plant.clock.advance(policy.TRIAL_DEFAULT + 60.0)
        assert plant.session(module).milestone is Milestone.PUSHED
    (failure,) = [e for _, e in plant.journal.events if isinstance(e, Failed) and e.code is Code.NOT_ONLINE]
    assert failure.detail == "not met again on the LAN yet"


async def test_an_unlisted_module_is_shown_but_neither_spoken_to_nor_journalled() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        endpoint = await plant.announce(module)
        await plant.clock.advance(3600.0)
        (view,) = plant.record.views()
        assert (view["announced_id"], view["hardware_id"], view["routes"]) == (
            module.hardware_id,
            None,
            ["192.0.2.7:80"],
        )
        assert view["hold"] is not None
        assert view["hold"]["code"] == "approval_needed"
        await plant.supervisor.sight(Sighting(endpoint, present=False))
        await settle()
        assert plant.record.views() == []
    assert (plant.journal.events, plant.cables.dialled) == ([], [])


async def test_an_approved_module_is_provisioned() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.announce(module)
        await settle()
        (view,) = plant.record.views()
        with pytest.raises(UcmError, match="APPROVAL_NEEDED"):
            await plant.operator.retry(view["session"], "uid 1")
        await plant.operator.approve(view["session"], POP, "uid 1")
        await plant.clock.advance(10.0)
        assert is_verified(plant, module)
        assert plant.session(module).id == view["session"]
    assert Approved("uid 1") in [event for _, event in plant.journal.events]


async def test_an_imported_manifest_lets_candidates_go_on() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.announce(module)
        await settle()
        plant.list(module)
        await plant.operator.manifest_imported("uid 1")
        await plant.clock.advance(10.0)
        assert is_verified(plant, module)
        assert len(plant.record.views()) == 1


async def test_who_wants_to_be_asked_is_asked_for_listed_modules_too() -> None:
    async with Plant(lan=LanPolicy.ASK, usb=UsbPolicy.ASK).running() as plant:
        far, near = listed(plant, 1), listed(plant, 2)
        await plant.announce(far)
        await plant.plug(port(0), near)
        await plant.clock.advance(60.0)
        codes = [view["hold"]["code"] for view in plant.record.views() if view["hold"]]
        assert codes == ["approval_needed", "approval_needed"]
        assert plant.api.asked.total() == 0
        for view in plant.record.views():
            await plant.operator.approve(view["session"], POP, "uid 1")
        await plant.clock.advance(10.0)
        assert is_verified(plant, far)
        assert is_verified(plant, near)


async def test_cables_may_be_for_listed_modules_only() -> None:
    async with Plant(usb=UsbPolicy.LISTED).running() as plant:
        known, stranger = listed(plant, 1), plant.module(2)
        await plant.plug(port(0), known)
        await plant.plug(port(1), stranger)
        await plant.clock.advance(10.0)
        assert is_verified(plant, known)
        assert held(plant.session(stranger), Code.APPROVAL_NEEDED)
        plant.list(stranger)
        await plant.operator.manifest_imported("uid 1")
        await plant.clock.advance(10.0)
        assert is_verified(plant, stranger)


async def test_a_flood_of_strangers_stays_in_bounds_and_costs_no_disk() -> None:
    async with Plant().running() as plant:
        module, cabled = listed(plant, 1), plant.module(2)
        for number in range(10_000, 20_000):
            stranger = Module(number)
            await plant.supervisor.sight(Sighting(lan(stranger), present=True, announced_id=stranger.hardware_id))
            if number == 15_000:
                await plant.plug(port(0), cabled)
                await plant.announce(module)
        await plant.clock.advance(10.0)
        assert is_verified(plant, cabled)
        assert len(plant.record.candidates.all()) == policy.CANDIDATES_KEPT
        assert {session for session, _ in plant.journal.events} == {s.id for s in plant.record.sessions()}
        assert len(plant.record.sessions()) <= 2


# ---- who it really is ----------------------------------------------------------------------------


async def test_another_module_behind_an_announcement_gets_nothing() -> None:
    async with Plant().running() as plant:
        announced, other = listed(plant, 1), plant.module(2)
        endpoint = await plant.announce(announced, met=other)
        await plant.clock.advance(60.0)
        assert held(plant.at(endpoint), Code.IDENTITY_MISMATCH)
        assert (other.reservation, other.active, plant.api.asked.total()) == (None, None, 0)
        # The module itself announces its own address: that is tried by itself.
        await plant.announce(announced, "192.0.2.9:80")
        await plant.clock.advance(10.0)
        assert is_verified(plant, announced)


async def test_what_leaves_the_lan_and_returns_lifts_no_question_to_an_operator() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        endpoint = await plant.announce(module)
        plant.cables[endpoint].fault = UcmError(Code.POP_WRONG)
        await plant.clock.advance(1000.0)
        tried = len(plant.cables.dialled)
        assert held(plant.at(endpoint), Code.POP_WRONG)
        for _ in range(5):
            await plant.supervisor.sight(Sighting(endpoint, present=False, announced_id=module.hardware_id))
            await plant.clock.advance(10.0)
            await plant.supervisor.sight(Sighting(endpoint, present=True, announced_id=module.hardware_id))
            await plant.clock.advance(10.0)
        assert len(plant.cables.dialled) == tried == 3


# ---- one module, several ways to it --------------------------------------------------------------


async def test_a_verified_module_that_announces_itself_is_no_news() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        await plant.plug(port(0), module)
        await plant.clock.advance(10.0)
        await plant.unplug(port(0))
        endpoint = await plant.announce(module)
        await plant.clock.advance(600.0)
        assert endpoint.address not in plant.cables.dialled
        (view,) = plant.record.views()
        assert (view["present"], view["endpoint"], view["milestone"]) == (True, endpoint.address, "VERIFIED")


async def test_an_unplugged_module_goes_on_over_the_lan() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await until(lambda: module.writers == 1)
        endpoint = await plant.announce(module)
        await settle()
        assert plant.cables.dialled == ["/dev/ttyUSB0"]
        await plant.unplug(port(0))
        module.transfer_gate.set()
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)
        assert plant.session(module).endpoint == endpoint
    assert plant.api.asked[module.hardware_id] == 1


async def test_a_cable_takes_over_before_anything_was_written() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        plant.api.gate.clear()
        endpoint = await plant.announce(module)
        await until(lambda: plant.api.asked[module.hardware_id] == 1)
        await plant.plug(port(0), module)
        await until(lambda: plant.cables.open == 2)
        plant.api.gate.set()
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)
        session = plant.session(module)
        assert (session.endpoint, session.formerly) == (port(0), (endpoint.key,))
        assert len(plant.record.views()) == 1
    assert plant.api.asked[module.hardware_id] == 1  # the credentials went along


async def test_a_cable_waits_once_the_module_is_written_to() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.transfer_gate.clear()
        endpoint = await plant.announce(module)
        await until(lambda: module.writers == 1)
        await plant.plug(port(0), module)
        await until(lambda: plant.cables.open == 2)
        await settle()
        module.transfer_gate.set()
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)
        verified = [s for s in plant.record.sessions() if s.milestone is Milestone.VERIFIED and not s.adopted]
        assert [session.endpoint for session in verified] == [endpoint]
    assert (module.most_writers, plant.api.asked[module.hardware_id]) == (1, 1)


async def test_the_lan_s_hint_of_a_module_on_a_cable_goes_up_in_its_session() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.transfer_gate.clear()
        endpoint = lan(module)
        plant.cables.connect(endpoint, module)
        plant.cables[endpoint].gate.clear()
        await plant.announce(module)
        plant.cables[endpoint].gate.clear()
        await settle()
        await plant.plug(port(0), module)
        await until(lambda: module.writers == 1)
        plant.cables[endpoint].gate.set()
        module.transfer_gate.set()
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)
        assert [view["milestone"] for view in plant.record.views()] == ["VERIFIED"]
        assert not plant.session(module).adopted
    assert [event for _, event in plant.journal.events if isinstance(event, Absorbed | Moved)] == [
        Absorbed(plant.session(module).id)
    ]


# ---- patience ------------------------------------------------------------------------------------


async def test_a_stolen_session_is_tried_again_soon_then_patiently() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        endpoint = await plant.announce(module)
        plant.cables[endpoint].fault = UcmError(Code.LINK_LOST)
        await plant.clock.advance(3.0)
        assert 3 <= len(plant.cables.dialled) <= 5
        await plant.clock.advance(60.0)
        before = len(plant.cables.dialled)
        await plant.clock.advance(80.0)
        assert 10 <= len(plant.cables.dialled) - before <= 20
        plant.cables[endpoint].fault = None
        await plant.clock.advance(30.0)
        assert is_verified(plant, module)


async def test_another_box_s_reservation_is_waited_for_until_the_module_says_that_it_has_ended() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.reservation = Reservation("box-b", 170)
        endpoint = await plant.announce(module)
        await until(lambda: held(plant.at(endpoint), Code.MODULE_BUSY))
        for state in ("new", "trial"):
            await plant.announce(module, state=state)
            await plant.clock.advance(60.0)
        assert len(plant.cables.dialled) == 1
        for _ in range(3):  # one that says so while the reservation goes on is asked again once
            await plant.announce(module, state="active")
            await plant.clock.advance(5.0)
        assert len(plant.cables.dialled) == 2
        module.reservation = None
        await plant.announce(module, state="new")
        await plant.clock.advance(10.0)
        assert is_verified(plant, module)


async def test_what_is_announced_during_a_conversation_counts_when_it_has_ended() -> None:
    async with Plant().running() as plant:
        module = listed(plant, 1)
        module.reservation = Reservation("box-b", 170)
        endpoint = await plant.announce(module)
        plant.cables[endpoint].gate.clear()
        await until(lambda: plant.cables.open == 1)
        await plant.supervisor.sight(Sighting(endpoint, True, module.hardware_id, "active"))
        await settle()
        plant.cables[endpoint].gate.set()
        await settle()
        assert held(plant.at(endpoint), Code.MODULE_BUSY)
        assert len(plant.cables.dialled) == 2


async def test_modules_that_never_answer_keep_no_cable_waiting() -> None:
    async with Plant().running() as plant:
        for number in range(policy.LAN_SESSIONS_AT_ONCE + 10):
            silent = listed(plant, 100 + number)
            endpoint = lan(silent)
            plant.cables.connect(endpoint, silent)
            await plant.announce(silent)
            plant.cables[endpoint].gate.clear()
        await settle()
        assert plant.cables.open == policy.LAN_SESSIONS_AT_ONCE
        module = plant.module(1)
        await plant.plug(port(0), module)
        await until(lambda: is_verified(plant, module))


async def test_an_outage_is_probed_by_one_module_and_its_end_lets_all_go_on() -> None:
    async with Plant().running() as plant:
        modules = [listed(plant, number) for number in range(1, 41)]
        plant.api.fault = UcmError(Code.API_UNREACHABLE)
        for module in modules:
            await plant.announce(module)
        await settle()
        assert all(held(plant.session(module), Code.API_UNREACHABLE) for module in modules)
        asked = plant.api.asked.total()
        assert asked <= policy.API_CALLS_AT_ONCE
        dialled = len(plant.cables.dialled)
        await plant.clock.advance(600.0)
        # 5, 10, 20, 40, 60, 60, … seconds apart, one module each time.
        assert plant.api.asked.total() - asked <= 14
        assert len(plant.cables.dialled) - dialled <= 14
        plant.api.fault = None
        await plant.clock.advance(policy.OUTAGE_PROBE_LAST + 30.0)
        assert all(is_verified(plant, module) for module in modules)
        assert plant.supervisor.pause is None


async def test_those_that_queue_for_an_api_that_turns_out_to_be_away_do_not_ask_it() -> None:
    async with Plant().running() as plant:
        modules = [listed(plant, number) for number in range(1, 41)]
        plant.api.gate.clear()
        for module in modules:
            await plant.announce(module)
        await settle()
        plant.api.fault = UcmError(Code.API_UNREACHABLE)
        plant.api.gate.set()
        await settle()
        assert all(held(plant.session(module), Code.API_UNREACHABLE) for module in modules)
        assert plant.api.asked.total() == policy.API_CALLS_AT_ONCE


# ---- blinking ------------------------------------------------------------------------------------


async def test_a_module_blinks_over_usb_before_it_is_approved_and_over_the_lan_after() -> None:
    async with Plant(usb=UsbPolicy.ASK, lan=LanPolicy.ASK).running() as plant:
        near, far = plant.module(1), plant.module(2)
        await plant.plug(port(0), near)
        await plant.announce(far)
        await plant.clock.advance(1.0)
        sessions = {view["announced_id"] or view["hardware_id"]: view["session"] for view in plant.record.views()}
        await plant.operator.identify(sessions[near.hardware_id], 7)
        with pytest.raises(UcmError, match="APPROVAL_NEEDED"):
            await plant.operator.identify(sessions[far.hardware_id], 7)
        await plant.operator.approve(sessions[far.hardware_id], POP, "uid 1")
        await plant.clock.advance(30.0)
        await plant.operator.identify(plant.session(far).id, 9)
    assert (near.blinks, far.blinks) == ([7], [9])
    assert near.active is None


async def test_a_module_at_work_does_not_blink() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await until(lambda: module.writers == 1)
        with pytest.raises(UcmError, match="MODULE_AT_WORK"):
            await plant.operator.identify(plant.session(module).id, 5)
