"""The golden handshakes in the hands of Espressif's client, with the exponent that they name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.espressif import Client, Espressif

HANDSHAKES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "hardware" / "link" / "vectors.json").read_text(encoding="utf-8")
)["handshakes"]
# What the client gets wrong, and our own must not.
DROPS_THE_ZERO_OF_THE_INNER_HASH = {"inner-zero"}
DROPS_THE_ZERO_OF_THE_SALT_IN_M1 = {"salt-zero", "salt-zero-stripped", "both-zero-stripped"}
DROPS_THE_ZERO_OF_A = {"short-a"}
KNOWS_ONLY_WHOLE_SALTS = {"salt-last-byte"}
OTHER_PROOF = DROPS_THE_ZERO_OF_THE_INNER_HASH | DROPS_THE_ZERO_OF_THE_SALT_IN_M1 | KNOWS_ONLY_WHOLE_SALTS
SAME = [case for case in HANDSHAKES if case["name"] not in OTHER_PROOF | DROPS_THE_ZERO_OF_A]


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


@pytest.fixture
def client(espressif: Espressif, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> Client:
    monkeypatch.setattr(espressif.srp6a, "get_random_of_length", lambda _: int(case["a"], 16))
    return espressif.client(case["proof_of_possession"], case["username"])


@named(SAME)
def test_it_says_what_the_vectors_say(client: Client, case: dict[str, Any]) -> None:
    messages = {step: bytes.fromhex(message) for step, message in case["messages"].items()}
    assert client.hello == messages["sc0"]
    assert client.prove(messages["sr0"]) == messages["sc1"]
    client.accept(messages["sr1"])
    assert client.security.srp6a_ctx.K.hex() == case["K"]
    assert client.security.nonce.hex() == case["device_nonce"]


@named([case for case in HANDSHAKES if case["name"] in OTHER_PROOF])
def test_its_faults_give_another_proof(client: Client, case: dict[str, Any]) -> None:
    assert client.hello.hex() == case["messages"]["sc0"]
    assert client.prove(bytes.fromhex(case["messages"]["sr0"])).hex() != case["messages"]["sc1"]


@named([case for case in HANDSHAKES if case["name"] in DROPS_THE_ZERO_OF_A])
def test_it_sends_a_short_public_value_short(client: Client, case: dict[str, Any]) -> None:
    assert client.public_length == 383
    assert client.hello.hex() != case["messages"]["sc0"]
    assert bytes.fromhex(case["A"]).lstrip(b"\0") in client.hello


def test_the_lists_above_name_golden_handshakes() -> None:
    names = {case["name"] for case in HANDSHAKES}
    assert names >= OTHER_PROOF | DROPS_THE_ZERO_OF_A
    assert len(SAME) == 5
