"""Opening, reading, writing and closing serial ports: on pseudo-terminals, which are unplugged like the real thing."""

import asyncio
import errno
import fcntl
import os
import select
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from tests.wire.link.conftest import MakeLine, terminals
from tests.wire.link.scripted import ScriptedLine
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports import serial as transport
from ucm_provision.transports.serial import SerialStream, open_port

BAUD = 115200


async def failure(address: object, retry_for: float = 0.0) -> UcmError:
    with pytest.raises(UcmError) as caught:
        await open_port(str(address), BAUD, retry_for=retry_for)
    return caught.value


async def read_exactly(stream: SerialStream, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count:
            data += await stream.read()
    return data


async def printed(line: ScriptedLine, data: bytes) -> None:
    async with asyncio.timeout(5):
        while data:
            try:
                data = data[os.write(line._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0)


async def test_bytes_pass_unchanged_both_ways(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    line.stop_reading()
    stream = await open_port(line.path, BAUD)
    assert stream.bits_per_second == BAUD
    every_byte = bytes(range(256))
    line.print(every_byte)
    assert await read_exactly(stream, 256) == every_byte
    await stream.write(every_byte)
    assert os.read(line._master, 1000) == every_byte
    await stream.close()


async def test_what_came_before_the_open_is_stale(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    line.print(b"of an earlier session")
    stream = await open_port(line.path, BAUD)
    line.print(b"fresh")
    assert await stream.read() == b"fresh"
    await stream.close()


async def test_what_the_driver_delivers_just_after_the_open_is_stale_too(
    make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = make_line(lambda request: [])

    def settle(_: float) -> None:
        line.print(b"of an earlier session")
        assert select.select([line._slave], [], [], 5)[0]

    monkeypatch.setattr(transport.time, "sleep", settle)
    stream = await open_port(line.path, BAUD)
    line.print(b"fresh")
    assert await stream.read() == b"fresh"
    await stream.close()


async def test_a_cancelled_read_loses_nothing(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.read(), 0.01)
    line.print(b"later")
    assert await stream.read() == b"later"
    await stream.close()


async def test_more_than_the_kernel_holds_is_written_as_it_drains(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    line.stop_reading()
    stream = await open_port(line.path, BAUD)
    writing = asyncio.ensure_future(stream.write(bytes(60_000)))
    received = 0
    async with asyncio.timeout(5):
        while received < 60_000:
            try:
                received += len(os.read(line._master, 4096))
            except BlockingIOError:
                await asyncio.sleep(0)
        await writing
    await stream.close()


async def test_unread_bytes_are_bounded_and_the_newest_are_kept(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    await printed(line, b"x" * 100_000 + b"the end")
    async with asyncio.timeout(5):
        data = b""
        while not data.endswith(b"the end"):
            piece = await stream.read()
            assert len(piece) <= 64 * 1024
            data += piece
    assert len(data) < 100_000
    await stream.close()


async def test_unplugged_while_reading(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    line.unplug()
    with pytest.raises(UcmError) as caught:
        await asyncio.wait_for(reading, 5)
    assert caught.value.code is Code.DEVICE_GONE
    await stream.close()


async def test_unplugged_while_writing(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    line.stop_reading()
    stream = await open_port(line.path, BAUD)
    writing = asyncio.ensure_future(stream.write(bytes(60_000)))
    await asyncio.sleep(0)
    line.unplug()
    with pytest.raises(UcmError) as caught:
        await asyncio.wait_for(writing, 5)
    assert caught.value.code is Code.DEVICE_GONE
    await stream.close()


async def test_what_came_before_the_unplugging_can_still_be_read(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    line.print(b"last words")
    async with asyncio.timeout(5):
        assert await stream.read() == b"last words"
    line.unplug()
    for _ in range(2):  # gone stays gone
        with pytest.raises(UcmError):
            await asyncio.wait_for(stream.read(), 5)
    with pytest.raises(UcmError):
        await stream.write(b"x")
    await stream.close()
    await stream.close()


async def test_an_idle_line_is_not_gone(make_line: MakeLine) -> None:
    """A wake-up without bytes, as another reader of the port would cause, must not read as a hang-up."""
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    stream._on_readable()
    line.print(b"still here")
    assert await stream.read() == b"still here"
    await stream.close()


async def test_modem_lines_are_released_rts_first(make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other order passes through the state that resets an ESP32."""
    line, calls = make_line(lambda request: []), []
    for name in ("rts", "dtr"):
        declared = getattr(serial.Serial, name)
        recorder = property(declared.fget, lambda port, value, name=name: calls.append((name, value)))
        monkeypatch.setattr(serial.Serial, name, recorder)
    stream = await open_port(line.path, BAUD)
    assert calls == [("rts", False), ("dtr", False)]
    await stream.close()


async def test_a_second_opener_is_told_who_holds_the_port(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    code = f"import serial, sys; p = serial.Serial({line.path!r}, exclusive=True); print(flush=True); sys.stdin.read()"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    await holder.stdout.readline()
    error = await failure(line.path)
    assert error.code is Code.PORT_BUSY
    assert f"(process {holder.pid})" in error.detail
    await holder.communicate(b"")  # ends its reading
    await (await open_port(line.path, BAUD)).close()


async def test_our_own_port_is_busy_to_ourselves(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    assert (await failure(line.path)).code is Code.PORT_BUSY
    await stream.close()


async def test_a_port_that_is_let_go_in_time_is_opened(make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line, refused, really = make_line(lambda request: []), threading.Event(), transport._open

    def noticing(address: str, baud: int) -> serial.Serial:
        try:
            return really(address, baud)
        except OSError:
            refused.set()
            raise

    first = await open_port(line.path, BAUD)
    monkeypatch.setattr(transport, "_open", noticing)
    second = asyncio.ensure_future(open_port(line.path, BAUD, retry_for=5))
    assert await asyncio.to_thread(refused.wait, 5)
    await first.close()
    await (await asyncio.wait_for(second, 5)).close()


def exclusive(path: str) -> bool:
    """Whether TIOCEXCL is set; privileged users are not kept out by it, so it is asked for."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        return bool(int.from_bytes(fcntl.ioctl(fd, 0x80045440, bytes(4)), sys.byteorder))  # TIOCGEXCL
    finally:
        os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only a privileged user may look at a port that is held exclusively")
async def test_the_port_is_exclusive_and_not_for_longer_than_it_is_open(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, BAUD)
    assert exclusive(line.path)
    await stream.close()
    assert not exclusive(line.path)


async def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    error = await failure(tmp_path / "ttyUSB0")
    assert error.code is Code.DEVICE_GONE


async def test_a_link_to_a_port_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").symlink_to("/dev/pts/no-such")
    assert (await failure(tmp_path / "ttyUSB0")).code is Code.DEVICE_GONE


@pytest.mark.parametrize("address", ["/dev/null", "/tmp", __file__])
async def test_what_is_no_serial_port(address: str) -> None:
    assert (await failure(address)).code is Code.PORT_UNUSABLE


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, Code.PORT_DENIED),
        (errno.EPERM, Code.PORT_DENIED),
        (errno.EBUSY, Code.PORT_BUSY),
        (errno.ENXIO, Code.DEVICE_GONE),
        (errno.EIO, Code.PORT_UNUSABLE),
    ],
)
async def test_refusals_of_the_operating_system(
    make_line: MakeLine, monkeypatch: pytest.MonkeyPatch, number: int, code: Code
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    line = make_line(lambda request: [])
    monkeypatch.setattr(serial.Serial, "open", refuse)
    assert (await failure(line.path)).code is code


async def test_rights_that_come_late_are_waited_for(make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line, tries, really = make_line(lambda request: []), [], serial.Serial.open

    def late(port: serial.Serial) -> None:
        tries.append(1)
        if len(tries) < 2:
            raise OSError(errno.EACCES, "Permission denied")
        really(port)

    monkeypatch.setattr(serial.Serial, "open", late)
    await (await open_port(line.path, BAUD)).close()
    assert len(tries) == 2


def slowly(function: Callable, begun: threading.Event, go_on: threading.Event) -> Callable:
    def slow(*args: object) -> object:
        begun.set()
        go_on.wait(5)
        return function(*args)

    return slow


async def test_an_open_that_is_cancelled_leaves_no_port_open(
    make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, begun, go_on, closed = make_line(lambda request: []), threading.Event(), threading.Event(), threading.Event()
    before = terminals()
    monkeypatch.setattr(transport, "_open", slowly(transport._open, begun, go_on))
    really = transport._close
    monkeypatch.setattr(transport, "_close", lambda port: (really(port), closed.set()))
    opening = asyncio.ensure_future(open_port(line.path, BAUD))
    await asyncio.to_thread(begun.wait, 5)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 5)
    assert terminals() == before


async def test_a_close_that_is_cancelled_is_finished_all_the_same(
    make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, begun, go_on = make_line(lambda request: []), threading.Event(), threading.Event()
    before = terminals()
    stream = await open_port(line.path, BAUD)
    monkeypatch.setattr(transport, "_close", slowly(transport._close, begun, go_on))
    closing = asyncio.ensure_future(stream.close())
    await asyncio.to_thread(begun.wait, 5)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    go_on.set()
    await stream.close()
    assert terminals() == before


async def test_closing_with_unsent_bytes_does_not_wait_for_them(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    line.stop_reading()
    stream = await open_port(line.path, BAUD)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.write(bytes(60_000)), 0.05)
    async with asyncio.timeout(1):
        await stream.close()


async def test_a_raw_line_with_the_rate_that_was_asked_for(make_line: MakeLine) -> None:
    line = make_line(lambda request: [])
    stream = await open_port(line.path, 74880)
    mode = termios.tcgetattr(line._slave)
    assert not mode[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    await stream.close()
