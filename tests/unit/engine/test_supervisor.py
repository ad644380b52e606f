"""Which sessions exist, which of them run, and when: on cables that come and go."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.engine.fake_clock import START, settle, until
from tests.unit.engine.plant import Module, Plant, port
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Cancelled, Failed, HoldCleared, Moved
from ucm_provision.core.machine import Milestone, Session, Waits
from ucm_provision.core.model import Reservation, Sighting


def held(session: Session | None, code: Code, waits: Waits) -> bool:
    hold = session.hold if session else None
    return hold is not None and (hold.code, hold.waits) == (code, waits)


def verified(plant: Plant, module: Module) -> bool:
    return any(
        session.hardware_id == module.hardware_id and session.milestone is Milestone.VERIFIED
        for session in plant.record.sessions()
    )


# ---- plugging in and out -------------------------------------------------------------------------


async def test_a_module_that_was_there_before_the_daemon_is_taken_care_of() -> None:
    plant, module = Plant(), Module(1)
    plant.modules[module.hardware_id] = module
    await plant.plug(port(0), module)
    async with plant.running():
        await until(lambda: verified(plant, module))
    assert plant.cables.dialled == ["/dev/ttyUSB0"]
    assert plant.session(module).endpoint == port(0)


async def test_unplugged_before_it_was_identified_it_leaves_nothing_open() -> None:
    async with Plant().running() as plant:
        await plant.plug(port(0), None)
        await until(lambda: held(plant.at(port(0)), Code.LINK_SILENT, Waits.RETRY_AT))
        await plant.unplug(port(0))
        assert plant.record.open_sessions() == []
        assert plant.journal.events[-1][1] == Cancelled("unplugged before it was identified")
        await plant.clock.advance(policy.BACKOFF_LAST)
        assert plant.cables.dialled == ["/dev/ttyUSB0"]


async def test_unplugged_in_the_middle_it_waits_for_itself_and_goes_on_at_another_port() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await until(lambda: module.writers == 1)
        await plant.unplug(port(0))
        module.transfer_gate.set()
        await settle()
        interrupted = plant.session(module)
        assert held(interrupted, Code.DEVICE_GONE, Waits.DEVICE_GONE)
        await plant.clock.advance(3600.0)
        assert plant.cables.dialled == ["/dev/ttyUSB0"]
        await plant.plug(port(3), module)
        await until(lambda: verified(plant, module))
    resumed = plant.session(module)
    assert (resumed.id, resumed.endpoint) == (interrupted.id, port(3))
    assert plant.api.asked[module.hardware_id] == 1  # the credentials were still in memory
    assert [event for _, event in plant.journal.events if isinstance(event, Absorbed | Moved)] == [
        Absorbed(interrupted.id),
        Moved(port(3)),
    ]
    assert [view["endpoint"] for view in plant.record.views()] == ["/dev/ttyUSB3"]


async def test_a_module_that_waits_is_held_as_gone_when_it_is_unplugged() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        plant.api.fault = UcmError(Code.API_REJECTED)
        await plant.plug(port(0), module)
        await until(lambda: held(plant.at(port(0)), Code.API_REJECTED, Waits.OPERATOR))
        assert module.reservation is None  # while it waits, another box may have it
        await plant.unplug(port(0))
        assert held(plant.session(module), Code.DEVICE_GONE, Waits.DEVICE_GONE)
        assert plant.journal.events[-1][1] == Failed(Code.DEVICE_GONE, "/dev/ttyUSB0")


async def test_a_port_that_never_left_proves_a_lost_line_to_be_a_hiccup() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.plug(port(0), module)
        plant.cables[port(0)].fault = UcmError(Code.DEVICE_GONE)
        await until(lambda: held(plant.at(port(0)), Code.DEVICE_GONE, Waits.DEVICE_GONE))
        plant.cables[port(0)].fault = None
        await plant.clock.advance(2.9)
        assert len(plant.cables.dialled) == 1
        await plant.clock.advance(0.2)
        assert (plant.session(module).milestone, len(plant.cables.dialled)) == (Milestone.VERIFIED, 2)
    assert HoldCleared("it is still there") in [event for _, event in plant.journal.events]


async def test_a_port_where_a_module_was_verified_is_never_dialled_again() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.plug(port(0), module)
        await until(lambda: verified(plant, module))
        await plant.supervisor.sight(Sighting(port(0), present=True))
        await plant.clock.advance(86400.0)
        assert plant.cables.dialled == ["/dev/ttyUSB0"]
    restarted = Plant(before=plant)
    await restarted.plug(port(0), module)
    async with restarted.running():
        await restarted.clock.advance(86400.0)
        assert restarted.cables.dialled == []


async def test_a_new_plug_of_a_verified_module_is_only_looked_at() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.plug(port(0), module)
        await until(lambda: verified(plant, module))
        await plant.unplug(port(0))
        await plant.plug(port(0, plug=1), module)
        await until(lambda: len(plant.cables.dialled) == 2 and plant.cables.open == 0)
    again = plant.session(module)
    assert (again.milestone, again.adopted, again.generation) == (Milestone.VERIFIED, True, 1)
    assert plant.api.asked[module.hardware_id] == 1
    assert len(plant.record.views()) == 1


async def test_sightings_are_bounded() -> None:
    plant = Plant()
    for number in range(policy.SIGHTINGS_KEPT + 5):
        await plant.supervisor.sight(Sighting(port(number), present=True))
    assert len(plant.record.present) == policy.SIGHTINGS_KEPT
    await plant.supervisor.sight(Sighting(port(0), present=False))
    await plant.supervisor.sight(Sighting(port(9999), present=True))
    assert port(9999).key in plant.record.present


# ---- waiting and trying again --------------------------------------------------------------------


async def test_a_retry_is_neither_early_nor_forgotten() -> None:
    async with Plant().running() as plant:
        await plant.plug(port(0), None)
        await settle()
        for wait in (5.0, 10.0, 20.0, 40.0):
            tries = len(plant.cables.dialled)
            await plant.clock.advance(wait - 0.001)
            assert len(plant.cables.dialled) == tries
            await plant.clock.advance(0.001)
            assert len(plant.cables.dialled) == tries + 1
        await plant.clock.advance(86400.0)
        assert len(plant.cables.dialled) == 5  # a port that never answers is somebody else's
        assert held(plant.at(port(0)), Code.LINK_SILENT, Waits.OPERATOR)


YEARS = 30 * 365 * 86400.0


async def test_a_clock_that_is_put_back_by_years_keeps_nobody_waiting_for_years() -> None:
    async with Plant().running() as plant:
        await plant.plug(port(0), None)
        await until(lambda: held(plant.at(port(0)), Code.LINK_SILENT, Waits.RETRY_AT))
        plant.clock.jump(-YEARS)
        await plant.clock.advance(policy.BACKOFF_FIRST)
        assert len(plant.cables.dialled) == 2


async def test_a_clock_that_is_put_back_by_moments_hurries_nobody() -> None:
    async with Plant().running() as plant:
        await plant.plug(port(0), None)
        await until(lambda: held(plant.at(port(0)), Code.LINK_SILENT, Waits.RETRY_AT))
        plant.clock.jump(-1.0)
        await plant.clock.advance(policy.BACKOFF_FIRST)
        assert len(plant.cables.dialled) == 1
        await plant.clock.advance(1.0)
        assert len(plant.cables.dialled) == 2


async def test_a_pause_does_not_outlast_a_clock_that_is_put_back_by_years() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        plant.api.fault = UcmError(Code.API_UNAUTHORIZED)
        await plant.plug(port(0), module)
        await until(lambda: plant.supervisor.pause is not None)
        plant.clock.jump(-YEARS)
        plant.api.fault = None
        await plant.clock.advance(policy.PAUSE_ALL_SECONDS)
        assert verified(plant, module)


async def test_a_module_that_another_box_has_reserved_is_waited_for_as_long_as_told() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.reservation = Reservation("box-b", 90)
        await plant.plug(port(0), module)
        await until(lambda: held(plant.at(port(0)), Code.MODULE_BUSY, Waits.RETRY_AT))
        assert plant.session(module).hold is not None
        assert module.reservation == Reservation("box-b", 90)
        await plant.clock.advance(89.9)
        assert len(plant.cables.dialled) == 1
        module.reservation = None
        await plant.clock.advance(0.1)
        assert plant.session(module).milestone is Milestone.VERIFIED
        assert plant.api.asked[module.hardware_id] == 1


async def test_an_unexpected_exception_holds_its_module_and_no_other() -> None:
    async with Plant().running() as plant:
        broken, healthy = plant.module(1), plant.module(2)
        await plant.plug(port(0), broken)
        plant.cables[port(0)].fault = ZeroDivisionError("with a secret in its text")
        await plant.plug(port(1), healthy)
        await until(lambda: verified(plant, healthy))
        stuck = plant.at(port(0))
        assert held(stuck, Code.INTERNAL, Waits.OPERATOR)
        assert stuck is not None
        assert stuck.hold is not None
        assert stuck.hold.detail == "ZeroDivisionError"
        await plant.clock.advance(86400.0)
        assert plant.cables.dialled.count("/dev/ttyUSB0") == 1


async def test_a_dead_journal_ends_the_daemon() -> None:
    plant = Plant()
    await plant.record.load()
    supervision = asyncio.create_task(plant.supervisor.run())
    await settle()
    plant.journal.broken = True
    await plant.plug(port(0), plant.module(1))
    with pytest.raises(ExceptionGroup) as ended:
        await supervision
    unusable, rest = ended.value.split(
        lambda error: isinstance(error, UcmError) and error.code is Code.JOURNAL_UNUSABLE
    )
    assert unusable is not None
    assert rest is None
    assert plant.cables.dialled == []


# ---- signs of life -------------------------------------------------------------------------------


async def test_a_supervisor_that_runs_has_a_pulse() -> None:
    async with Plant().running() as plant:
        async with asyncio.timeout(1):
            await plant.supervisor.pulse()


async def test_a_supervisor_that_hangs_has_none() -> None:
    plant = Plant()
    beat = asyncio.create_task(plant.supervisor.pulse())
    await settle()
    assert not beat.done()
    beat.cancel()


async def test_a_session_that_nobody_hears_of_is_stuck() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await settle()
        session = plant.session(module)
        await plant.clock.advance(policy.SESSION_SILENCE_LONGEST - 1)
        assert plant.supervisor.stuck() is None
        await plant.clock.advance(2)
        assert plant.supervisor.stuck() == session.id
        module.transfer_gate.set()
        await settle()
        assert plant.supervisor.stuck() is None


# ---- stopping and starting again -----------------------------------------------------------------


async def test_stopped_in_the_middle_it_goes_on_where_it_was() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await until(lambda: module.writers == 1)
    stopped = plant.session(module)
    assert (plant.cables.open, module.writers) == (0, 0)
    assert (stopped.milestone, stopped.hold) == (Milestone.PROVISIONED, None)
    assert plant.record.views()[0]["activity"] is None
    module.transfer_gate.set()
    restarted = Plant(before=plant)
    await restarted.plug(port(0), module)
    async with restarted.running():
        await until(lambda: verified(restarted, module))
    assert restarted.session(module).id == stopped.id


async def test_a_restart_neither_lifts_a_hold_nor_opens_a_port_that_waits() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        plant.api.fault = UcmError(Code.API_UNREACHABLE)
        await plant.plug(port(0), None)
        await plant.plug(port(1), module)
        await plant.clock.advance(1000.0)
        assert held(plant.at(port(0)), Code.LINK_SILENT, Waits.OPERATOR)
        assert held(plant.at(port(1)), Code.API_UNREACHABLE, Waits.RETRY_AT)
    restarted = Plant(before=plant)
    await restarted.plug(port(0), None)
    await restarted.plug(port(1), module)
    async with restarted.running():
        await settle()
        assert (restarted.cables.dialled, restarted.journal.events) == ([], [])
        assert restarted.record.sessions() == plant.record.sessions()
        await restarted.clock.advance(policy.BACKOFF_LAST)
        assert set(restarted.cables.dialled) == {"/dev/ttyUSB1"}


# ---- the site's own fault ------------------------------------------------------------------------


async def test_a_refused_token_pauses_everything_and_a_single_probe_ends_the_pause() -> None:
    async with Plant().running() as plant:
        first, others = plant.module(0), [plant.module(number) for number in range(1, 5)]
        plant.api.fault = UcmError(Code.API_UNAUTHORIZED, "401")
        await plant.plug(port(0), first)
        await until(lambda: plant.supervisor.pause is not None)
        for number, module in enumerate(others, start=1):
            await plant.plug(port(number), module)
        await plant.clock.advance(policy.PAUSE_ALL_SECONDS - 0.1)
        assert plant.cables.dialled == ["/dev/ttyUSB0"]
        plant.api.fault = None
        plant.api.gate.clear()
        await plant.clock.advance(0.1)
        assert (plant.cables.open, len(plant.cables.dialled)) == (1, 2)
        plant.api.gate.set()
        await until(lambda: all(verified(plant, module) for module in (first, *others)))
        assert plant.supervisor.pause is None
        assert plant.cables.most_open > 1  # after the probe they go on side by side


async def test_a_probe_that_is_refused_too_begins_the_next_pause() -> None:
    async with Plant().running() as plant:
        plant.api.fault = UcmError(Code.API_UNAUTHORIZED, "401", retry_after=300.0)
        await plant.plug(port(0), plant.module(0))
        await plant.plug(port(1), plant.module(1))
        await until(lambda: plant.cables.open == 0 and plant.supervisor.pause is not None)
        dialled = len(plant.cables.dialled)
        await plant.clock.advance(299.9)
        assert len(plant.cables.dialled) == dialled  # the API's own wish is longer than ours
        await plant.clock.advance(0.1)
        assert len(plant.cables.dialled) == dialled + 1
        assert plant.supervisor.pause is not None
        assert plant.supervisor.pause.until == START + 600.0


# ---- many at once --------------------------------------------------------------------------------


async def test_only_so_many_sessions_run_at_once_and_the_rest_follow() -> None:
    count = policy.CABLE_SESSIONS_AT_ONCE + 4
    async with Plant().running() as plant:
        modules = [plant.module(number) for number in range(count)]
        plant.api.gate.clear()
        for number, module in enumerate(modules):
            await plant.plug(port(number), module)
        await settle()
        assert plant.cables.open == policy.CABLE_SESSIONS_AT_ONCE
        plant.api.gate.set()
        await until(lambda: all(verified(plant, module) for module in modules))
        assert plant.cables.most_open == policy.CABLE_SESSIONS_AT_ONCE
        assert len(plant.cables.dialled) == count


async def test_two_cables_to_one_module_never_work_on_it_at_once() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await plant.plug(port(1), module)
        await until(lambda: module.writers == 1 and plant.cables.open == 2)
        await settle()
        module.transfer_gate.set()
        await plant.clock.advance(60.0)
    assert module.most_writers == 1
    assert (module.generation, plant.record.open_sessions()) == (1, [])
    assert [view["milestone"] for view in plant.record.views()] == ["VERIFIED"]


async def test_another_module_where_one_was_expected_is_not_touched() -> None:
    async with Plant().running() as plant:
        expected, other = plant.module(1), plant.module(2)
        plant.api.fault = UcmError(Code.API_UNREACHABLE)
        await plant.plug(port(0), expected)
        await until(lambda: held(plant.at(port(0)), Code.API_UNREACHABLE, Waits.RETRY_AT))
        plant.api.fault = None
        plant.cables.connect(port(0), other)  # swapped without the operating system having noticed
        await plant.clock.advance(5.0)
        stuck = plant.session(expected)
        assert held(stuck, Code.IDENTITY_MISMATCH, Waits.OPERATOR)
        assert stuck.hold is not None
        assert stuck.hold.detail == f"{other.hardware_id} answers where {expected.hardware_id} was expected"
        assert (other.reservation, other.active, plant.api.asked[other.hardware_id]) == (None, None, 0)
