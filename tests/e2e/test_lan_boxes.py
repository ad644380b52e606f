"""Two boxes on one LAN, which both expect the same modules."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.lan import all_are, at_rest, counted, listed, on_lan, powered
from tests.e2e.station import Running, Station
from ucm_provision.wire import ModuleView
from ucm_sim import LanModule
from ucm_site_api import SiteApi

MODULES = 50
ONE, OTHER = "one-box", "other-box"
# Two boxes and fifty modules share this process, and every module is fought for.
PATIENCE = 70.0


@pytest.fixture
def stations(station: Station, tmp_path: Path) -> tuple[Station, Station]:
    """Two boxes of one site. Manifests are the same."""
    station.box_id = ONE
    other = replace(on_lan(station), folder=tmp_path / "other", box_id=OTHER)
    other.folder.mkdir()
    return station, other


def owners(running: Running, modules: Iterable[LanModule], itself: str) -> dict[str, str]:
    """Whose each module is, as one box shows it."""
    ids = {module.identity.hardware_id for module in modules}
    return {view["hardware_id"] or "": owner(view, itself) for view in running.views() if view["hardware_id"] in ids}


def owner(view: ModuleView, itself: str) -> str:
    return (view["managed_by"] or "") if view["adopted"] else itself


async def both_at_rest(boxes: Iterable[Running], modules: Iterable[LanModule]) -> None:
    await asyncio.gather(*(all_are(box, modules, at_rest, PATIENCE) for box in boxes))


async def test_two_boxes_share_fifty_modules_and_leave_each_other_s_alone(
    stations: tuple[Station, Station], site: SiteApi
) -> None:
    one, two = stations
    identities, late = listed(one, MODULES), listed(one, 1)
    async with powered(identities) as modules, one.daemon() as first:
        async with two.daemon() as second:
            await both_at_rest((first, second), modules)
            whose = owners(first, modules, ONE)
            assert whose == owners(second, modules, OTHER)
            assert set(whose.values()) == {ONE, OTHER}
            assert counted(modules, "commit") == {1}
            assert len(await site.devices()) == MODULES
            begun = [module.executed("begin") for module in modules]
            await asyncio.gather(*(module.reboot() for module in modules[:5]))
            async with powered(late) as more:  # by the time that both have settled it, they have seen those come back
                await both_at_rest((first, second), [*modules, *more])
        shutil.rmtree(two.folder / "state")
        async with two.daemon() as second:
            await both_at_rest([second], modules)
            assert all(view["adopted"] for view in second.views() if view["hardware_id"] in whose)
            assert owners(second, modules, "nobody") == whose
    assert counted(modules, "commit") == {1}
    assert [module.executed("begin") for module in modules] == begun
