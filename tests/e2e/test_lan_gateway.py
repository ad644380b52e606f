"""Gateways on the LAN: proposed by whoever likes to, asked only once an operator has accepted them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.gateways import accept, announced, choice, impostor, new_name, shown
from tests.e2e.lan import all_are, at_rest, counted, holding, listed, of, on_lan, powered
from tests.e2e.station import Station, site_settings, verified
from ucm_site_api import SiteApi


@pytest.fixture
def undecided(station: Station) -> Station:
    """A station that leaves the choice of the API to an operator."""
    on_lan(station).api_url = "gateway"
    return station


def port(site: SiteApi) -> int:
    return int(site.url.rpartition(":")[2])


async def test_modules_wait_for_the_choice_of_a_gateway_which_outlives_a_restart(
    undecided: Station, site: SiteApi, tmp_path: Path
) -> None:
    name, pinned = new_name(), f"{site.url}/api"
    token, kept = site.token_file.read_text().strip(), tmp_path / "state/gateway.json"
    identities, late = listed(undecided, 3), listed(undecided, 1)
    async with powered(identities) as modules:
        async with undecided.daemon() as running:
            async with announced(name, port(site)):
                await all_are(running, modules, holding("api_not_chosen"))
                assert (await shown(undecided, name))["port"] == port(site)
                assert (await choice(undecided))["chosen_by"] == "nobody"
                status, said = await accept(undecided, name, site.token_file)
            assert (status, token in said) == (0, False)
            await all_are(running, modules, at_rest)
            assert (kept.stat().st_mode & 0o777, token in kept.read_text()) == (0o600, True)
        async with undecided.daemon() as running, powered(late) as more:
            chosen = await choice(undecided)
            assert (chosen["chosen_by"], chosen["accepted"], chosen["url"]) == ("operator", name, pinned)
            await all_are(running, more, at_rest)
    assert (counted([*modules, *more], "commit"), len(await site.devices())) == ({1}, 4)


async def test_a_module_does_not_change_from_one_gateway_to_another_by_itself(
    undecided: Station, site: SiteApi, tmp_path: Path
) -> None:
    first, second = new_name(), new_name()
    (tmp_path / "second").mkdir()
    async with (
        SiteApi(site_settings(tmp_path / "second")) as other,
        announced(first, port(site)),
        announced(second, port(other)),
        powered(listed(undecided, 1)) as (module,),
        undecided.daemon() as running,
    ):
        await shown(undecided, first)
        assert (await accept(undecided, first, site.token_file))[0] == 0
        await running.until(of(module, at_rest))
        await shown(undecided, second)
        assert (await accept(undecided, second, other.token_file))[0] == 0
        await module.plug(tmp_path / "ttyUCM0")
        view = await running.until(of(module, holding("api_origin_changed")))
        assert view["hold"] is not None
        assert f"{site.url}, now {other.url}" in view["hold"]["message"]
        assert (module.executed("begin"), await other.devices()) == (1, [])


async def test_an_impostor_gets_nothing(undecided: Station, site: SiteApi, tmp_path: Path) -> None:
    name, another = new_name(), new_name()
    identities, late = listed(undecided, 1), listed(undecided, 1)
    kept, wrong = tmp_path / "state/gateway.json", tmp_path / "wrong.token"
    wrong.write_text("0" * 32 + "\n")
    async with impostor() as (its_port, heard), announced(another, its_port), undecided.daemon() as running:
        async with announced(name, port(site)), powered(identities) as modules:
            await all_are(running, modules, holding("api_not_chosen"))
            await shown(undecided, another)
            await shown(undecided, name)
            assert (await accept(undecided, name, site.token_file))[0] == 0
            await all_are(running, modules, verified)
            before = kept.read_bytes()
            status, said = await accept(undecided, name, wrong)
            assert (status, said.partition(":")[0], "0" * 32 in said) == (1, "GATEWAY_REFUSED", False)
            assert kept.read_bytes() == before
        # Now the same name is announced elsewhere.
        async with announced(name, its_port):
            await shown(undecided, name, lambda gateway: gateway["port"] == its_port)
            async with powered(late) as modules:
                await all_are(running, modules, verified)
        assert (await choice(undecided))["url"] == f"{site.url}/api"
    assert heard == []
