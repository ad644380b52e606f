"""Announcements and modules that are not what they seem."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.e2e.lan import all_are, holding, listed, new_identity, of, on_lan, powered
from tests.e2e.station import Station, verified
from tests.wire.link.http_module import HttpModule
from ucm_provision.core import policy
from ucm_provision.link.timing import HTTP_TIMING
from ucm_sim import Identity, LanSegment
from ucm_sim.mdns import Service
from ucm_site_api import SiteApi

mistaken = holding("identity_mismatch")


@asynccontextmanager
async def announced(identity: Identity, port: int) -> AsyncIterator[None]:
    """Somebody says that this module is at that port."""
    async with LanSegment() as segment:
        text = {"v": "1", "id": identity.hardware_id, "state": "new"}
        segment.publish(Service(f"ucm-{identity.hardware_id}", "127.0.0.1", port, text))
        yield


async def test_another_module_in_the_name_of_a_listed_one_gets_no_secret(station: Station, site: SiteApi) -> None:
    (expected,) = listed(on_lan(station), 1)
    # The worst case: whoever answers knows the proof of possession, too.
    other = replace(new_identity(), pop=expected.pop)
    async with powered([other], LanSegment(mdns=False)) as (impostor,), station.daemon() as running:
        await impostor.until(lambda module: module.is_listening, timeout=10)
        async with announced(expected, impostor.port):
            await running.until(lambda view: view["announced_id"] == expected.hardware_id and mistaken(view))
        assert [impostor.executed(request) for request in ("reserve", "begin", "commit")] == [0, 0, 0]
        assert await site.devices() == []
        async with powered([expected]) as (module,):
            await running.until(of(module, verified))
    assert impostor.unprovisioned
    assert len(await site.devices()) == 1


async def test_one_that_admits_only_inside_the_session_who_it_is_gets_no_secret_either(
    station: Station, site: SiteApi
) -> None:
    (expected,) = listed(on_lan(station), 1)
    async with (
        HttpModule(hardware_id=new_identity().hardware_id, announced=expected.hardware_id, pop=expected.pop) as liar,
        station.daemon() as running,
        announced(expected, int(liar.route.rpartition(":")[2])),
    ):
        await running.until(lambda view: view["announced_id"] == expected.hardware_id and mistaken(view))
    assert (liar.asked, await site.devices()) == ([], [])
    assert set(liar.endpoints) == {"proto-ver", "prov-session", "ucm-info"}


async def test_a_module_that_never_answers_costs_one_slot_for_its_deadline(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LAN_SESSIONS_AT_ONCE", 2)
    (silent,) = listed(on_lan(station), 1)
    identities, timing = listed(station, 3), replace(HTTP_TIMING, first_answer=3.0)
    async with silence() as port, station.daemon(timing=timing) as running, announced(silent, port):
        await running.until(lambda view: view["announced_id"] == silent.hardware_id and view["activity"] is not None)
        async with powered(identities) as modules:
            await all_are(running, modules, verified)
            is_silent = holding("link_silent")
            await running.until(lambda view: view["announced_id"] == silent.hardware_id and is_silent(view))


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """A port that takes every connection and says nothing."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            connection.transport.abort()
        await server.wait_closed()
