"""Trials against the clock: they end by confirmation, by time, by boots, by word of the host."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.host import Host, secured
from tests.sim.sample import POP
from tests.sim.site import broker
from ucm_sim import Identity, ScaledClock, SerialModule
from ucm_sim.messages import ucm_link_pb2 as pb

FAST = 60.0


def build(identity: Identity, state_file: Path, port: Path, *, factor: float = FAST) -> SerialModule:
    networks = {"plant-wifi": "correct horse"}
    clock = ScaledClock(factor)
    return SerialModule(identity, state_file, port, baud=0, boot_s=0, networks=networks, clock=clock, announce=print)


@pytest.fixture
async def module(identity: Identity, state_file: Path, port: Path) -> AsyncIterator[SerialModule]:
    async with build(identity, state_file, port) as module:
        await module.until(lambda module: module.answers, timeout=5)
        yield module


@pytest.fixture
async def host(module: SerialModule, port: Path) -> AsyncIterator[Host]:
    async with secured(port, POP) as host:
        yield host


async def ended(module: SerialModule) -> None:
    await module.until(lambda module: not module.trial_generation, timeout=8)


async def last_trial(host: Host) -> tuple[str, str]:
    last = (await host.link()).last_trial
    return pb.Phase.Name(last.phase), pb.Reason.Name(last.reason)


async def test_without_confirmation_a_new_module_is_new_again(
    module: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    transaction, generation = await host.push(config, trial_s=30)
    assert (await host.info()).trial.generation == generation
    await ended(module)
    info = await host.info()
    assert not info.HasField("trial")
    assert not info.HasField("active")
    assert await last_trial(host) == ("TLS", "TCP_REFUSED")
    await module.until(lambda module: module.phase_name == "IDLE", timeout=5)
    # The reservation is still there: 120 s were asked for. What failed stays refused.
    begin = pb.Begin(transaction=transaction, total=1, sha256=bytes(32))
    await host.reserve()
    assert (await host.config(begin=begin)).status == pb.REFUSED


async def test_it_returns_to_the_network_that_worked(module: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        _, old = await host.push(config)
        await module.until(lambda module: module.active_generation == old, timeout=5)
        config.wifi[0].ssid = "the-wrong-one"
        _, new = await host.push(config, base=old)
        assert (await host.info()).active.generation == old
        await module.until(lambda module: module.reason_name == "WIFI_NOT_FOUND", timeout=5)
        assert module.live_generation == new
        await ended(module)
        await module.until(lambda module: module.phase_name == "ONLINE", timeout=5)
    assert (module.live_generation, module.active_generation) == (old, old)
    assert await last_trial(host) == ("WIFI", "WIFI_NOT_FOUND")


async def test_until_the_answer_has_left_the_old_connection_lives(
    identity: Identity, state_file: Path, port: Path, config: pb.ModuleConfig
) -> None:
    # At real speed half a second is long enough to look inside.
    async with broker() as site, build(identity, state_file, port, factor=1) as module, secured(port, POP) as host:
        config.mqtt_port = site.port
        _, old = await host.push(config, confirm_by=pb.HOST)
        await module.until(lambda module: module.phase_name == "ONLINE", timeout=5)
        assert (await host.config(confirm=pb.Confirm(generation=old))).status == pb.OK
        _, new = await host.push(config, base=old)
        link = await host.link()
        assert (link.generation, link.phase) == (old, pb.ONLINE)
        await module.until(lambda module: module.live_generation == new, timeout=5)


async def test_a_host_that_wants_to_confirm_itself_must(
    module: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config, confirm_by=pb.HOST)
        await module.until(lambda module: module.phase_name == "ONLINE", timeout=5)
        assert module.trial_generation == 1
        await ended(module)
    assert module.active_generation == 0
    assert await last_trial(host) == ("ONLINE", "TRIAL_EXPIRED")


async def test_the_host_may_confirm_before_anything_works(
    module: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    _, generation = await host.push(config, confirm_by=pb.HOST)
    assert (await host.config(confirm=pb.Confirm(generation=generation))).status == pb.OK
    assert module.active_generation == generation
    assert (await last_trial(host))[1] == "NONE"


async def test_abort_rolls_back_at_once(module: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    transaction, _ = await host.push(config, trial_s=900)
    await module.until(lambda module: module.reason_name == "TCP_REFUSED", timeout=5)
    assert (await host.config(abort=pb.Abort(transaction=transaction))).status == pb.OK
    assert module.trial_generation == 0
    assert await last_trial(host) == ("TLS", "ABORTED")
    await module.until(lambda module: module.phase_name == "IDLE", timeout=5)


async def test_a_trial_goes_on_after_a_loss_of_power_and_does_not_get_longer(
    identity: Identity, state_file: Path, port: Path, config: pb.ModuleConfig
) -> None:
    async with build(identity, state_file, port) as module:
        async with secured(port, POP) as host:
            await host.push(config, trial_s=900)
            writes = module.flash_writes
            await module.until(lambda module: module.reason_name == "TCP_REFUSED", timeout=5)
            # The next write of the flash is the trial's time.
            await module.until(lambda module: module.flash_writes > writes, timeout=5)
        await module.unplug()
        assert module.trial_generation == 1
        await module.plug()
        await module.until(lambda module: module.live_generation == 1, timeout=5)
        trial = module._slots().trial
        assert trial is not None
        assert trial.boots == 1
        assert trial.spent_ms > 4000


async def test_the_fourth_boot_within_a_trial_rolls_back(
    module: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    await host.push(config, trial_s=900)
    for _ in range(3):
        await module.reboot()
        assert module.trial_generation == 1
    await module.reboot()
    assert (module.trial_generation, module.active_generation) == (0, 0)
    await host.shake_hands(POP)
    assert (await host.link()).last_trial.generation == 1


async def test_only_the_trial_is_bound_to_one_network(
    module: SerialModule, host: Host, config: pb.ModuleConfig
) -> None:
    config.wifi.insert(0, pb.Wifi(ssid="far-away", passphrase="x"))
    async with broker() as site:
        config.mqtt_port = site.port
        _, generation = await host.push(config, ssid="far-away", confirm_by=pb.HOST)
        await module.until(lambda module: module.reason_name == "WIFI_NOT_FOUND", timeout=5)
        assert (await host.config(confirm=pb.Confirm(generation=generation))).status == pb.OK
        await module.until(lambda module: module.phase_name == "ONLINE", timeout=5)
        assert (await host.link()).ssid == "plant-wifi"


async def test_reset_forgets_everything_but_the_counter(
    module: SerialModule, host: Host, config: pb.ModuleConfig, state_file: Path
) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        await host.push(config)
        await module.until(lambda module: module.active_generation == 1, timeout=5)
        assert (await host.config(reset=pb.Reset(version=1))).status == pb.OK
        await module.until(lambda module: module.phase_name == "IDLE", timeout=5)
    info = await host.info()
    for field in ("active", "trial", "staged", "reservation"):
        assert not info.HasField(field)
    assert not (await host.link()).HasField("last_trial")
    assert set(module._board.flash._regions) == {"factory", "record"}
    _, generation = await host.push(config)
    assert generation == 2


async def test_reset_on_trial(module: SerialModule, host: Host, config: pb.ModuleConfig) -> None:
    await host.push(config, trial_s=900)
    assert (await host.config(reset=pb.Reset(version=1))).status == pb.OK
    await ended(module)
    assert not (await host.link()).HasField("last_trial")
