"""One module, to which a cable and the LAN lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.front import Front
from tests.e2e.interposed import Interposer, interposed, passed
from tests.e2e.lan import QuietSegment, at_rest, listed, of, on_lan, powered
from tests.e2e.station import Running, Station, site_settings, station_at, verified
from ucm_provision.core.model import lan_key
from ucm_provision.link.timing import Timing
from ucm_provision.wire import ModuleView
from ucm_sim import LanModule
from ucm_site_api import SiteApi

# Three requests of a handshake, and who it is: then a conversation over the cable waits for the module to be free.
FRAMES_BEFORE_ITS_TURN = 4
# The request of the LAN's conversation that carries the first chunk.
CHUNK = 8
# Nothing is sent twice, so that frames can be counted on a busy machine too.
PATIENT = Timing(retransmit_first=20.0, first_answer_resend=20.0)
SLOW = 28_800
PIECES = 2


def views(running: Running, module: LanModule) -> list[ModuleView]:
    return [view for view in running.views() if of(module)(view)]


async def cable_waits(module: LanModule) -> None:
    await module.until(lambda module: module.frames == FRAMES_BEFORE_ITS_TURN, timeout=20)


async def test_seen_on_both_at_once_it_is_one_module(station: Station, site: SiteApi, tmp_path: Path) -> None:
    async with powered(listed(on_lan(station), 1)) as (module,), station.daemon() as running:
        await module.plug(tmp_path / "ttyUCM0")
        await running.until(of(module, at_rest))
        assert len(views(running, module)) == 1
        assert (module.executed("commit"), len(await site.devices())) == (1, 1)


async def test_a_cable_waits_while_the_module_is_written_to_over_the_lan(station: Station, tmp_path: Path) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(by: Interposer, request: bytes) -> bytes:
        reached.set()
        await go_on.wait()
        return await passed(by, request)

    async with (
        interposed(listed(on_lan(station), 1), {CHUNK: hold}) as (one,),
        station.daemon(timing=PATIENT) as running,
    ):
        await reached.wait()
        await one.module.plug(tmp_path / "ttyUCM0")
        await cable_waits(one.module)
        assert [view["carrier"] for view in views(running, one.module)] == ["http"]
        go_on.set()
        view = await running.until(of(one.module, verified))
        assert (view["carrier"], view["adopted"]) == ("http", False)
        # The cable's turn comes, and changes nothing.
        view = await running.until(of(one.module, lambda view: at_rest(view) and view["carrier"] == "serial"))
        assert view["adopted"]
        assert (one.module.executed("begin"), one.module.executed("commit")) == (1, 1)


async def test_before_anything_is_written_the_lan_gives_way_to_a_cable(
    station: Station, front: Front, site: SiteApi, tmp_path: Path
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        front.failing = None
        reached.set()
        await go_on.wait()
        return await front.answer(request)

    front.failing = hold
    async with interposed(listed(on_lan(station), 1)) as (one,), station.daemon(timing=PATIENT) as running:
        await reached.wait()
        await one.module.plug(tmp_path / "ttyUCM0")
        await cable_waits(one.module)
        go_on.set()
        view = await running.until(of(one.module, verified))
        assert (view["carrier"], view["adopted"], len(views(running, one.module))) == ("serial", False, 1)
        assert (one.module.executed("begin"), one.module.executed("commit")) == (1, 1)
        assert len(await site.devices()) == 1
        assert len(await site.credentials(one.module.identity.hardware_id)) == 1  # those that were asked for already
        assert max(length for _, length in one.requests) < 500  # nothing but the handshake's numbers is as long


@pytest.fixture
async def rsa(tmp_path: Path) -> AsyncIterator[Station]:
    """Of a site that hands out RSA keys: a configuration of several chunks."""
    async with SiteApi(site_settings(tmp_path, key="rsa")) as site:
        yield on_lan(station_at(site, tmp_path))


async def test_a_push_whose_cable_is_pulled_goes_on_over_the_lan_where_it_stopped(rsa: Station, tmp_path: Path) -> None:
    segment = QuietSegment()
    async with powered(listed(rsa, 1), segment, baud=SLOW) as (module,), rsa.daemon() as running:
        await module.plug(tmp_path / "ttyUCM0")
        await module.until(lambda module: module.executed("reserve") > 0, timeout=20)
        segment.speak()
        key = lan_key(module.identity.hardware_id)
        await running.until(lambda _: key in running.daemon.record.present)
        await module.until(lambda module: module.executed("chunk") > 0, timeout=20)
        assert module.executed("commit") == 0
        await module.unplug()
        view = await running.until(of(module, verified))
        assert (view["carrier"], view["adopted"], len(views(running, module))) == ("http", False, 1)
        assert (module.executed("begin"), module.executed("chunk"), module.executed("commit")) == (2, PIECES, 1)
