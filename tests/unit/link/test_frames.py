"""The frame codec: golden vectors, noise, corruption, bounds."""

import json
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.link.frames import Deframer, Response, encode_request

VECTORS = json.loads(Path("hardware/link/vectors.json").read_text())["frames"]

responses = st.builds(
    Response,
    seq=st.integers(0, 255),
    session=st.integers(1, 0x7FFFFFFE),
    status=st.integers(0, 0xFFFF),
    body=st.binary(max_size=600),
)
# Console output never holds a zero byte of its own accord.
noise = st.binary(max_size=80).map(lambda data: data.replace(b"\0", b"."))


def on_wire(response: Response) -> bytes:
    head = struct.pack("<BBBIHB", 1, 2, response.seq, response.session, response.status, 0)
    covered = head + response.body
    return b"\0" + cobs.encode(covered + struct.pack("<I", zlib.crc32(covered))) + b"\0"


def by_name(cases: list[dict]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@by_name([case for case in VECTORS["valid"] if case["type"] == 1])
def test_a_request_is_the_golden_one(case: dict) -> None:
    sent = encode_request(case["seq"], case["session"], case["endpoint"], bytes.fromhex(case["body"]))
    assert sent == bytes.fromhex(case["wire"])


@by_name([case for case in VECTORS["valid"] if case["type"] == 2])
def test_a_golden_response_is_understood(case: dict) -> None:
    expected = Response(case["seq"], case["session"], case["status"], bytes.fromhex(case["body"]))
    assert Deframer().feed(bytes.fromhex(case["wire"])) == [expected]


@by_name(VECTORS["ignored"])
def test_what_must_be_ignored_is_console(case: dict) -> None:
    deframer, wire = Deframer(), bytes.fromhex(case["wire"])
    assert deframer.feed(wire) == []
    assert deframer.frames == 0
    assert deframer.console.count + len(deframer.unfinished()) == len(wire) - wire.count(0)


@given(st.lists(st.tuples(noise, responses, noise), max_size=5), st.data())
def test_every_response_is_found_between_noise_however_it_arrives(items: list, data: st.DataObject) -> None:
    wire = b"".join(before + on_wire(response) + after for before, response, after in items)
    cuts = sorted({0, len(wire), *data.draw(st.lists(st.integers(0, len(wire)), max_size=8))})
    deframer = Deframer()
    found = [response for a, b in pairwise(cuts) for response in deframer.feed(wire[a:b])]
    assert found == [response for _, response, _ in items]
    assert deframer.console.count + len(deframer.unfinished()) == sum(len(a) + len(b) for a, _, b in items)


@given(responses)
def test_a_byte_at_a_time(response: Response) -> None:
    deframer = Deframer()
    assert [found for byte in on_wire(response) for found in deframer.feed(bytes([byte]))] == [response]


@given(responses, st.integers(min_value=0), st.integers(1, 255))
def test_a_damaged_frame_is_never_taken_for_a_response(response: Response, where: int, flip: int) -> None:
    wire = bytearray(on_wire(response))
    wire[1 + where % (len(wire) - 2)] ^= flip  # the delimiters stay: without them there is no frame at all
    assert Deframer().feed(bytes(wire)) == []


@given(responses, st.data())
def test_the_frame_after_a_cut_one_is_found(response: Response, data: st.DataObject) -> None:
    wire = on_wire(response)
    cut = data.draw(st.integers(1, len(wire) - 2))
    assert Deframer().feed(wire[:cut] + wire) == [response]


def test_a_frame_with_the_optional_closing_code_is_understood() -> None:
    """Where a block ends with 254 bytes that are not zero, encoders may or may not close it with 01."""
    response = Response(1, 0x01010101, 0, b"\0" + b"\x07" * 250)  # and the four of the checksum
    wire = on_wire(response)
    assert wire[-256] == 0xFF
    assert Deframer().feed(wire) == [response]
    assert Deframer().feed(wire[:-1] + b"\x01\0") == [response]


def test_only_a_frame_up_to_max_frame_is_taken() -> None:
    overhead = 14
    exact = Response(0, 1, 0, bytes(policy.MAX_FRAME_DEFAULT - overhead))
    longer = Response(0, 1, 0, bytes(policy.MAX_FRAME_DEFAULT - overhead + 1))
    deframer = Deframer()
    assert deframer.feed(on_wire(exact)) == [exact]
    assert deframer.feed(on_wire(longer)) == []
    deframer.max_frame = policy.MAX_FRAME_LARGEST
    assert deframer.feed(on_wire(longer)) == [longer]


@given(st.lists(st.binary(max_size=5000), max_size=12))
def test_memory_stays_bounded_whatever_arrives(pieces: list[bytes]) -> None:
    deframer = Deframer()
    for piece in pieces:
        deframer.feed(piece * 3)
    assert deframer.received == 3 * sum(map(len, pieces))
    assert len(deframer.unfinished()) <= policy.MAX_FRAME_DEFAULT + policy.MAX_FRAME_DEFAULT // 254 + 1
    assert len(deframer.console.text(deframer.unfinished())) <= policy.CONSOLE_TAIL


def test_after_an_endless_line_the_next_frame_is_found() -> None:
    deframer, response = Deframer(), Response(3, 7, 0, b"here")
    assert deframer.feed(b"x" * 100_000) == []
    assert deframer.feed(on_wire(response)) == [response]
    assert deframer.console.count == 100_000


def test_the_end_of_an_endless_line_is_no_frame() -> None:
    """A frame stands between two delimiters, wherever the bytes happen to be cut."""
    deframer, response = Deframer(), Response(3, 7, 0, b"here")
    deframer.feed(b"x" * 100_000)
    assert deframer.feed(on_wire(response)[1:]) == []
    assert deframer.feed(on_wire(response)) == [response]
