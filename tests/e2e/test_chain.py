"""One module, all the way, and back again after whatever happens to it on the way."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.station import HARDWARE_ID, POP, SSID, FastClock, Running, Station, site_settings, station_at, verified
from ucm_sim import SerialModule
from ucm_site_api import SiteApi

# Slow enough that a push of an RSA key takes a good second, so that a cable can be pulled in the middle of it.
SLOW = 28_800
# A configuration with an RSA-2048 key, its certificate and the chain takes this many chunks of 2 KiB.
PIECES = 2
OTHER_ID = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


def in_the_middle_of_a_push(module: SerialModule) -> bool:
    return module.executed("chunk") >= 1 and module.executed("commit") == 0


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_a_module_goes_from_plugged_in_to_verified(station: Station, site: SiteApi, protocol: str) -> None:
    station.protocol = protocol
    async with station.daemon() as running, station.module() as module:
        view = await running.until(verified)
        evidence = view["evidence"]
        assert evidence is not None
        assert (evidence["generation"], evidence["reported_phase"], evidence["seen_by"]) == (1, "ONLINE", "witness")
        assert evidence["seen_generation"] == 1
        assert (view["protocol"], view["name"]) == (protocol, f"ENP-RL6 {HARDWARE_ID[-6:]}")
        assert (module.phase_name, module.active_generation, module.trial_generation) == ("ONLINE", 1, 0)
        (device,) = await site.devices()
        assert (device["id"], device["slug"]) == (view["device_id"], view["slug"])


async def test_without_a_witness_the_api_has_seen_the_module(station: Station) -> None:
    station.witness = None
    async with station.daemon() as running, station.module():
        view = await running.until(verified)
    assert view["evidence"] is not None
    assert (view["evidence"]["seen_by"], view["evidence"]["seen_generation"]) == ("api", 1)


async def test_a_module_that_resets_when_its_port_is_opened_is_waited_for(station: Station) -> None:
    async with station.daemon() as running, station.module(reset_on_open=True, boot_s=0.5) as module:
        await running.until(verified)
        assert module.boots == 2


@pytest.fixture
async def rsa(tmp_path: Path) -> object:
    """A site that hands out RSA keys: a configuration of several chunks."""
    async with SiteApi(site_settings(tmp_path, key="rsa")) as site:
        yield site, station_at(site, tmp_path)


@pytest.mark.parametrize("power", [False, True], ids=["USB-powered", "powered by itself"])
async def test_a_cable_pulled_in_the_middle_of_a_push_costs_nothing(
    rsa: tuple[SiteApi, Station], tmp_path: Path, power: bool
) -> None:
    site, station = rsa
    async with station.daemon() as running, station.module(baud=SLOW) as module:
        await module.until(in_the_middle_of_a_push, timeout=20)
        await module.unplug(power=power)
        await running.held("device_gone")
        chunks = module.executed("chunk")
        await module.plug(tmp_path / "ttyUCM7")
        view = await running.until(verified)
        assert view["endpoint"].endswith("ttyUCM7")
        assert module.executed("commit") == 1
        assert len(await site.devices()) == 1
        assert len(running.views()) == 1
        # A module that kept its power kept what was staged: the push resumed where it stopped.
        assert module.executed("chunk") == PIECES + (0 if power else chunks)


async def test_a_cable_pulled_on_trial_costs_nothing(station: Station, site: SiteApi, tmp_path: Path) -> None:
    async with station.daemon() as running, station.module() as module:
        await module.until(lambda m: m.executed("commit") == 1, timeout=20)
        await module.unplug()
        await running.held("device_gone")
        await module.plug(tmp_path / "ttyUCM7")
        await running.until(verified)
        assert (module.executed("commit"), module.active_generation) == (1, 1)
        assert len(await site.devices()) == 1


async def test_a_verified_port_is_not_opened_again(station: Station) -> None:
    station.pops[OTHER_ID] = "another label"
    async with station.module(reset_on_open=True) as module:
        async with station.daemon() as running:
            await running.until(verified)
        boots = module.boots
        async with station.daemon() as running:
            view = await running.until(lambda view: verified(view) and view["present"])
            assert view["activity"] is None
            # While this daemon provisions another module it has every occasion to touch the first one.
            async with station.module(1, hardware_id=OTHER_ID, pop="another label"):
                await running.until(lambda view: verified(view) and view["hardware_id"] == OTHER_ID)
        assert module.boots == boots


async def test_a_verified_module_on_another_port_is_recognised_and_left_alone(
    station: Station, site: SiteApi, tmp_path: Path
) -> None:
    async with station.daemon() as running, station.module() as module:
        first = await running.until(verified)
        await module.unplug()
        await module.plug(tmp_path / "ttyUCM7")
        again = await running.until(lambda view: verified(view) and view["session"] != first["session"])
        assert (again["adopted"], again["device_id"]) == (True, first["device_id"])
        assert (again["evidence"] or {}).get("seen_by") == "witness"
        assert module.executed("begin") == 1
        assert len(running.views()) == 1


async def test_a_reinstalled_box_adopts_what_works(station: Station, site: SiteApi, tmp_path: Path) -> None:
    async with station.module() as module:
        async with station.daemon() as running:
            first = await running.until(verified)
        shutil.rmtree(tmp_path / "state")
        async with station.daemon() as running:
            view = await running.until(verified)
        assert (view["adopted"], view["device_id"]) == (True, first["device_id"])
        assert view["managed_by"] == "box-under-test"
        assert module.executed("begin") == 1


async def test_with_the_state_folder_gone_ten_working_modules_are_adopted_and_nothing_is_pushed(
    station: Station, tmp_path: Path
) -> None:
    ids = [f"{number:04X}{HARDWARE_ID[4:]}" for number in range(10)]
    station.pops = dict.fromkeys(ids, POP)
    async with AsyncExitStack() as stack:
        modules = [
            await stack.enter_async_context(station.module(number, hardware_id=hardware_id, baud=0))
            for number, hardware_id in enumerate(ids)
        ]
        async with station.daemon() as running:
            first = {await verified_id(running, hardware_id) for hardware_id in ids}
        shutil.rmtree(tmp_path / "state")
        async with station.daemon() as running:
            again = {await verified_id(running, hardware_id) for hardware_id in ids}
            assert all(view["adopted"] for view in running.views())
        assert again == first
        assert [module.executed("begin") for module in modules] == [1] * 10


async def verified_id(running: Running, hardware_id: str) -> str | None:
    return (await running.until(lambda view: verified(view) and view["hardware_id"] == hardware_id))["device_id"]


async def test_a_module_that_another_site_configured_is_left_alone(station: Station, tmp_path: Path) -> None:
    async with station.module() as module:
        async with station.daemon() as running:
            await running.until(verified)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        async with SiteApi(site_settings(elsewhere)) as other:
            theirs = station_at(other, tmp_path)
            shutil.rmtree(tmp_path / "state")
            config = theirs.configure()
            config.write_text(config.read_text().replace("box-under-test", "another-box"))
            theirs.configure = lambda: config  # type: ignore[method-assign]
            async with theirs.daemon() as running:
                view = await running.held("managed_elsewhere")
            assert "box-under-test" in (view["hold"] or {}).get("message", "")
            assert await other.devices() == []
        assert module.executed("begin") == 1


async def test_kill_9_in_the_middle_of_a_push_then_a_restart(rsa: tuple[SiteApi, Station]) -> None:
    site, station = rsa
    async with station.module(baud=SLOW) as module:
        async with station.daemon_process() as daemon:
            await module.until(in_the_middle_of_a_push, timeout=30)
            await daemon.kill()
        async with station.daemon_process() as daemon:
            (view,) = await daemon.until_verified()
        assert (module.executed("begin"), module.executed("commit")) == (2, 1)
        (device,) = await site.devices()
        assert device["id"] == view["device_id"]


async def test_kill_9_after_commit_neither_writes_nor_asks_again(station: Station, site: SiteApi) -> None:
    async with station.module() as module:
        async with station.daemon_process() as daemon:
            await module.until(lambda m: m.executed("commit") == 1, timeout=30)
            await daemon.kill()
        async with station.daemon_process() as daemon:
            (view,) = await daemon.until_verified()
        assert (module.executed("begin"), module.executed("commit"), view["generation"]) == (1, 1, 1)
        assert view["adopted"] is False
        assert len(await site.devices()) == 1


async def test_a_restart_neither_releases_an_operator_s_hold_nor_forgets_an_attempt(station: Station) -> None:
    station.pops[HARDWARE_ID] = "not what the label says"
    async with station.module(reset_on_open=True) as module:
        async with station.daemon(clock=FastClock(30.0)) as running:
            held = await running.held("pop_wrong", "operator")
        boots = module.boots
        async with station.daemon() as running:
            view = await running.until(lambda view: view["present"])
            assert (view["hold"], view["attempt"]) == (held["hold"], 3)
            station.pops[HARDWARE_ID] = POP
        async with station.daemon() as running:
            await module.unplug()
            await module.plug()
            await running.until(verified)
        assert module.boots == boots + 2  # the plug, and one opening of the port


async def test_corrected_arguments_are_asked_anew(station: Station, site: SiteApi) -> None:
    wrong = station.configure()
    right = wrong.read_text()
    station.configure = lambda: wrong  # type: ignore[method-assign]
    wrong.write_text(right.replace("[site]\n", '[site]\nid = "no-such-site"\n'))
    async with station.module() as module:
        async with station.daemon() as running:
            await running.until(lambda view: view["hold"] is not None and view["hold"]["waits"] == "operator")
        wrong.write_text(right)
        async with station.daemon() as running:
            await module.unplug()
            await module.plug()
            await running.until(verified)
    assert len(await site.devices()) == 1


async def test_a_module_is_configured_on_a_bench_and_verified_at_its_place(station: Station, site: SiteApi) -> None:
    station.policy = 'verify = "later"'
    module = station.module()
    module.radio.air.switch_off(SSID)
    async with station.daemon(clock=FastClock(20)) as running, module:
        view = await running.until(lambda view: view["appears_later"])
        assert (view["milestone"], view["hold"], module.trial_generation, module.active_generation) == (
            "PUSHED",
            None,
            0,
            1,
        )
        await module.until(lambda m: not m.is_open, timeout=10)
        await module.unplug(power=True)
        module.radio.air.switch_on(SSID)
        view = await running.until(verified)
        assert view["evidence"] is not None
        assert (view["evidence"]["reported_phase"], view["evidence"]["generation"]) == ("IDLE", 1)
        assert len(await site.devices()) == 1
