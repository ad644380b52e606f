"""A dead module's name and slug pass to new hardware, in one command and in whatever order things break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.station import HARDWARE_ID, POP, FastClock, Running, Station, ucmctl, verified
from tests.kinds.asking import ended
from tests.kinds.platform import Platform
from ucm_provision.wire import ModuleView

NEW = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


@asynccontextmanager
async def boiler(station: Station) -> AsyncIterator[tuple[Running, ModuleView]]:
    """A daemon whose module was verified as "Boiler", with the slug boiler-1, and has died since."""
    station.pops = {}
    manifest = station.folder / "site.csv"
    manifest.write_text(
        f"hardware_id,name,slug,protocol,pop\n{HARDWARE_ID},Boiler,boiler-1,MQTT,{POP}\n{NEW},,,,{POP}\n"
    )
    async with station.daemon(clock=FastClock(20.0)) as running:
        assert (await ucmctl(station.socket, "manifest", "import", str(manifest)))[0] == 0
        async with station.module():
            old = await running.until(verified)
        assert old["slug"] == "boiler-1"
        yield running, old


def is_new(view: ModuleView) -> bool:
    return verified(view) and view["hardware_id"] == NEW and view["slug"] == "boiler-1"


def check_devices(plant: Platform, old: ModuleView, new: ModuleView) -> None:
    assert new["name"] == "Boiler"
    assert new["device_id"] != old["device_id"]
    parted = plant.devices[old["device_id"] or ""]
    assert parted["name"] == "Boiler (replaced)"
    assert parted["slug"].startswith("boiler-1-replaced-")
    assert (plant.named("boiler-1") or {})["id"] == new["device_id"]
    assert (plant.named("boiler-1") or {})["name"] == "Boiler"


async def test_a_new_module_gets_name_and_slug_when_it_is_plugged_in(station: Station, plant: Platform) -> None:
    async with boiler(station) as (running, old):
        status, said = await ucmctl(station.socket, "replace", "boiler-1", NEW)
        assert (status, NEW in said) == (0, True), said
        async with station.module(1, hardware_id=NEW):
            new = await running.until(is_new)
        expected = running.daemon._plan.expected
        assert (expected[NEW].name, expected[NEW].slug, expected[NEW].protocol) == ("Boiler", "boiler-1", "MQTT")
        assert (expected[HARDWARE_ID].name, expected[HARDWARE_ID].slug) == ("", "")
        assert expected[HARDWARE_ID].pop is not None
    check_devices(plant, old, new)


async def test_a_new_module_that_was_verified_under_another_name_is_renamed(station: Station, plant: Platform) -> None:
    async with boiler(station) as (running, old), station.module(1, hardware_id=NEW) as module:
        first = await running.until(lambda view: verified(view) and view["hardware_id"] == NEW)
        assert (await ucmctl(station.socket, "replace", "Boiler", NEW[:8]))[0] == 0
        new = await running.until(is_new)
        assert (new["device_id"], module.active_generation) == (first["device_id"], 2)
    check_devices(plant, old, new)


async def test_what_operators_called_the_two_gives_way(station: Station, plant: Platform) -> None:
    async with boiler(station) as (running, old), station.module(1, hardware_id=NEW):
        first = await running.until(lambda view: verified(view) and view["hardware_id"] == NEW)
        assert (await ucmctl(station.socket, "name", HARDWARE_ID[:8], "Boiler"))[0] == 0
        assert (await ucmctl(station.socket, "name", NEW[:8], "Spare"))[0] == 0
        assert (await ucmctl(station.socket, "replace", "Boiler", NEW[:8]))[0] == 0
        new = await running.until(is_new)
        assert new["device_id"] == first["device_id"]
        assert running.daemon.record.named(HARDWARE_ID) == "Boiler (replaced)"
    check_devices(plant, old, new)


@pytest.mark.parametrize("fault", ["lost", "unheard"])
async def test_lost_answers_lead_to_the_same_end(station: Station, plant: Platform, fault: str) -> None:
    async with boiler(station) as (running, old):
        getattr(plant, fault)["rename"] = 1
        status, said = await ucmctl(station.socket, "replace", "boiler-1", NEW)
        assert (status, "ORDER_OPEN" in said) == (5, True)
        assert (await ended(station))["state"] == "done"
        async with station.module(1, hardware_id=NEW):
            new = await running.until(is_new)
    check_devices(plant, old, new)


async def test_a_device_that_somebody_removed_has_left_its_slug(station: Station, plant: Platform) -> None:
    async with boiler(station) as (running, old):
        plant.refused["rename"] = (404, "not_found", "no such device")
        assert (await ucmctl(station.socket, "replace", "boiler-1", NEW))[0] == 0
        plant.refused.clear()
        del plant.devices[old["device_id"] or ""]
        async with station.module(1, hardware_id=NEW):
            assert (await running.until(is_new))["name"] == "Boiler"


async def test_an_api_that_refuses_to_rename_keeps_everything_as_it_was(station: Station, plant: Platform) -> None:
    async with boiler(station) as (running, old):
        plant.refused["rename"] = (403, "forbidden", "Access denied.")
        status, said = await ucmctl(station.socket, "replace", "boiler-1", NEW)
        assert (status, "Access denied." in said) == (4, True)
        assert running.daemon._plan.expected[HARDWARE_ID].slug == "boiler-1"
        assert running.daemon.status()["paused"] is None
    assert (plant.named("boiler-1") or {})["id"] == old["device_id"]


@pytest.mark.parametrize(
    ("old_and_new", "refusal"),
    [
        (("nobody", NEW), (3, "MODULE_UNKNOWN")),
        (("boiler-1", "short"), (2, "REQUEST_INVALID")),
        (("boiler-1", HARDWARE_ID), (2, "REQUEST_INVALID")),
    ],
)
async def test_what_cannot_be_replaced(
    station: Station, plant: Platform, old_and_new: tuple[str, str], refusal: tuple[int, str]
) -> None:
    async with boiler(station):
        status, said = await ucmctl(station.socket, "replace", *old_and_new)
        assert (status, said.partition(":")[0]) == refusal
    assert len(plant.calls("rename")) == 1  # the boiler's own
