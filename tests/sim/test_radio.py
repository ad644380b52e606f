"""A module on a cable in the air of a site: which network it takes, loses and comes back to, and what it says of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.host import Host, secured
from tests.sim.sample import HARDWARE_ID, POP
from tests.sim.site import ScriptedBroker, broker
from ucm_sim import Air, Identity, Network, Radio, ScaledClock, SerialModule
from ucm_sim.air import UnknownNetworkError
from ucm_sim.messages import ucm_link_pb2 as pb

FAST = 20.0
OLD = pb.Wifi(ssid="old-wifi", passphrase="battery staple")
NEW = pb.Wifi(ssid="new-wifi", passphrase="correct horse")


@pytest.fixture
def air() -> Air:
    return Air([Network("old-wifi", "battery staple", -61), Network("new-wifi", "correct horse", -47, hidden=True)])


@pytest.fixture
async def module(identity: Identity, state_file: Path, port: Path, air: Air) -> AsyncIterator[SerialModule]:
    options = {"baud": 0, "boot_s": 0, "air": air, "clock": ScaledClock(FAST), "announce": print}
    async with SerialModule(identity, state_file, port, **options) as module:
        await module.until(lambda module: module.answers, timeout=5)
        yield module


@pytest.fixture
async def host(module: SerialModule, port: Path) -> AsyncIterator[Host]:
    async with secured(port, POP) as host:
        yield host


@pytest.fixture
async def site() -> AsyncIterator[ScriptedBroker]:
    async with broker() as site:
        yield site


@pytest.fixture
async def old(module: SerialModule, host: Host, site: ScriptedBroker, config: pb.ModuleConfig) -> pb.ModuleConfig:
    """The configuration with which the module is online in the old network, at generation 1."""
    config.mqtt_port = site.port
    await configured(module, host, config, [OLD])
    return config


async def configured(module: SerialModule, host: Host, config: pb.ModuleConfig, wifi: list[pb.Wifi]) -> int:
    """Online and confirmed with these networks; the generation."""
    generation = await pushed(module, host, config, wifi)
    await module.until(lambda module: module.active_generation == generation, timeout=8)
    return generation


async def pushed(module: SerialModule, host: Host, config: pb.ModuleConfig, wifi: list[pb.Wifi], ssid: str = "") -> int:
    """Committed with these networks; the generation."""
    del config.wifi[:]
    config.wifi.extend(wifi)
    _, generation = await host.push(config, base=module.active_generation, ssid=ssid)
    await module.until(lambda module: module.live_generation == generation, timeout=8)
    return generation


async def online(module: SerialModule) -> None:
    await module.until(lambda module: module.phase_name == "ONLINE", timeout=8)


async def without_network(module: SerialModule, reason: str) -> None:
    await module.until(lambda module: (module.phase_name, module.reason_name) == ("WIFI", reason), timeout=8)


async def rolled_back(module: SerialModule, host: Host) -> tuple[str, str]:
    """The trial has failed: phase and reason."""
    await module.until(lambda module: not module.trial_generation, timeout=8)
    last = (await host.link()).last_trial
    return pb.Phase.Name(last.phase), pb.Reason.Name(last.reason)


async def network_of(host: Host) -> tuple[str, int]:
    link = await host.link()
    return link.ssid, link.rssi_dbm


# ---- which network it takes ----


async def test_the_first_that_it_hears_not_the_strongest(
    module: SerialModule, host: Host, site: ScriptedBroker, config: pb.ModuleConfig
) -> None:
    config.mqtt_port = site.port
    far = pb.Wifi(ssid="far-away", passphrase="x")
    await configured(module, host, config, [far, OLD, NEW])
    assert await network_of(host) == ("old-wifi", -61)


async def test_a_hidden_network_is_joined_as_any_other(module: SerialModule, host: Host, old: pb.ModuleConfig) -> None:
    await configured(module, host, old, [NEW])
    assert await network_of(host) == ("new-wifi", -47)


async def test_each_module_hears_it_as_strongly_as_it_is_near(
    module: SerialModule, host: Host, old: pb.ModuleConfig
) -> None:
    module.radio.set_rssi("old-wifi", -88)
    assert await network_of(host) == ("old-wifi", -88)


async def test_another_access_point_than_the_configured_one(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air
) -> None:
    await pushed(module, host, old, [pb.Wifi(ssid="old-wifi", passphrase="battery staple", bssid=b"\2other")])
    await without_network(module, "WIFI_NOT_FOUND")
    air.add(Network("old-wifi", "battery staple", bssid=b"\2other"))
    await online(module)


# ---- what it loses, and where it goes then ----


async def test_an_access_point_that_is_switched_off_and_on_again(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    air.switch_off("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    assert await network_of(host) == ("", 0)
    air.switch_on("old-wifi")
    await online(module)
    assert (module.live_generation, module.active_generation, len(site.logins)) == (1, 1, 2)


async def test_an_access_point_that_restarts_in_a_moment_is_noticed(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    air.switch_off("old-wifi")
    air.switch_on("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    await online(module)
    assert len(site.logins) == 2


async def test_another_passphrase_throws_it_out(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air
) -> None:
    air.change_passphrase("old-wifi", "tr0ub4dor")
    await without_network(module, "WIFI_AUTH_FAILED")
    air.change_passphrase("old-wifi", "battery staple")
    await online(module)


async def test_out_of_range_and_back(module: SerialModule, host: Host, old: pb.ModuleConfig) -> None:
    module.radio.leave_range("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    module.radio.enter_range("old-wifi")
    await online(module)


async def test_it_notices_while_the_broker_is_away(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    site.connack = 3
    site.drop()
    await module.until(lambda module: module.reason_name == "MQTT_UNAVAILABLE", timeout=8)
    air.switch_off("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")


async def test_it_moves_to_the_second_and_stays_there(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    await configured(module, host, old, [OLD, NEW])
    air.switch_off("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    await online(module)
    assert await network_of(host) == ("new-wifi", -47)
    logins = len(site.logins)
    air.switch_on("old-wifi")
    await host.reserve()
    assert await network_of(host) == ("new-wifi", -47)
    assert len(site.logins) == logins
    air.switch_off("new-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    await online(module)
    assert await network_of(host) == ("old-wifi", -61)


async def test_a_restart_begins_with_the_first_again(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air
) -> None:
    await configured(module, host, old, [OLD, NEW])
    air.switch_off("old-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    await online(module)
    air.switch_on("old-wifi")
    await module.reboot()
    await online(module)
    await host.shake_hands(POP)
    assert (await network_of(host))[0] == "old-wifi"


# ---- trials ----


async def test_a_trial_bound_to_a_network_out_of_range(module: SerialModule, host: Host, old: pb.ModuleConfig) -> None:
    module.radio.leave_range("new-wifi")
    await pushed(module, host, old, [NEW, OLD], ssid="new-wifi")
    assert await rolled_back(module, host) == ("WIFI", "WIFI_NOT_FOUND")
    await online(module)
    assert (module.live_generation, module.active_generation) == (1, 1)
    assert (await network_of(host))[0] == "old-wifi"


async def test_a_trial_with_a_wrong_passphrase(module: SerialModule, host: Host, old: pb.ModuleConfig) -> None:
    await pushed(module, host, old, [pb.Wifi(ssid="new-wifi", passphrase="wrong"), OLD], ssid="new-wifi")
    assert await rolled_back(module, host) == ("WIFI", "WIFI_AUTH_FAILED")
    await online(module)
    assert module.active_generation == 1


async def test_on_trial_the_others_are_tried_where_none_is_named(
    module: SerialModule, host: Host, old: pb.ModuleConfig
) -> None:
    module.radio.leave_range("new-wifi")
    await configured(module, host, old, [NEW, OLD])
    assert (await network_of(host))[0] == "old-wifi"


async def test_a_trial_whose_network_goes_away_in_the_middle(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    site.suback = 0x80
    await pushed(module, host, old, [NEW, OLD], ssid="new-wifi")
    await module.until(lambda module: module.reason_name == "MQTT_NOT_AUTHORIZED", timeout=8)
    site.suback = 0
    air.switch_off("new-wifi")
    # It does not flee to the old network: that would prove nothing about the new one.
    await without_network(module, "WIFI_NOT_FOUND")
    assert await rolled_back(module, host) == ("MQTT", "MQTT_NOT_AUTHORIZED")
    await online(module)
    assert (await network_of(host))[0] == "old-wifi"


async def test_a_trial_whose_network_comes_in_time(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air
) -> None:
    air.switch_off("new-wifi")
    generation = await pushed(module, host, old, [NEW, OLD], ssid="new-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    air.switch_on("new-wifi")
    await module.until(lambda module: module.active_generation == generation, timeout=8)
    assert (await network_of(host))[0] == "new-wifi"


# ---- moving a site: two networks first, then the access point ----


async def test_the_old_access_point_is_switched_off_after_both_are_known(
    module: SerialModule, host: Host, old: pb.ModuleConfig, air: Air, site: ScriptedBroker
) -> None:
    old.keep.CopyFrom(pb.KeepCredentials())
    both = await configured(module, host, old, [NEW, OLD])
    assert (await network_of(host))[0] == "new-wifi"
    air.switch_off("new-wifi")
    await without_network(module, "WIFI_NOT_FOUND")
    await online(module)
    assert (await network_of(host))[0] == "old-wifi"
    assert set(site.logins) == {(HARDWARE_ID, "only-here")}
    assert module.active_generation == both


async def test_an_empty_list_keeps_the_networks(module: SerialModule, host: Host, old: pb.ModuleConfig) -> None:
    await configured(module, host, old, [NEW, OLD])
    await configured(module, host, old, [])
    assert list((await host.info()).active.ssid) == ["new-wifi", "old-wifi"]
    assert (await network_of(host))[0] == "new-wifi"


# ---- the air itself ----


def test_networks_that_are_not_there() -> None:
    air = Air([Network("plant-wifi", "secret")])
    for change in (air.switch_off, air.switch_on, lambda ssid: air.change_passphrase(ssid, "x")):
        with pytest.raises(UnknownNetworkError, match="no network 'plant-wlan'"):
            change("plant-wlan")
    assert "secret" not in repr(air.networks)


async def test_in_an_air_of_any_network_one_can_be_switched_off(
    identity: Identity, state_file: Path, port: Path, site: ScriptedBroker, config: pb.ModuleConfig
) -> None:
    module = SerialModule(identity, state_file, port, baud=0, boot_s=0, rssi_dbm=-70, clock=ScaledClock(FAST))
    async with module, secured(port, POP) as host:
        config.mqtt_port = site.port
        await host.push(config)
        await online(module)
        assert await network_of(host) == ("plant-wifi", -70)
        module.radio.air.switch_off("plant-wifi")
        await without_network(module, "WIFI_NOT_FOUND")


def test_channels_and_addresses_are_the_same_every_time() -> None:
    one, other = Network("a"), Network("a")
    assert (one.bssid, one.channel) == (other.bssid, other.channel)
    assert {Network(str(number)).channel for number in range(20)} == {1, 6, 11}


async def test_modules_share_an_air_and_are_each_at_a_place_of_their_own(air: Air) -> None:
    near, far = Radio(air), Radio(air)
    waiting = [asyncio.create_task(radio.lost(OLD)) for radio in (near, far)]
    await asyncio.sleep(0)
    far.leave_range("old-wifi")
    assert await waiting[1] == pb.WIFI_NOT_FOUND
    assert not waiting[0].done()
    air.change_passphrase("old-wifi", "tr0ub4dor")
    assert await waiting[0] == pb.WIFI_AUTH_FAILED
