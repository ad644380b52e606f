"""The golden vectors are what they say: reproducible, and right by libraries that had no part in making them."""

import hashlib
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cobs.cobs
import gmpy2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_private_key
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hardware.link.golden import reference
from hypothesis import given
from hypothesis import strategies as st

from ucm_sim.messages import protocomm_pb2, ucm_link_pb2

LINK = Path(__file__).parents[2] / "hardware" / "link"
VECTORS: dict[str, Any] = json.loads((LINK / "vectors.json").read_text(encoding="utf-8"))
FRAMES = VECTORS["frames"]
EXCHANGE = VECTORS["exchange"]
HANDSHAKES = {case["name"]: case for case in VECTORS["handshakes"]}
CONFIGURATIONS = {case["name"]: case for case in VECTORS["configurations"]}
MESSAGES = [call[side] for call in EXCHANGE["calls"] for side in ("request", "response")]


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.get("name", case["why"]) for case in cases])


def parsed(segment: bytes, max_frame: int) -> dict[str, Any] | None:
    """A zero-delimited piece of a stream as a frame, or None for everything else."""
    try:
        data = cobs.cobs.decode(segment)
    except cobs.cobs.DecodeError:
        return None
    if not 14 <= len(data) <= max_frame or struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
        return None
    version, kind, seq, session, status, length = struct.unpack("<BBBIHB", data[:10])
    if version != 1 or kind not in (1, 2) or 10 + length > len(data) - 4:
        return None
    fields = {"version": version, "type": kind, "seq": seq, "session": session, "status": status}
    return fields | {"endpoint": data[10 : 10 + length].decode(), "body": data[10 + length : -4].hex()}


def frames_in(stream: str, max_frame: int = 2304) -> list[dict[str, Any]]:
    found = [parsed(segment, max_frame) for segment in bytes.fromhex(stream).split(b"\0")]
    return [frame for frame in found if frame]


def fields(case: dict[str, Any]) -> dict[str, Any]:
    return {key: case[key] for key in ("version", "type", "seq", "session", "status", "endpoint", "body")}


def test_the_generator_prints_the_checked_in_file() -> None:
    run = subprocess.run([sys.executable, LINK / "make_vectors.py"], capture_output=True, check=True, timeout=60)
    assert run.stdout == (LINK / "vectors.json").read_bytes()
    assert run.stderr == b""


@named(VECTORS["cobs"])
def test_the_cobs_library_agrees(case: dict[str, Any]) -> None:
    decoded, encoded = bytes.fromhex(case["decoded"]), bytes.fromhex(case["encoded"])
    assert cobs.cobs.encode(decoded) == encoded
    for form in [encoded, *map(bytes.fromhex, case["also_decodes_from"])]:
        assert cobs.cobs.decode(form) == decoded


@given(st.lists(st.one_of(st.binary(max_size=6), st.integers(250, 260).map(lambda n: b"\x05" * n)), max_size=6))
def test_the_cobs_library_agrees_on_everything(blocks: list[bytes]) -> None:
    data = b"".join(blocks)
    assert reference.cobs(data) == cobs.cobs.encode(data)


@named(FRAMES["valid"])
def test_valid_frames_hold_their_fields(case: dict[str, Any]) -> None:
    assert frames_in(case["wire"], case["max_frame"]) == [fields(case)]


def test_the_largest_frame_is_as_large_as_allowed() -> None:
    for name in ("largest", "largest-announced"):
        case = next(case for case in FRAMES["valid"] if case["name"] == name)
        assert len(cobs.cobs.decode(bytes.fromhex(case["wire"]).strip(b"\0"))) == case["max_frame"]
        assert frames_in(case["wire"], case["max_frame"] - 1) == []


@named(FRAMES["ignored"])
def test_ignored_bytes_hold_no_frame(case: dict[str, Any]) -> None:
    assert frames_in(case["wire"], case["max_frame"]) == []


@named(FRAMES["streams"])
def test_streams_hold_the_frames_they_name(case: dict[str, Any]) -> None:
    assert frames_in(case["stream"]) == case["frames"]


def test_the_group_is_a_safe_prime() -> None:
    prime = int(VECTORS["srp_group"]["N"], 16)
    assert prime.bit_length() == 3072
    assert gmpy2.is_prime(prime)
    assert gmpy2.is_prime((prime - 1) // 2)


@named(VECTORS["handshakes"])
def test_the_client_finds_the_module_s_secret(case: dict[str, Any]) -> None:
    prime, k = int(VECTORS["srp_group"]["N"], 16), int(VECTORS["srp_group"]["k"], 16)
    a, b, x, u, big_b = (int(case[name], 16) for name in ("a", "b", "x", "u", "B"))
    verifier = gmpy2.powmod(5, x, prime)
    client = gmpy2.powmod(big_b - k * verifier, a + u * x, prime)
    module = gmpy2.powmod(int(case["A"], 16) * gmpy2.powmod(verifier, u, prime), b, prime)
    assert int(case["verifier"], 16) == verifier
    assert client == module == int(case["S"], 16)
    assert hashlib.sha512(bytes.fromhex(case["S"])).hexdigest() == case["K"]


@named(VECTORS["handshakes"])
def test_session_messages_carry_the_values(case: dict[str, Any]) -> None:
    sent = {step: protocomm_pb2.SessionData.FromString(bytes.fromhex(data)) for step, data in case["messages"].items()}
    assert [data.sec2.WhichOneof("payload") for data in sent.values()] == ["sc0", "sr0", "sc1", "sr1"]
    assert [data.sec2.msg for data in sent.values()] == [0, 1, 2, 3]
    assert sent["sc0"].sec2.sc0.client_username == case["username"].encode()
    assert sent["sc0"].sec2.sc0.client_pubkey.hex() == case["A"]
    assert sent["sr0"].sec2.sr0.device_pubkey.hex() == case["B"]
    assert sent["sr0"].sec2.sr0.device_salt.hex() == case["salt"]
    assert sent["sc1"].sec2.sc1.client_proof.hex() == case["M1"]
    assert sent["sr1"].sec2.sr1.device_proof.hex() == case["M2"]
    assert sent["sr1"].sec2.sr1.device_nonce.hex() == case["device_nonce"]


def test_special_handshakes_are_special() -> None:
    assert HANDSHAKES["short-a"]["A"].startswith("00")
    assert len(HANDSHAKES["short-a"]["A"]) == 2 * 384
    assert len(HANDSHAKES["short-b"]["B"]) == len(HANDSHAKES["short-s"]["S"]) == 2 * 383
    assert HANDSHAKES["inner-zero"]["inner_hash_in_x"].startswith("00")
    for name in ("inner-zero", "salt-zero"):
        assert HANDSHAKES[name]["verifier"] != HANDSHAKES[f"{name}-stripped"]["verifier"]
        assert HANDSHAKES[name]["salt"] == HANDSHAKES[f"{name}-stripped"]["salt"]
    last = HANDSHAKES["salt-last-byte"]
    assert last["salt_in_x"] == last["salt"][:-2]


@pytest.mark.parametrize("message", MESSAGES, ids=[f"{m['nonce'][-2:]}-{m['message']}" for m in MESSAGES])
def test_encrypted_messages_open_and_parse(message: dict[str, Any]) -> None:
    cipher = AESGCM(bytes.fromhex(EXCHANGE["key"]))
    plaintext = cipher.decrypt(bytes.fromhex(message["nonce"]), bytes.fromhex(message["body"]), None)
    kind: type[Message] = getattr(ucm_link_pb2, message["message"].rsplit(".", 1)[1])
    assert plaintext.hex() == message["plaintext"]
    assert kind.FromString(plaintext) == ParseDict(message["json"], kind())


def test_one_counter_runs_through_both_directions() -> None:
    nonces = [bytes.fromhex(message["nonce"]) for message in MESSAGES]
    assert {nonce[:8] for nonce in nonces} == {bytes.fromhex(EXCHANGE["device_nonce"])[:8]}
    assert [int.from_bytes(nonce[8:], "big") for nonce in nonces] == list(range(1, len(nonces) + 1))
    assert [message["counter_after"] for message in MESSAGES] == list(range(2, len(nonces) + 2))


def test_the_exchange_s_frames_follow_each_other() -> None:
    calls = EXCHANGE["opening"] + EXCHANGE["calls"]
    for seq, call in enumerate(calls):
        (request,), (response,) = frames_in(call["request"]["wire"]), frames_in(call["response"]["wire"])
        assert call["seq"] == request["seq"] == response["seq"] == seq
        assert request["session"] == response["session"] == EXCHANGE["session"]
        assert (request["endpoint"], response["endpoint"]) == (call["endpoint"], "")
        assert (request["body"], response["body"]) == (call["request"]["body"], call["response"]["body"])


def test_the_chunks_make_the_configuration() -> None:
    requests = [ParseDict(m["json"], ucm_link_pb2.ConfigRequest()) for m in MESSAGES if "chunk" in m["json"]]
    staged = b"".join(request.chunk.payload for request in requests)
    assert len(requests) > 1
    assert staged.hex() == CONFIGURATIONS[EXCHANGE["configuration"]]["bytes"]


@named(VECTORS["configurations"])
def test_configurations_hash_and_parse(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    config = ucm_link_pb2.ModuleConfig.FromString(data)
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    assert len(data) == case["size"]
    assert ParseDict(case["json"], ucm_link_pb2.ModuleConfig()) == config


def test_only_the_foreign_key_does_not_belong_to_the_certificate() -> None:
    for name, belongs in (("certificate", True), ("foreign-key", False)):
        tls = ucm_link_pb2.ModuleConfig.FromString(bytes.fromhex(CONFIGURATIONS[name]["bytes"])).tls
        key, leaf = load_der_private_key(tls.private_key, None), x509.load_der_x509_certificate(tls.certificate)
        assert (key.public_key() == leaf.public_key()) is belongs
        leaf.verify_directly_issued_by(x509.load_der_x509_certificate(tls.ca_chain[0]))
        assert isinstance(key, ec.EllipticCurvePrivateKey)


def test_the_certificate_names_the_hardware() -> None:
    config = ucm_link_pb2.ModuleConfig.FromString(bytes.fromhex(CONFIGURATIONS["certificate"]["bytes"]))
    names = x509.load_der_x509_certificate(config.tls.certificate).subject
    assert [name.value for name in names.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == [config.hardware_id]


def test_the_specification_s_worked_exchange_is_that_of_the_vectors() -> None:
    text = (LINK / "SPEC.md").read_text(encoding="utf-8").split("## 11.")[1].split("## 12.")[0]
    fences = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    blocks = [re.sub(r"\s", "", block) for fence in fences for block in fence.split("\n\n")]
    inline = [word for word in re.findall(r"`([0-9a-f]{10,})…?`", text) if len(word) % 2 == 0]
    known = (LINK / "vectors.json").read_text(encoding="utf-8")
    assert len(blocks) == 4
    assert len(inline) >= 8
    assert [hexes for hexes in blocks + inline if hexes not in known] == []
