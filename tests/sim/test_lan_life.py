"""A module on the LAN through commit, roll-back, Reset and a new address, and with a cable beside it."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.host import secured
from tests.sim.lan_host import Dropped, LanHost, Socket, lan_secured
from tests.sim.sample import HARDWARE_ID, POP
from tests.sim.site import broker
from ucm_sim import Identity, LanModule, LanSegment, ScaledClock
from ucm_sim.factory import WrongModuleError
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.module import ModuleOptions

FAST = 20.0
NETWORKS = {"plant-wifi": "correct horse", "old-wifi": "battery staple"}
OPTIONS = ModuleOptions(boot_s=0, baud=0, networks=NETWORKS, wifi={"old-wifi": "battery staple"})


@pytest.fixture
async def segment() -> AsyncIterator[LanSegment]:
    async with LanSegment(mdns=False) as segment:
        yield segment


@pytest.fixture
async def module(identity: Identity, segment: LanSegment) -> AsyncIterator[LanModule]:
    async with LanModule(identity, None, segment, clock=ScaledClock(FAST), **OPTIONS) as module:
        await listening(module)
        yield module


@pytest.fixture
async def host(module: LanModule) -> AsyncIterator[LanHost]:
    async with lan_secured(module.port, POP) as host:
        yield host


async def listening(module: LanModule) -> None:
    await module.until(lambda module: module.is_listening, timeout=8)


async def gone(module: LanModule) -> None:
    await module.until(lambda module: not module.is_listening, timeout=8)


# ---- in which network, and where ----


async def test_a_new_module_is_in_the_network_that_it_knows(host: LanHost) -> None:
    link = await host.link()
    assert (link.phase, link.generation, link.ssid, link.ip) == (pb.IDLE, 0, "old-wifi", "127.0.0.1")


async def test_out_of_reach_of_its_network_nobody_reaches_it(module: LanModule) -> None:
    module.radio.leave_range("old-wifi")
    await gone(module)
    with pytest.raises(ConnectionRefusedError):
        await Socket.open(module.port)
    module.radio.enter_range("old-wifi")
    await listening(module)


async def test_another_address(module: LanModule, host: LanHost) -> None:
    port = module.port
    module.move("127.0.0.2")
    assert await host.socket.is_closed()
    await listening(module)
    async with lan_secured(port, POP, "127.0.0.2") as moved:
        assert (await moved.link()).ip == "127.0.0.2"
    module.move("127.0.0.1", 0)
    await gone(module)
    await listening(module)
    async with lan_secured(module.port, POP) as moved:
        assert (await moved.info()).hardware_id == HARDWARE_ID


async def test_a_place_that_is_taken(module: LanModule, host: LanHost, segment: LanSegment) -> None:
    other = LanModule(Identity("1" * 32, POP), None, segment, clock=ScaledClock(FAST))
    async with other:
        await listening(other)
        with pytest.raises(OSError, match="in use"):
            module.move(port=other.port)
        assert (await host.info()).status == pb.OK


# ---- the session and the network end with a change of networks ----


async def test_commit_ends_the_session_and_the_module_comes_back(
    module: LanModule, host: LanHost, config: pb.ModuleConfig
) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        _, generation = await host.push(config)
        # The answer to Commit was there; half a second later the module changes networks.
        assert module.is_listening
        assert await host.socket.is_closed()
        assert not module.is_listening
        await listening(module)
        async with await Socket.open(module.port) as again:
            host.socket = again
            with pytest.raises(Dropped):
                await host.info()
        await module.until(lambda module: module.active_generation == generation, timeout=8)
        async with lan_secured(module.port, POP) as fresh:
            link = await fresh.link()
            assert (link.ssid, link.generation) == ("plant-wifi", generation)
            assert (await fresh.info()).active.generation == generation
    assert not module.unprovisioned


async def test_a_roll_back_ends_it_as_well(module: LanModule, host: LanHost, config: pb.ModuleConfig) -> None:
    await host.push(config, trial_s=30)
    assert await host.socket.is_closed()
    await listening(module)
    async with lan_secured(module.port, POP) as during:
        assert (await during.info()).trial.generation == 1
        assert await during.socket.is_closed()
    await listening(module)
    async with lan_secured(module.port, POP) as after:
        link = await after.link()
    assert (link.ssid, pb.Reason.Name(link.last_trial.reason)) == ("old-wifi", "TCP_REFUSED")
    assert module.state_name == "new"


async def test_in_a_wrong_network_it_is_away_for_the_whole_trial(
    module: LanModule, host: LanHost, config: pb.ModuleConfig
) -> None:
    config.wifi[0].passphrase = "wrong"
    await host.push(config, trial_s=30)
    await gone(module)
    await module.until(lambda module: module.trial_generation == 0, timeout=8)
    assert not module.is_listening
    await listening(module)
    async with lan_secured(module.port, POP) as after:
        last = (await after.link()).last_trial
    assert (last.phase, last.reason) == (pb.WIFI, pb.WIFI_AUTH_FAILED)


async def test_an_answered_abort_ends_the_session(module: LanModule, host: LanHost, config: pb.ModuleConfig) -> None:
    transaction, _ = await host.push(config)
    assert await host.socket.is_closed()
    await listening(module)
    async with lan_secured(module.port, POP) as during:
        await during.reserve()
        assert (await during.config(abort=pb.Abort(transaction=transaction))).status == pb.OK
        assert await during.socket.is_closed()
    await listening(module)
    assert module.unprovisioned


async def test_after_a_reset_it_knows_no_network_any_more(module: LanModule, host: LanHost) -> None:
    await host.reserve()
    assert (await host.config(reset=pb.Reset(version=1))).status == pb.OK
    assert await host.socket.is_closed()
    assert not module.is_listening
    module.teach_wifi({"plant-wifi": "correct horse"})
    await listening(module)
    async with lan_secured(module.port, POP) as fresh:
        assert (await fresh.link()).ssid == "plant-wifi"


# ---- with a cable ----


async def test_both_carriers_share_the_reservation(module: LanModule, host: LanHost, port: Path) -> None:
    await module.plug(port)
    async with secured(port, POP) as cable:
        assert (await host.reserve("box-1")).status == pb.OK
        busy = await cable.reserve("box-2")
        assert (busy.status, busy.reservation.owner) == (pb.BUSY, "box-1")
        assert (await cable.config(abort=pb.Abort(transaction=b"x" * 16))).status == pb.BUSY
        assert (await host.reserve("box-1", 0)).status == pb.OK
        assert (await cable.reserve("box-2")).status == pb.OK
        assert (await host.config(abort=pb.Abort(transaction=b"x" * 16))).status == pb.BUSY


async def test_begun_on_the_lan_and_ended_over_the_cable(
    module: LanModule, host: LanHost, port: Path, config: pb.ModuleConfig
) -> None:
    blob, transaction = config.SerializeToString(), b"t" * 16
    digest = hashlib.sha256(blob).digest()
    begin = pb.Begin(transaction=transaction, total=len(blob), sha256=digest)
    await host.reserve()
    await host.config(begin=begin)
    await host.config(chunk=pb.Chunk(transaction=transaction, offset=0, payload=blob[:30]))
    await module.plug(port)
    async with broker() as site, secured(port, POP) as cable:
        assert (await cable.config(begin=begin)).status == pb.BUSY  # not reserved in this session yet
        await cable.reserve()
        assert (await cable.config(begin=begin)).next_offset == 30
        await cable.config(chunk=pb.Chunk(transaction=transaction, offset=30, payload=blob[30:]))
        commit = pb.Commit(transaction=transaction, confirm_by=pb.HOST, trial_s=120)
        assert (await cable.config(commit=commit)).status == pb.OK
        assert await host.socket.is_closed()
        # The cable's session goes on while the LAN is away.
        assert (await cable.info()).trial.generation == 1
        assert (await cable.config(confirm=pb.Confirm(generation=1))).status == pb.OK
        assert site.logins == []
    assert (module.executed("begin"), module.executed("commit"), module.active_generation) == (3, 1, 1)


async def test_the_carriers_have_sessions_of_their_own(module: LanModule, host: LanHost, port: Path) -> None:
    await module.plug(port)
    async with secured(port, POP) as cable:
        for _ in range(2):
            assert (await host.info()).hardware_id == (await cable.info()).hardware_id
        await module.unplug()
    assert module.is_powered
    assert (await host.info()).status == pb.OK
    assert module.sessions_stolen == 0


# ---- power and flash ----


async def test_flash_without_a_file_survives_the_power(
    module: LanModule, host: LanHost, config: pb.ModuleConfig
) -> None:
    await host.push(config)
    await module.power_off()
    assert module.trial_generation == 1
    await module.power_on()
    await listening(module)
    async with lan_secured(module.port, POP) as fresh:
        assert (await fresh.info()).trial.generation == 1


async def test_flash_in_a_file_outlives_the_module(
    identity: Identity, segment: LanSegment, state_file: Path, config: pb.ModuleConfig
) -> None:
    async with broker() as site:
        config.mqtt_port = site.port
        for expected in (0, 1):
            async with LanModule(identity, state_file, segment, clock=ScaledClock(FAST), **OPTIONS) as module:
                await listening(module)
                assert module.active_generation == expected
                async with lan_secured(module.port, POP) as host:
                    if expected == 0:
                        await host.push(config)
                await module.until(lambda module: module.active_generation == 1, timeout=8)


def test_flash_of_another_module(identity: Identity, segment: LanSegment, state_file: Path) -> None:
    LanModule(identity, state_file, segment).close()
    with pytest.raises(WrongModuleError):
        LanModule(Identity("1" * 32, POP), state_file, segment)


# ---- how much it publishes ----


async def test_a_quiet_module_registers_once_and_keeps_its_connection(
    identity: Identity, segment: LanSegment, config: pb.ModuleConfig
) -> None:
    module = LanModule(
        identity,
        None,
        segment,
        clock=ScaledClock(FAST),
        telemetry_every_s=0,
        register_every_s=0,
        **OPTIONS,
    )
    async with broker() as site, module:
        config.mqtt_port = site.port
        await listening(module)
        async with lan_secured(module.port, POP) as host:
            await host.push(config)
        await site.pinged.wait()
        topic, _ = site.published.get_nowait()
        assert topic.endswith("/v1/register")
        assert site.published.empty()
        assert module.phase_name == "ONLINE"
