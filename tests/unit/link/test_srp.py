"""The client's SRP against the golden handshakes."""

import json
from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret
from ucm_provision.link import security
from ucm_provision.link.srp import Form, SrpClient

VECTORS = json.loads(Path("hardware/link/vectors.json").read_text())
HANDSHAKES = VECTORS["handshakes"]
SALT = b"0123456789abcdef"
# SHA-512 of "wifiprov:pw00493" begins with a zero byte.
INNER_ZERO = "pw00493"


def client_of(case: dict) -> SrpClient:
    return SrpClient(case["username"], Secret(case["proof_of_possession"]), private=int(case["a"], 16))


@pytest.mark.parametrize("case", HANDSHAKES, ids=[case["name"] for case in HANDSHAKES])
def test_golden_handshake(case: dict) -> None:
    client = client_of(case)
    proofs = client.prove(bytes.fromhex(case["salt"]), bytes.fromhex(case["B"]), Form(case["verifier_form"]))
    assert client.public.hex() == case["A"].rjust(768, "0")
    assert proofs.client.hex() == case["M1"]
    assert proofs.session_key.reveal().hex() == case["K"]
    assert proofs.accepts(bytes.fromhex(case["M2"]))


@pytest.mark.parametrize("case", HANDSHAKES, ids=[case["name"] for case in HANDSHAKES])
def test_the_golden_form_is_among_those_tried(case: dict) -> None:
    assert Form(case["verifier_form"]) in client_of(case).forms(bytes.fromhex(case["salt"]))


def test_another_proof_of_the_module_is_not_accepted() -> None:
    case = HANDSHAKES[0]
    proofs = client_of(case).prove(bytes.fromhex(case["salt"]), bytes.fromhex(case["B"]))
    wrong = bytearray.fromhex(case["M2"])
    wrong[-1] ^= 1
    assert not proofs.accepts(bytes(wrong))
    assert not proofs.accepts(b"")


def answer(message: bytes) -> None:
    challenge = security.read_challenge(message)
    SrpClient("wifiprov", Secret("anything")).prove(challenge.salt, challenge.public)


@pytest.mark.parametrize(
    "case", [c for c in VECTORS["refused_keys"] if c["receiver"] == "client"], ids=lambda c: c["name"]
)
def test_a_public_value_that_fixes_the_key_is_refused(case: dict) -> None:
    with pytest.raises(UcmError) as caught:
        answer(bytes.fromhex(case["message"]))
    assert caught.value.code in (Code.LINK_BROKEN, Code.LINK_GARBAGE)


@pytest.mark.parametrize(
    ("pop", "salt", "forms"),
    [
        ("other", SALT, [Form.STANDARD, Form.SALT_WITHOUT_LAST_BYTE]),
        (INNER_ZERO, SALT, [Form.STANDARD, Form.INNER_HASH_STRIPPED, Form.SALT_WITHOUT_LAST_BYTE]),
        ("other", b"\0" + SALT, [Form.STANDARD, Form.SALT_STRIPPED, Form.SALT_WITHOUT_LAST_BYTE]),
        (INNER_ZERO, b"\0" + SALT, list(Form)),
    ],
)
def test_only_forms_that_differ_are_tried(pop: str, salt: bytes, forms: list[Form]) -> None:
    assert SrpClient("wifiprov", Secret(pop)).forms(salt) == forms


def test_every_exchange_has_its_own_exponent() -> None:
    first, second = (SrpClient("wifiprov", Secret("same")) for _ in range(2))
    assert first.public != second.public
    assert len(first.public) == len(second.public) == 384


def test_proofs_show_no_key() -> None:
    case = HANDSHAKES[0]
    proofs = client_of(case).prove(bytes.fromhex(case["salt"]), bytes.fromhex(case["B"]))
    assert case["K"] not in repr(proofs)
    assert repr(bytes.fromhex(case["M2"])) not in repr(proofs)
