"""What the LAN does to a conversation: thieves, lost connections, and a module that takes small bodies only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.interposed import Misdeed, interposed, lost, stolen, unanswered
from tests.e2e.lan import all_are, at_rest, counted, holding, listed, of, on_lan
from tests.e2e.station import Station, site_settings, station_at, ucmctl, verified
from ucm_site_api import SiteApi

# Two handshakes of three, two infos before Commit and one after; two reserves, Begin, one chunk, one more reserve and
# Commit; the module's report, and the reservation's end.
REQUESTS = 17


async def test_a_module_is_provisioned_with_few_requests(station: Station) -> None:
    async with interposed(listed(on_lan(station), 1)) as (one,), station.daemon() as running:
        await running.until(of(one.module, at_rest))
    handshake = ["proto-ver", "prov-session", "prov-session"]
    asked = [endpoint for endpoint, _ in one.requests]
    assert asked[:11] == [*handshake, "ucm-info", "ucm-info", *["ucm-config"] * 6]
    assert asked[11:15] == [*handshake, "ucm-info"]
    assert len(asked) >= REQUESTS  # more where it was asked before it was online
    assert asked[-1] == "ucm-config"


@pytest.mark.parametrize("misdeed", [stolen, lost, unanswered])
async def test_whatever_happens_at_any_request_the_module_is_written_to_once(
    station: Station, site: SiteApi, misdeed: Misdeed
) -> None:
    """One module for each request of a whole provisioning, all at the same time."""
    async with interposed(listed(on_lan(station), REQUESTS)) as ones, station.daemon() as running:
        for number, one in enumerate(ones):
            one.at[number] = misdeed
        await all_are(running, [one.module for one in ones], at_rest)
        assert counted([one.module for one in ones], "commit") == {1}
        assert len(await site.devices()) == REQUESTS
        assert all(len(one.requests) > number for number, one in enumerate(ones))


async def test_a_configuration_of_several_chunks_stays_within_what_protocomm_takes(tmp_path: Path) -> None:
    async with SiteApi(site_settings(tmp_path, key="rsa")) as site:
        station = on_lan(station_at(site, tmp_path))
        async with interposed(listed(station, 1)) as (one,), station.daemon() as running:
            await running.until(of(one.module, at_rest))
    assert one.module.executed("chunk") == 2
    assert 2048 < max(length for _, length in one.requests) <= 4096


async def test_where_a_stranger_never_stops_a_cable_helps(station: Station, tmp_path: Path) -> None:
    """At the speed of a real module's handshake, ten strange requests a second come between any two of ours."""
    async with interposed(listed(on_lan(station), 1)) as (one,), station.daemon() as running:
        one.always = stolen
        view = await running.until(of(one.module, holding("link_lost")))
        status, said = await ucmctl(station.socket, "show", view["session"])
        assert (status, "another tool may keep talking to it" in said, "use a USB cable" in said) == (0, True, True)
        await one.module.plug(tmp_path / "ttyUCM0")
        view = await running.until(of(one.module, verified))
        assert (view["carrier"], view["adopted"]) == ("serial", False)
        assert counted([one.module], "commit") == {1}
        assert len([view for view in running.views() if of(one.module)(view)]) == 1
