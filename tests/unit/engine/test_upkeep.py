"""Verified modules, looked after: lost configurations, ending certificates, and the box on another network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.engine.plant import BlindWitness, Module, Plant, port
from ucm_provision.core import policy
from ucm_provision.core.campaign import CampaignState
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Inspected
from ucm_provision.core.machine import Milestone
from ucm_provision.core.maintenance import Window
from ucm_provision.core.model import Sighting, Source
from ucm_provision.core.wanted import Cause
from ucm_provision.engine.appearing import Appearing
from ucm_provision.engine.follow import Follower
from ucm_provision.engine.inspection import Inspection
from ucm_provision.engine.upkeep import Schedule, Upkeep

ALWAYS, DAY = Window(0, 24 * 60), 86400.0
NEVER_NOW = Window(0, 1)  # the tests' clock starts elsewhere in the day, wherever they run


def upkeep_of(plant: Plant, **schedule: object) -> Upkeep:
    settings: dict[str, object] = {"window": ALWAYS, "rotate_before": 30 * DAY, "rotate_at_once": 20}
    inspection = Inspection(plant.record, plant.supervisor, plant.api)
    return Upkeep(
        plant.record,
        plant.supervisor,
        inspection,
        plant.selection._plan,
        plant.clock,
        schedule=Schedule(**{**settings, **schedule}),
        campaign=plant.campaigns.open,
    )


@asynccontextmanager
async def site(count: int) -> AsyncIterator[tuple[Plant, list[Module]]]:
    plant = Plant()
    plant.profiles.set("plant")
    async with plant.running():
        modules = [plant.module(number) for number in range(1, count + 1)]
        for module in modules:
            plant.list(module)
            await plant.announce(module)
        await plant.clock.advance(30.0)
        yield plant, modules


async def forget(plant: Plant, module: Module) -> None:
    """Somebody presses the module's button: it holds nothing, and says so."""
    module.active, module.credentials_live = None, False
    endpoint = await plant.announce(module)
    await plant.supervisor.sight(Sighting(endpoint, present=True, announced_id=module.hardware_id, state="new"))


async def test_a_lost_configuration_comes_back_once_by_itself() -> None:
    async with site(2) as (plant, (module, other)):
        upkeep = upkeep_of(plant)
        device = plant.session(module).device_id
        await forget(plant, module)
        await plant.clock.advance(policy.UPKEEP_EVERY)
        await upkeep.look()
        await plant.clock.advance(30.0)
        assert (module.is_online, plant.session(module).milestone) == (True, Milestone.VERIFIED)
        assert plant.session(module).device_id == device
        await forget(plant, module)
        await plant.clock.advance(policy.UPKEEP_EVERY)
        await upkeep.look()
        await plant.clock.advance(2 * policy.RESTORE_ONCE_IN)
        await upkeep.look()
        trouble = plant.session(module).trouble
        assert trouble is not None
        assert (trouble.code, module.active) == (Code.CONFIGURATION_LOST, None)
    assert other.commits == 1


async def test_a_hint_alone_changes_nothing() -> None:
    async with site(1) as (plant, (module,)):
        upkeep = upkeep_of(plant)
        endpoint = await plant.announce(module)
        await plant.supervisor.sight(Sighting(endpoint, present=True, announced_id=module.hardware_id, state="new"))
        for _ in range(5):
            await plant.clock.advance(policy.UPKEEP_EVERY)
            await upkeep.look()
        assert (module.commits, plant.session(module).trouble) == (1, None)
        # One look a minute at most, whatever it announces.
        assert len(plant.cables.dialled) <= 1 + 5


async def test_a_module_that_drops_is_told_and_so_is_its_return() -> None:
    async with site(1) as (plant, (module,)):
        upkeep = upkeep_of(plant, verify_every=600.0)
        module.offline = True
        await plant.clock.advance(600.0)
        await upkeep.look()
        (view,) = plant.record.views()
        assert view["trouble"] is not None
        assert (view["trouble"]["code"], view["milestone"]) == ("not_online", "VERIFIED")
        module.offline = False
        await plant.clock.advance(600.0)
        await upkeep.look()
        (view,) = plant.record.views()
        assert view["trouble"] is None
        kept = [event for _, event in plant.journal.events if isinstance(event, Inspected)]
    assert [event.code for event in kept] == [Code.NOT_ONLINE, None]


async def test_looking_by_itself_opens_no_port() -> None:
    async with Plant().running() as plant:
        module = plant.module(1)
        await plant.plug(port(0), module)
        await plant.clock.advance(10.0)
        upkeep, dialled = upkeep_of(plant, verify_every=60.0), len(plant.cables.dialled)
        await plant.clock.advance(600.0)
        await upkeep.look()
        assert len(plant.cables.dialled) == dialled
        inspection = Inspection(plant.record, plant.supervisor, plant.api)
        assert await inspection.look(plant.session(module), cables=True) == Inspected()
        assert len(plant.cables.dialled) == dialled + 1


async def test_only_a_verified_module_that_nobody_works_on_is_looked_at() -> None:
    async with Plant().running() as plant:
        await plant.plug(port(0), None)
        await plant.clock.advance(1.0)
        inspection = Inspection(plant.record, plant.supervisor, plant.api)
        session = plant.at(port(0))
        assert session is not None
        with pytest.raises(UcmError, match="MODULE_NOT_IDENTIFIED"):
            await inspection.look(session)


@pytest.mark.parametrize(("window", "renewed"), [(ALWAYS, 3), (NEVER_NOW, 0)])
async def test_certificates_are_renewed_in_the_window_so_many_at_a_time(window: Window, renewed: int) -> None:
    async with site(5) as (plant, modules):
        plant.api.certificates_end_in = 20 * DAY
        for module in modules:
            await plant.operator.reprovision(plant.session(module).id, "uid 1")
        await plant.clock.advance(30.0)
        before = [module.commits for module in modules]
        plant.api.certificates_end_in = 365 * DAY
        upkeep = upkeep_of(plant, window=window, rotate_at_once=3)
        for _ in range(4):
            await upkeep.look()
            await plant.clock.advance(30.0)
        after = [module.commits for module in modules]
        assert sum(after) - sum(before) == renewed
        assert all(plant.session(module).milestone is Milestone.VERIFIED for module in modules)


async def test_a_module_from_a_bench_is_verified_when_it_appears() -> None:
    async with Plant(verify_later=True).running() as plant:
        module = plant.module(1)
        module.offline = True
        appearing = Appearing(plant.record, plant.api, BlindWitness(), plant.clock)
        running = asyncio.create_task(appearing.run())
        await plant.plug(port(0), module)
        await plant.clock.advance(10.0)
        assert (module.confirmed, plant.session(module).milestone) == (1, Milestone.PUSHED)
        await plant.unplug(port(0))
        await plant.clock.advance(3600.0)
        (view,) = plant.record.views()
        assert (view["appears_later"], view["hold"], view["present"]) == (True, None, False)
        module.offline = False
        await plant.clock.advance(policy.APPEARING_EVERY)
        session = plant.session(module)
        assert session.evidence is not None
        assert (session.milestone, session.evidence.seen_by) == (Milestone.VERIFIED, Source.API)
        running.cancel()
        await asyncio.wait([running])


async def test_a_clock_that_cannot_be_believed_renews_nothing() -> None:
    async with site(1) as (plant, (module,)):
        plant.api.certificates_end_in = 20 * DAY
        await plant.operator.reprovision(plant.session(module).id, "uid 1")
        await plant.clock.advance(30.0)
        upkeep = upkeep_of(plant)
        assert upkeep.count(Cause.CERTIFICATE) == 1
        plant.clock.jump(400 * DAY)
        await upkeep.look()
        await plant.clock.advance(30.0)
        assert (module.commits, upkeep.count(Cause.CERTIFICATE)) == (2, 0)


@pytest.mark.parametrize(("auto", "state"), [(False, CampaignState.PROPOSED), (True, CampaignState.DONE)])
async def test_the_modules_follow_the_box_to_a_network_that_the_site_knows(auto: bool, state: CampaignState) -> None:
    async with site(3) as (plant, modules):
        follower = Follower(plant.campaigns, plant.selection, plant.selection._plan, auto=auto)
        await follower.moved("plant")
        await follower.moved("somebody's phone")
        await follower.moved(None)
        assert plant.campaigns.open() is None
        plant.profiles.set("plant", "plant-new")
        await follower.moved("plant-new")
        await plant.clock.advance(60.0)
        assert plant.campaigns.get("").state is state
        assert all((module.ssid == "plant-new") == auto for module in modules)
        await follower.moved("plant-new")
        assert len(plant.campaigns.all()) == 1
