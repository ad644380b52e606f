"""Requests and responses over a real pseudo-terminal whose other end misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.wire.link.conftest import MakeLine
from tests.wire.link.scripted import Request, ScriptedLine, response, response_frame
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.link.exchange import Exchange, Line
from ucm_provision.link.timing import Timing
from ucm_provision.transports.serial import open_port

BAUD = 921600
FAST = Timing(
    retransmit_first=0.02, retransmit_last=0.08, first_answer=0.4, first_answer_resend=0.05, handshake=0.4, call=0.4
)
# Where nothing is lost, nothing is to be repeated, however busy the machine is.
CALM = Timing(retransmit_first=10, retransmit_last=10)
PATIENCE = 5.0  # for calls that are to succeed
SHORT = 0.15  # for calls that are to fail


@asynccontextmanager
async def exchange_over(line: ScriptedLine, timing: Timing = FAST) -> AsyncIterator[Exchange]:
    stream = await open_port(line.path, BAUD)
    try:
        yield Exchange(Line(stream), timing)
    finally:
        await stream.close()


async def failure(line: ScriptedLine, seconds: float = SHORT) -> UcmError:
    async with exchange_over(line) as exchange:
        with pytest.raises(UcmError) as caught:
            await exchange.call("ucm-info", b"?", seconds)
    return caught.value


async def test_a_call_and_its_answer(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, b"answer to " + request.body)])
    async with exchange_over(line, CALM) as exchange:
        assert await exchange.call("ucm-info", b"one", PATIENCE) == b"answer to one"
        assert await exchange.call("ucm-link", b"two", PATIENCE) == b"answer to two"
    assert [(r.seq, r.endpoint) for r in line.requests] == [(0, "ucm-info"), (1, "ucm-link")]
    assert 1 <= line.requests[0].session <= 0x7FFFFFFE


async def test_a_lost_request_is_repeated_byte_for_byte(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, b"late")] if len(line.requests) >= 4 else [])
    async with exchange_over(line) as exchange:
        assert await exchange.call("ucm-info", b"?", PATIENCE) == b"late"
    assert len({request.block for request in line.requests}) == 1
    assert len(line.requests) >= 4


class DeadEnd:
    """A line that takes everything and brings nothing."""

    bits_per_second = BAUD

    def __init__(self) -> None:
        self.written_at: list[float] = []

    async def write(self, data: bytes) -> None:
        self.written_at.append(asyncio.get_running_loop().time())

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        return


async def test_the_pauses_double_up_to_the_longest() -> None:
    line = DeadEnd()
    with pytest.raises(UcmError):
        await Exchange(Line(line), FAST).call("ucm-info", b"?", 0.36)
    pauses = [later - earlier for earlier, later in pairwise(line.written_at)]
    assert len(pauses) <= 5
    assert all(pause >= least for pause, least in zip(pauses, [0.02, 0.04, 0.08, 0.08, 0.08], strict=False))


async def test_the_timer_starts_when_the_last_byte_has_left(make_line: MakeLine) -> None:
    """At 9600 baud, 200 bytes need 0.2 s: repeating them after 0.02 s would only fill the line."""
    line = make_line(lambda request: [])
    stream = await open_port(line.path, 9600)
    with pytest.raises(UcmError):
        await Exchange(Line(stream), FAST).call("ucm-info", b"x" * 170, 0.2)
    await stream.close()
    assert len(line.requests) == 1


async def test_duplicate_answers_do_not_answer_the_next_call(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, request.body)] * 3)
    async with exchange_over(line, CALM) as exchange:
        for body in (b"one", b"two", b"three"):
            assert await exchange.call("ucm-info", body, PATIENCE) == body
    assert len(line.requests) == 3


async def test_answers_of_another_session_or_request_are_ignored(make_line: MakeLine) -> None:
    def answer(request: Request) -> list[bytes]:
        return [
            response_frame(request.seq, request.session ^ 1, b"another session"),
            response_frame(request.seq ^ 1, request.session, b"another request"),
            response(request, b"mine"),
        ]

    async with exchange_over(make_line(answer)) as exchange:
        assert await exchange.call("ucm-info", b"?", PATIENCE) == b"mine"


async def test_only_answers_of_another_session_are_a_broken_conversation(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response_frame(request.seq, request.session ^ 1)])
    assert (await failure(line)).code is Code.LINK_BROKEN


async def test_a_damaged_answer_is_asked_for_again(make_line: MakeLine) -> None:
    def answer(request: Request) -> list[bytes]:
        good = response(request, b"whole")
        return [good] if len(line.requests) > 2 else [good[:8] + b"I (412) wifi: log\r\n" + good[8:]]

    line = make_line(answer)
    async with exchange_over(line) as exchange:
        assert await exchange.call("ucm-info", b"?", PATIENCE) == b"whole"
    assert len(line.requests) >= 3


async def test_console_output_around_and_between_is_no_obstacle(make_line: MakeLine) -> None:
    def answer(request: Request) -> list[bytes]:
        return [b"I (1) boot\r\n" * 50, response(request, b"x"), b"I (2) more\r\n"]

    async with exchange_over(make_line(answer)) as exchange:
        for _ in range(20):
            assert await exchange.call("ucm-info", b"?", PATIENCE) == b"x"


async def test_an_answer_in_single_bytes(make_line: MakeLine) -> None:
    line = make_line(lambda request: [bytes([byte]) for byte in response(request, b"slow")])
    async with exchange_over(line) as exchange:
        assert await exchange.call("ucm-info", b"?", PATIENCE) == b"slow"


async def test_seq_goes_round(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, b"x")])
    async with exchange_over(line, CALM) as exchange:
        for _ in range(258):
            await exchange.call("ucm-info", b"?", PATIENCE)
    assert [request.seq for request in line.requests] == [*range(256), 0, 1]


async def test_silence(make_line: MakeLine) -> None:
    error = await failure(make_line(lambda request: []))
    assert error.code is Code.LINK_SILENT


async def test_bytes_without_a_frame(make_line: MakeLine) -> None:
    error = await failure(make_line(lambda request: [b"Login incorrect\r\nlogin: \x1b[0m"]))
    assert error.code is Code.LINK_GARBAGE
    assert "bytes, no frame" in error.detail
    assert "login: .[0m" in error.detail


async def test_the_detail_is_bounded_and_printable(make_line: MakeLine) -> None:
    error = await failure(make_line(lambda request: [b"\xff\x01spam " * 500]))
    assert error.detail.isprintable()
    assert len(error.detail) < 300


async def test_silence_after_answers_is_a_broken_conversation(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, b"x")] if request.seq == 0 else [])
    async with exchange_over(line) as exchange:
        await exchange.call("ucm-info", b"?", PATIENCE)
        with pytest.raises(UcmError, match="no answer to ucm-link") as caught:
            await exchange.call("ucm-link", b"?", SHORT)
    assert caught.value.code is Code.LINK_BROKEN


@pytest.mark.parametrize("status", [0x101, 0x105, 0xFFFF])
async def test_a_status_ends_the_session(make_line: MakeLine, status: int) -> None:
    error = await failure(make_line(lambda request: [response(request, status=status)]))
    assert error.code is Code.LINK_BROKEN
    assert f"0x{status:x}" in error.detail


async def test_unplugged_while_waiting(make_line: MakeLine) -> None:
    line = make_line(lambda request: line.unplug() or [])
    assert (await failure(line, PATIENCE)).code is Code.DEVICE_GONE


async def test_unplugged_between_calls(make_line: MakeLine) -> None:
    line = make_line(lambda request: [response(request, b"x")])
    async with exchange_over(line) as exchange:
        await exchange.call("ucm-info", b"?", PATIENCE)
        line.unplug()
        with pytest.raises(UcmError) as caught:
            await exchange.call("ucm-info", b"?", PATIENCE)
    assert caught.value.code is Code.DEVICE_GONE


async def test_a_line_that_takes_no_more_bytes(make_line: MakeLine) -> None:
    """A pseudo-terminal holds some kilobytes for a reader that does not read."""
    line = make_line(lambda request: [])
    line.stop_reading()
    stream = await open_port(line.path, BAUD)
    exchange = Exchange(Line(stream), FAST)
    with pytest.raises(UcmError) as caught:
        await exchange.call("ucm-config", b"x" * 50_000, SHORT)
    assert caught.value.code is Code.LINK_SILENT
    async with asyncio.timeout(1):
        await stream.close()


async def test_the_first_request_is_repeated_until_the_module_has_booted(make_line: MakeLine) -> None:
    def answer(request: Request) -> list[bytes]:
        return [response(request, b"awake")] if len(line.requests) >= 3 else [b"ESP-ROM:esp32c3\r\n"]

    line = make_line(answer)
    async with exchange_over(line) as exchange:
        assert (await exchange.ask_booting("proto-ver", b"-")).body == b"awake"
    assert len({request.block for request in line.requests}) == 1
