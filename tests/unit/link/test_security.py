"""Handshake messages and the encrypted channel, against the golden exchange."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret
from ucm_provision.link import decode, security
from ucm_provision.link.frames import Deframer, encode_request
from ucm_provision.link.messages import protocomm_pb2 as pb
from ucm_provision.link.security import Channel

VECTORS = json.loads(Path("hardware/link/vectors.json").read_text())
HANDSHAKES = VECTORS["handshakes"]
EXCHANGE = VECTORS["exchange"]
NONCE = bytes.fromhex(EXCHANGE["device_nonce"])


def channel() -> Channel:
    return Channel(Secret(bytes.fromhex(EXCHANGE["key"])), NONCE)


@pytest.mark.parametrize("case", HANDSHAKES, ids=[case["name"] for case in HANDSHAKES])
def test_golden_handshake_messages(case: dict) -> None:
    messages = {name: bytes.fromhex(text) for name, text in case["messages"].items()}
    assert security.hello(case["username"], bytes.fromhex(case["A"])) == messages["sc0"]
    assert security.proof(bytes.fromhex(case["M1"])) == messages["sc1"]
    challenge = security.read_challenge(messages["sr0"])
    assert (challenge.public.hex(), challenge.salt.hex()) == (case["B"], case["salt"])
    acceptance = security.read_acceptance(messages["sr1"])
    assert acceptance is not None
    assert (acceptance.proof.hex(), acceptance.nonce.hex()) == (case["M2"], case["device_nonce"])


def test_golden_conversation() -> None:
    """Every request as ciphertext and frame, every answer back to plaintext, one counter for all."""
    ours, deframer = channel(), Deframer()
    for call in EXCHANGE["calls"]:
        request, response = call["request"], call["response"]
        body = ours.encrypt(bytes.fromhex(request["plaintext"]))
        assert body.hex() == request["body"]
        assert encode_request(call["seq"], EXCHANGE["session"], call["endpoint"], body).hex() == request["wire"]
        (answer,) = deframer.feed(bytes.fromhex(response["wire"]))
        assert ours.decrypt(answer.body).hex() == response["plaintext"]


def test_golden_answers_decode() -> None:
    infos = [call["response"] for call in EXCHANGE["calls"] if call["endpoint"] == "ucm-info"]
    first, last = (decode.module_info(bytes.fromhex(info["plaintext"])) for info in infos)
    assert first.active is None
    assert last.active is not None
    assert last.active.sha256.hex() == VECTORS["configurations"][0]["sha256"]
    states = [call["response"] for call in EXCHANGE["calls"] if call["endpoint"] == "ucm-link"]
    assert [decode.link_state(bytes.fromhex(s["plaintext"])).phase for s in states] == ["WIFI", "ONLINE"]


@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_ciphertext_breaks_the_session(plaintext: bytes, where: int, flip: int) -> None:
    sealed = bytearray(channel().encrypt(plaintext))
    sealed[where % len(sealed)] ^= flip
    with pytest.raises(UcmError) as caught:
        channel().decrypt(bytes(sealed))
    assert caught.value.code is Code.LINK_BROKEN


def test_a_repeated_answer_does_not_decrypt_again() -> None:
    theirs, ours = channel(), channel()
    sealed = theirs.encrypt(b"once")
    assert ours.decrypt(sealed) == b"once"
    with pytest.raises(UcmError):
        ours.decrypt(sealed)


def test_a_nonce_is_never_used_twice_when_the_counter_ends() -> None:
    last = Channel(Secret(bytes(32)), b"8 random" + b"\xff\xff\xff\xff")
    last.encrypt(b"the last one")
    with pytest.raises(UcmError) as caught:
        last.encrypt(b"one too many")
    assert caught.value.code is Code.LINK_BROKEN


def sr0(**fields: object) -> pb.Sec2Payload:
    values = {"device_pubkey": b"\x05", "device_salt": b"salt" * 4} | fields
    return pb.Sec2Payload(msg=pb.S2Session_Response0, sr0=pb.S2SessionResp0(**values))


def sr1(**fields: object) -> pb.Sec2Payload:
    values = {"device_proof": bytes(64), "device_nonce": bytes(12)} | fields
    return pb.Sec2Payload(msg=pb.S2Session_Response1, sr1=pb.S2SessionResp1(**values))


def data(payload: pb.Sec2Payload, scheme: int = pb.SecScheme2) -> bytes:
    return pb.SessionData(sec_ver=scheme, sec2=payload).SerializeToString()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xff",
        data(sr0(), scheme=pb.SecScheme1),
        data(sr1()),
        data(pb.Sec2Payload(msg=pb.S2Session_Response0)),
        data(pb.Sec2Payload(msg=pb.S2Session_Response0, sr1=pb.S2SessionResp1())),
        data(sr0(device_pubkey=b"")),
        data(sr0(device_pubkey=bytes(385))),
        data(sr0(device_salt=b"")),
        data(sr0(device_salt=bytes(65))),
    ],
)
def test_a_first_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(UcmError) as caught:
        security.read_challenge(body)
    assert caught.value.code is Code.LINK_GARBAGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        data(sr0()),
        data(sr1(device_proof=bytes(63))),
        data(sr1(device_nonce=bytes(13))),
        data(pb.Sec2Payload(msg=pb.S2Session_Response1)),
    ],
)
def test_a_second_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(UcmError) as caught:
        security.read_acceptance(body)
    assert caught.value.code is Code.LINK_GARBAGE


def test_refusals() -> None:
    with pytest.raises(UcmError, match="handshake status 7") as caught:
        security.read_challenge(data(sr0(status=pb.InvalidSession)))
    assert caught.value.code is Code.LINK_BROKEN
    assert security.read_acceptance(data(sr1(status=pb.CryptoError))) is None
