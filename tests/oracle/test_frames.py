"""The transport that the oracle brings, against the golden frames."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.frames import Response, cobs_decoded, cobs_encoded, parsed_response, request_frame

FRAMES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "hardware" / "link" / "vectors.json").read_text(encoding="utf-8")
)["frames"]


@pytest.mark.parametrize("case", FRAMES["valid"], ids=lambda case: case["name"])
def test_valid_frames(case: dict[str, Any]) -> None:
    wire, body = bytes.fromhex(case["wire"]), bytes.fromhex(case["body"])
    response = parsed_response(wire.strip(b"\0"))
    if case["type"] == 1:
        assert request_frame(case["session"], case["seq"], case["endpoint"], body) == wire
        assert response is None
    else:
        assert response == Response(case["session"], case["seq"], case["status"], body)


@pytest.mark.parametrize("length", [0, 1, 253, 254, 255, 507, 508, 509])
@pytest.mark.parametrize("ending", [b"", b"\0", b"\0\0", b"\0end"])
def test_runs_of_every_length_survive(length: int, ending: bytes) -> None:
    block = b"x" * length + ending
    encoded = cobs_encoded(block)
    assert b"\0" not in encoded
    assert cobs_decoded(encoded) == block


@pytest.mark.parametrize("truncated", [b"\x02", b"\x05abc", b"\x01\xff" + b"x" * 253])
def test_a_truncated_block_does_not_decode(truncated: bytes) -> None:
    assert cobs_decoded(truncated) is None


def test_console_text_is_no_response() -> None:
    assert parsed_response(b"I (20) ucm: ready\r\n") is None
