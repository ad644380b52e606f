"""The cable: speed, unplugging, names, resets, and what a console prints."""

import asyncio
import os
import select
import time
from pathlib import Path

import pytest

from tests.sim.host import Host, Port, opened, parse_response, request_frame, secured
from tests.sim.sample import HARDWARE_ID, POP
from ucm_sim import Identity, ScaledClock, SerialModule
from ucm_sim.factory import WrongModuleError
from ucm_sim.line import Wire
from ucm_sim.messages import ucm_link_pb2 as pb

VERSION = request_frame(7, 0, "proto-ver", b"-")


def is_link(path: Path) -> bool:
    return path.is_symlink()


def point(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


async def ready(module: SerialModule) -> None:
    await module.until(lambda module: module.answers, timeout=5)


async def seen(port: Port, text: bytes) -> None:
    async with asyncio.timeout(5):
        while text not in port.seen:
            await port.read()


async def test_the_boot_log_and_the_frames_share_the_line(identity: Identity, state_file: Path, port: Path) -> None:
    module = SerialModule(identity, state_file, port, boot_s=0.3)
    async with module, opened(port) as host:
        await seen(host.port, b"ucm: ready")
        await host.shake_hands(POP)
        assert (await host.info()).hardware_id == HARDWARE_ID
        console = bytes(host.port.seen)
    # The module was already booting when the port was opened: what it printed before is lost.
    assert b"I (30" in console
    assert b"\r\n" in console


async def test_nothing_is_echoed_or_translated(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, boot_s=0) as module:
        await ready(module)
        async with opened(port) as host:
            host.port.write(b"AT\r\nATI\r\n\x03\x04")
            await host.call("proto-ver", b"-")
            pieces = [piece for piece in bytes(host.port.seen).split(b"\0") if piece]
            assert [parse_response(piece) is not None for piece in pieces] == [True]


async def test_the_wire_takes_its_time_both_ways(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=9600, boot_s=0) as module:
        await ready(module)
        async with opened(port) as host:
            began = time.monotonic()
            body = await host.call("proto-ver", b"-" * 300)
            taken = time.monotonic() - began
    bits = 10 * (len(request_frame(1, 0, "proto-ver", b"-" * 300)) + len(body) + 16)
    assert taken > bits / 9600
    assert taken < bits / 9600 + 1.0


async def test_the_speed_does_not_drift() -> None:
    wire = Wire(ScaledClock(10), 115200)
    began = time.monotonic()
    for _ in range(200):
        await wire.carry(wire.piece)
    ideal = 200 * wire.piece * 10 / 115200 / 10
    assert ideal <= time.monotonic() - began < ideal + 0.2


async def test_two_openings_in_turn(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        for _ in range(3):
            async with secured(port, POP) as host:
                assert (await host.info()).status == pb.OK
        assert module.boots == 1


async def test_hosts_that_follow_each_other_closely(identity: Identity, state_file: Path, port: Path) -> None:
    # From a thread, so that closing and opening fall into every moment of the module's own work.
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        answered = await asyncio.to_thread(lambda: [ask_once(port, session) for session in range(1, 601)])
        assert all(answered)


def ask_once(port: Path, session: int) -> bool:
    """Open, ask, read until the answer of this session, close; False where it does not come within 2 s."""
    time.sleep(session % 30 * 10e-6)
    terminal, received = peek(port), b""
    try:
        os.write(terminal, request_frame(session, 0, "proto-ver", b"-"))
        while select.select([terminal], [], [], 2)[0]:
            received += os.read(terminal, 4096)
            answers = [parse_response(piece) for piece in received.split(b"\0")]
            if session in [answer[0] for answer in answers if answer]:
                return True
        return False
    finally:
        os.close(terminal)


async def test_what_one_host_left_unread_is_not_for_the_next(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        with port.open("r+b", buffering=0) as careless:
            careless.write(VERSION)
            await asyncio.to_thread(select.select, [careless], [], [], 5)
        await module.until(lambda module: not module.is_open, timeout=5)
        async with opened(port) as host:
            await host.call("proto-ver", b"-")
            assert host.port.seen.count(b'"ver"') == 2  # in one answer: the module's and protocomm's


async def test_a_host_that_does_not_read_does_not_block_the_module(
    identity: Identity, state_file: Path, port: Path
) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        with port.open("r+b", buffering=0) as deaf:
            for number in range(600):
                deaf.write(request_frame(7, number % 256, "proto-ver", b"-"))
                await asyncio.sleep(0)
            await module.until(lambda module: module.frames == 600, timeout=10)
        async with secured(port, POP) as host:
            assert (await host.info()).status == pb.OK


# ---- unplugging ----


async def test_unplugging_hangs_up_and_takes_the_name_away(
    identity: Identity, state_file: Path, port: Path, tmp_path: Path
) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        async with secured(port, POP) as host:
            await host.reserve()
            await module.unplug()
            async with asyncio.timeout(2):
                await host.port.hung_up.wait()
        assert not is_link(port)
        assert not module.answers
        elsewhere = tmp_path / "ttyUCM7"
        await module.plug(elsewhere)
        async with secured(elsewhere, POP) as host:
            info = await host.info()
        assert not is_link(port)
        assert not info.HasField("reservation")
        assert module.boots == 2
    assert not is_link(elsewhere)


async def test_a_module_with_power_of_its_own_keeps_its_memory(
    identity: Identity, state_file: Path, port: Path
) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        async with secured(port, POP) as host:
            await host.reserve("box-1", 600)
        await module.unplug(power=True)
        await module.plug()
        async with secured(port, POP) as host:
            assert (await host.info()).reservation.owner == "box-1"
        assert module.boots == 1


async def test_unplugging_twice_and_plugging_twice(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0) as module:
        with pytest.raises(RuntimeError, match="in already"):
            await module.plug()
        await module.unplug()
        await module.unplug()


async def test_a_link_that_points_elsewhere_by_now_is_left_alone(
    identity: Identity, state_file: Path, port: Path
) -> None:
    async with SerialModule(identity, state_file, port, baud=0):
        point(port, "/dev/null")
    assert is_link(port)


async def test_a_stale_link_is_replaced(identity: Identity, state_file: Path, port: Path) -> None:
    point(port, "/dev/pts/does-not-exist")
    async with SerialModule(identity, state_file, port, baud=0), secured(port, POP) as host:
        assert (await host.info()).status == pb.OK


async def test_the_configuration_outlives_the_process(
    identity: Identity, state_file: Path, port: Path, config: pb.ModuleConfig
) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module, secured(port, POP) as host:
        _, generation = await host.push(config)
        assert (await host.config(confirm=pb.Confirm(generation=generation))).status == pb.OK
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module, secured(port, POP) as host:
        info = await host.info()
        assert (info.active.generation, info.active.device_id) == (1, "device-1")
        assert module.active_generation == 1


def test_a_flash_belongs_to_one_module_and_one_label(identity: Identity, state_file: Path, port: Path) -> None:
    SerialModule(identity, state_file, port)
    for other in (Identity("F" * 32, POP), Identity(HARDWARE_ID, "another")):
        with pytest.raises(WrongModuleError):
            SerialModule(other, state_file, port)


# ---- reset on open ----


async def test_opening_resets_where_the_board_is_wired_so(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0.2, reset_on_open=True) as module:
        await ready(module)
        for number in (2, 3):
            async with opened(port) as host:
                # The first request meets a module that is just booting and gets no answer.
                await host.shake_hands(POP)
                assert module.boots == number
                assert b"ESP-ROM:" in host.port.seen
                await host.reserve()
                assert (await host.info()).clock_unix_ms == 0


async def test_a_second_program_on_an_open_port_resets_nothing(
    identity: Identity, state_file: Path, port: Path
) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0, reset_on_open=True) as module:
        async with opened(port) as host:
            await host.shake_hands(POP)
            os.close(peek(port))
            assert (await host.info()).status == pb.OK
        assert module.boots == 2


def peek(port: Path) -> int:
    return os.open(port, os.O_RDWR | os.O_NOCTTY)


async def test_hosts_that_come_and_go_in_the_same_moment(identity: Identity, state_file: Path, port: Path) -> None:
    # The kernel merges such openings into one event, and such closings.
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        talking, peeking, lurking = Port(port), peek(port), peek(port)
        await module.until(lambda module: module.is_open, timeout=5)
        os.close(peeking)
        await Host(talking).shake_hands(POP)
        talking.close()
        os.close(lurking)
        await module.until(lambda module: not module.is_open, timeout=5)
        async with secured(port, POP) as host:
            assert (await host.info()).status == pb.OK


async def test_a_module_that_nobody_talks_to_rests(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        async with secured(port, POP) as host:
            await host.info()
        await module.until(lambda module: not module.is_open, timeout=5)
        spent = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - spent < 0.1


async def test_what_a_host_wrote_before_it_left_is_read(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await ready(module)
        with port.open("wb", buffering=0) as hasty:
            hasty.write(VERSION)
        await module.until(lambda module: module.frames == 1, timeout=5)


async def test_a_failure_inside_comes_out_as_it_is(identity: Identity, state_file: Path, port: Path) -> None:
    with pytest.raises(KeyError):
        async with SerialModule(identity, state_file, port):
            raise KeyError


async def test_requests_during_boot_are_lost(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0.4) as module, opened(port) as host:
        host.port.write(VERSION)
        await ready(module)
        assert module.frames == 0
        await Host(host.port).call("proto-ver", b"-")


async def test_waiting_for_what_does_not_come(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0) as module:
        with pytest.raises(TimeoutError):
            await module.until(lambda module: module.active_generation == 9, timeout=0.05)


async def test_a_larger_frame_is_announced_and_taken(identity: Identity, state_file: Path, port: Path) -> None:
    async with SerialModule(identity, state_file, port, baud=0, max_frame=4096), secured(port, POP) as host:
        assert b'"max_frame":4096' in await host.call("proto-ver", b"-")
        await host.reserve()
        blob = bytes(3000)
        begin = pb.Begin(transaction=b"t" * 16, total=3000, sha256=bytes(32))
        await host.config(begin=begin)
        chunk = pb.Chunk(transaction=b"t" * 16, payload=blob)
        assert (await host.config(chunk=chunk)).next_offset == 3000
