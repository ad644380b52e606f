"""One module on two cables, and one site's fault among many sessions: nobody may work twice, or for ever."""

from __future__ import annotations

import pytest

from tests.unit.engine.fake_clock import settle, until
from tests.unit.engine.plant import Plant, port
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError


async def test_the_second_cable_sees_what_the_first_one_did() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        module.transfer_gate.clear()
        await plant.plug(port(0), module)
        await plant.plug(port(1), module)
        await until(lambda: module.writers == 1 and plant.cables.open == 2)
        module.transfer_gate.set()
        await plant.clock.advance(60.0)
    assert plant.api.asked[module.hardware_id] == 1  # every further time would make new credentials
    assert len(plant.cables.dialled) == 2


@pytest.mark.parametrize("code", [Code.API_REJECTED, Code.API_UNREACHABLE])
async def test_two_cables_to_a_module_that_waits_do_not_take_turns_for_ever(code: Code) -> None:
    async with Plant().running() as plant:
        plant.api.fault = UcmError(code)
        module = plant.module(1)
        await plant.plug(port(0), module)
        await plant.plug(port(1), module)
        await plant.clock.advance(1.0)
        dialled = len(plant.cables.dialled)
        await plant.clock.advance(1.0)
        assert len(plant.cables.dialled) == dialled <= 4


async def test_a_session_that_was_past_the_api_does_not_end_the_pause() -> None:
    async with Plant().running() as plant:
        early, late = plant.module(1), plant.module(2)
        early.transfer_gate.clear()
        await plant.plug(port(1), early)
        await until(lambda: early.writers == 1)
        plant.api.fault = UcmError(Code.API_UNAUTHORIZED)
        await plant.plug(port(2), late)
        await until(lambda: plant.supervisor.pause is not None)
        early.transfer_gate.set()
        await until(lambda: early.writers == 0)
        await settle()
        assert plant.supervisor.pause is not None


async def test_a_probe_that_fails_for_its_own_reasons_ends_the_pause() -> None:
    async with Plant().running() as plant:
        plant.api.fault = UcmError(Code.API_UNAUTHORIZED)
        await plant.plug(port(0), plant.module(1))
        await until(lambda: plant.supervisor.pause is not None)
        plant.api.fault = UcmError(Code.API_REJECTED)  # the token is good again, the module is not
        await plant.clock.advance(policy.PAUSE_ALL_SECONDS)
        assert plant.supervisor.pause is None
