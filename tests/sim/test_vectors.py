"""The golden vectors of the link, as the module's side must reproduce them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sim.rig import TransactionRig
from tests.sim.sample import HARDWARE_ID
from ucm_sim.faults import EndpointError, EspErr
from ucm_sim.frames import Request, RequestScanner, encode_response
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.protocomm import FramedProtocomm, Protocomm, version_json
from ucm_sim.security2 import Security2
from ucm_sim.srp import Verifier, VerifierForm, make_verifier

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "hardware" / "link" / "vectors.json").read_text(encoding="utf-8")
)
HANDSHAKES = {case["name"]: case for case in VECTORS["handshakes"]}
FRAMES = VECTORS["frames"]
EXCHANGE = VECTORS["exchange"]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def scripted_entropy(case: dict[str, Any]) -> Callable[[int], bytes]:
    """What the device draws in a handshake: its exponent, then the random part of the nonce."""
    draws: Iterator[bytes] = iter([unhex(case["b"]), unhex(case["device_nonce"])[:8]])

    def entropy(length: int) -> bytes:
        drawn = next(draws)
        assert len(drawn) == length
        return drawn

    return entropy


def verifier_of(case: dict[str, Any]) -> Verifier:
    form = VerifierForm(case["verifier_form"])
    return make_verifier(case["username"], case["proof_of_possession"], unhex(case["salt"]), form)


def security_of(case: dict[str, Any]) -> Security2:
    return Security2(lambda: verifier_of(case), scripted_entropy(case))


def as_request(case: dict[str, Any]) -> Request:
    return Request(case["session"], case["seq"], case["endpoint"], unhex(case["body"]))


@named(FRAMES["valid"])
def test_valid_frames(case: dict[str, Any]) -> None:
    wire, body = unhex(case["wire"]), unhex(case["body"])
    if case["type"] == 2:
        assert encode_response(case["session"], case["seq"], case["status"], body) == wire
    found = RequestScanner(case["max_frame"]).feed(wire)
    assert found == ([as_request(case)] if case["type"] == 1 else [])


@named(FRAMES["ignored"])
def test_ignored_frames(case: dict[str, Any]) -> None:
    assert RequestScanner(case["max_frame"]).feed(unhex(case["wire"])) == []


@named(FRAMES["streams"])
def test_streams(case: dict[str, Any]) -> None:
    expected = [as_request(frame) for frame in case["frames"] if frame["type"] == 1]
    assert RequestScanner().feed(unhex(case["stream"])) == expected


@named(VECTORS["handshakes"])
def test_verifiers(case: dict[str, Any]) -> None:
    # The module stores the number; how many leading zeros a vector gives it does not matter.
    assert verifier_of(case).value == unhex(case["verifier"]).lstrip(b"\0")


@named(VECTORS["handshakes"])
def test_handshakes(case: dict[str, Any]) -> None:
    security, messages = security_of(case), case["messages"]
    assert security.shake_hands(unhex(messages["sc0"])) == unhex(messages["sr0"])
    assert security.shake_hands(unhex(messages["sc1"])) == unhex(messages["sr1"])
    assert security.established


@named([case for case in VECTORS["refused_keys"] if case["receiver"] == "module"])
def test_refused_keys(case: dict[str, Any]) -> None:
    with pytest.raises(EndpointError) as refusal:
        security_of(HANDSHAKES["standard"]).shake_hands(unhex(case["message"]))
    assert refusal.value.code == EspErr.FAIL


def carrier() -> FramedProtocomm:
    """A module's serial carrier whose endpoints answer, in order, what the vectors' exchange says."""
    calls = iter(EXCHANGE["calls"])

    def answer(_: object, plaintext: bytes) -> bytes:
        call = next(calls)
        assert plaintext == unhex(call["request"]["plaintext"])
        return unhex(call["response"]["plaintext"])

    protocomm = Protocomm(
        version_json(HARDWARE_ID, 2304),
        {"ucm-info": answer, "ucm-config": answer, "ucm-link": answer},
        lambda: security_of(HANDSHAKES[EXCHANGE["handshake"]]),
    )
    return FramedProtocomm(protocomm, 2304, lambda _: None)


def test_the_exchange_from_end_to_end() -> None:
    module = carrier()
    for call in [*EXCHANGE["opening"], *EXCHANGE["calls"]]:
        asked, answered = unhex(call["request"]["wire"]), unhex(call["response"]["wire"])
        assert module.receive(asked) == [answered]
        # A repetition is answered from the cache: run again, it would move the counter.
        assert module.receive(asked) == [answered]


def test_an_empty_plaintext_is_answered_with_no_memory() -> None:
    module = carrier()
    for call in EXCHANGE["opening"]:
        module.receive(unhex(call["request"]["wire"]))
    case = EXCHANGE["empty_plaintext"]
    assert module.receive(unhex(case["request"]["wire"])) == [unhex(case["response"]["wire"])]


@named(VECTORS["configurations"])
def test_configurations(case: dict[str, Any], tmp_path: Path) -> None:
    rig = TransactionRig(tmp_path / "flash")
    reply = rig.push(unhex(case["bytes"]))
    assert pb.Status.Name(reply.status) == case["commit_status"]
    assert rig.consequences == (["now_on_trial"] if case["commit_status"] == "OK" else [])
