"""Frames: found in any noise, however the stream is cut; nothing damaged is ever answered."""

import struct
import zlib

from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.host import parse_response, request_frame
from ucm_sim.frames import DEFAULT_MAX_FRAME, Request, RequestScanner, encode_response

sessions = st.integers(0, 0xFFFFFFFF)
sequences = st.integers(0, 255)
endpoints = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=32)
bodies = st.binary(max_size=600)
noise = st.binary(max_size=80)
requests = st.builds(Request, sessions, sequences, endpoints, bodies)


def wire(request: Request) -> bytes:
    return request_frame(request.session, request.seq, request.endpoint, request.body)


def scan(stream: bytes, *, max_frame: int = DEFAULT_MAX_FRAME, step: int = 0) -> list[Request]:
    scanner = RequestScanner(max_frame)
    step = step or len(stream) or 1
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    return [request for piece in pieces for request in scanner.feed(piece)]


@given(st.lists(st.tuples(noise, requests), max_size=4), noise, st.integers(1, 50))
def test_requests_are_found_between_noise_however_the_stream_is_cut(
    parts: list[tuple[bytes, Request]], tail: bytes, step: int
) -> None:
    stream = b"".join(before + wire(request) for before, request in parts) + tail
    assert scan(stream, step=step) == [request for _, request in parts]


@given(requests, st.data())
def test_no_damaged_frame_is_a_request(request: Request, data: st.DataObject) -> None:
    whole = bytearray(wire(request))
    at = data.draw(st.integers(1, len(whole) - 2))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert scan(bytes(whole)) == []


@given(requests, st.data())
def test_no_frame_cut_short_is_a_request(request: Request, data: st.DataObject) -> None:
    whole = wire(request)
    kept = data.draw(st.integers(0, len(whole) - 2))
    assert scan(whole[:kept] + b"\0") == []


@given(requests, st.binary(min_size=1, max_size=20).filter(lambda text: 0 not in text), st.data())
def test_a_frame_with_log_text_inside_is_lost_and_the_next_one_is_not(
    request: Request, text: bytes, data: st.DataObject
) -> None:
    whole = wire(request)
    at = data.draw(st.integers(2, len(whole) - 2))
    assert scan(whole[:at] + text + whole[at:] + whole) == [request]


@given(sessions, sequences, st.integers(0, 0xFFFF), st.binary(max_size=2290))
def test_responses_read_back(session: int, seq: int, status: int, body: bytes) -> None:
    frame = encode_response(session, seq, status, body)
    assert frame[0] == frame[-1] == 0
    assert 0 not in frame[1:-1]
    assert parse_response(frame[1:-1]) == (session, seq, status, body)


def sized_frame(size: int) -> bytes:
    head = struct.pack("<BBBIHB", 1, 1, 0, 1, 0, 0)
    block = head + b"\xa5" * (size - len(head) - 4)
    return b"\0" + bytes(cobs.encode(block + struct.pack("<I", zlib.crc32(block)))) + b"\0"


def test_the_largest_frame_passes_and_one_byte_more_does_not() -> None:
    for max_frame in (2048, 2304, 4096):
        assert len(scan(sized_frame(max_frame), max_frame=max_frame)) == 1
        assert scan(sized_frame(max_frame + 1), max_frame=max_frame) == []


def test_an_endless_run_is_forgotten_and_costs_no_memory() -> None:
    scanner = RequestScanner(64)
    for _ in range(1000):
        assert scanner.feed(b"\x55" * 1000) == []
    assert len(scanner._held) < 100
    assert len(scanner.feed(sized_frame(64))) == 1
