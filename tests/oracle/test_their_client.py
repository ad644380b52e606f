"""Espressif's security 2 client over the serial carrier, with a simulated module."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.conftest import Running
from tests.oracle.espressif import USERNAME, Client, Espressif, NotInstalledError, load
from tests.oracle.frames import FrameTransport, RefusedError
from tests.oracle.sample import HARDWARE_ID, INNER_ZERO, POP, SALT, ZERO_SALT, ordinary_label
from ucm_sim import Verifier, VerifierForm
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.srp import make_verifier

ESP_FAIL = 0xFFFF
SEEDS = range(20)


def hardware_id(client: Client, terminal: Path) -> str:
    """The module's own, read inside a secure session of its own."""
    with FrameTransport(terminal) as transport:
        client.shake_hands(transport)
        request = pb.InfoRequest(version=1).SerializeToString()
        return pb.Info.FromString(client.call(transport, "ucm-info", request)).hardware_id


def refused(client: Client, terminal: Path) -> int:
    """The status with which the module refuses the handshake."""
    with pytest.raises(RefusedError) as caught:
        hardware_id(client, terminal)
    assert not client.security.session_key
    return caught.value.status


def converse(client: Client, terminal: Path) -> tuple[pb.Info, pb.ConfigReply, pb.LinkState, pb.Info]:
    """Encrypted calls of three endpoints in one session."""
    info, link = pb.InfoRequest(version=1), pb.LinkRequest(version=1)
    reserve = pb.ConfigRequest(reserve=pb.Reserve(owner="oracle", seconds=120))
    with FrameTransport(terminal) as transport:
        client.shake_hands(transport)
        return (
            pb.Info.FromString(client.call(transport, "ucm-info", info.SerializeToString())),
            pb.ConfigReply.FromString(client.call(transport, "ucm-config", reserve.SerializeToString())),
            pb.LinkState.FromString(client.call(transport, "ucm-link", link.SerializeToString())),
            pb.Info.FromString(client.call(transport, "ucm-info", info.SerializeToString())),
        )


@pytest.mark.parametrize("made_by", ["module", "generator"])
async def test_it_shakes_hands_and_calls(espressif: Espressif, running: Running, made_by: str) -> None:
    verifier = espressif.generate(POP) if made_by == "generator" else None
    client = espressif.usable_client(POP)
    async with running(POP, verifier or make_verifier(USERNAME, POP, SALT, VerifierForm.STANDARD)) as module:
        before, reply, link, after = await asyncio.to_thread(converse, client, module.link)
        assert module.executed("reserve") == 1
    assert (before.status, before.hardware_id, before.reservation.owner) == (pb.OK, HARDWARE_ID, "")
    assert (reply.status, reply.reservation.owner, reply.reservation.remaining_s) == (pb.OK, "oracle", 120)
    assert (link.status, link.phase) == (pb.OK, pb.IDLE)
    assert after.reservation.owner == "oracle"
    assert client.operations == 8  # both directions count


@pytest.mark.parametrize("seed", SEEDS)
async def test_verifiers_of_the_module(espressif: Espressif, running: Running, seed: int) -> None:
    pop, salt = ordinary_label(seed)
    verifier = make_verifier(USERNAME, pop, salt, VerifierForm.STANDARD)
    async with running(pop, verifier) as module:
        assert await asyncio.to_thread(hardware_id, espressif.usable_client(pop), module.link) == HARDWARE_ID


@pytest.mark.parametrize("seed", SEEDS)
async def test_verifiers_of_its_own(espressif: Espressif, running: Running, seed: int) -> None:
    pop, _ = ordinary_label(seed)
    async with running("another label", espressif.generate(pop)) as module:
        assert await asyncio.to_thread(hardware_id, espressif.usable_client(pop), module.link) == HARDWARE_ID


async def test_a_wrong_proof_is_refused(espressif: Espressif, running: Running) -> None:
    async with running(POP, espressif.generate(POP)) as module:
        status = await asyncio.to_thread(refused, espressif.usable_client("wrong"), module.link)
    assert status == ESP_FAIL


# ---- its known faults, each one time in 256: what our client has its other forms for ----


@pytest.mark.parametrize(
    ("pop", "salt", "form"),
    [
        (INNER_ZERO, SALT, VerifierForm.STANDARD),
        (POP, ZERO_SALT, VerifierForm.STANDARD),
        (POP, ZERO_SALT, VerifierForm.SALT_STRIPPED),
        (INNER_ZERO, ZERO_SALT, VerifierForm.BOTH_STRIPPED),
        (POP, SALT, VerifierForm.SALT_WITHOUT_LAST_BYTE),
    ],
    ids=["inner-zero", "salt-zero", "salt-zero-stripped", "both-stripped", "salt-without-last-byte"],
)
async def test_it_never_gets_into_these_modules(
    espressif: Espressif, running: Running, pop: str, salt: bytes, form: VerifierForm
) -> None:
    """With a stripped salt its x is the module's, but its M1 is not: that one lacks the zero as well."""
    async with running(pop, make_verifier(USERNAME, pop, salt, form)) as module:
        for _ in range(2):
            assert await asyncio.to_thread(refused, espressif.usable_client(pop), module.link) == ESP_FAIL


async def test_it_gets_in_where_it_dropped_the_inner_zero_itself(espressif: Espressif, running: Running) -> None:
    generated = espressif.generate(INNER_ZERO)
    assert generated == make_verifier(USERNAME, INNER_ZERO, generated.salt, VerifierForm.INNER_HASH_STRIPPED)
    assert generated != make_verifier(USERNAME, INNER_ZERO, generated.salt, VerifierForm.STANDARD)
    async with running(INNER_ZERO, generated) as module:
        client = espressif.usable_client(INNER_ZERO)
        assert await asyncio.to_thread(hardware_id, client, module.link) == HARDWARE_ID


async def test_its_generator_hands_out_a_shorter_salt(
    espressif: Espressif, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the salt as printed has a sound module; whoever fills it up to 16 bytes has a stripped one."""
    monkeypatch.setattr(espressif.srp6a, "get_random", drawn(ZERO_SALT))
    generated = espressif.generate(POP)
    monkeypatch.undo()
    assert generated == make_verifier(USERNAME, POP, ZERO_SALT[1:], VerifierForm.STANDARD)
    filled_up = Verifier(ZERO_SALT, generated.value)
    assert filled_up == make_verifier(USERNAME, POP, ZERO_SALT, VerifierForm.SALT_STRIPPED)
    async with running(POP, generated) as module:
        assert await asyncio.to_thread(hardware_id, espressif.usable_client(POP), module.link) == HARDWARE_ID


async def test_its_public_value_may_be_too_short(
    espressif: Espressif, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    exponent = short_public_exponent(espressif)
    monkeypatch.setattr(espressif.srp6a, "get_random_of_length", lambda _: exponent)
    client = espressif.client(POP)
    assert client.public_length == 383
    async with running(POP, espressif.generate(POP)) as module:
        assert await asyncio.to_thread(refused, client, module.link) == ESP_FAIL


def drawn(random_bytes: bytes) -> Callable[[int], int]:
    def get_random(length: int) -> int:
        assert length == len(random_bytes)
        return int.from_bytes(random_bytes, "big")

    return get_random


def short_public_exponent(espressif: Espressif) -> int:
    """The first of the client's exponents, counted up from the smallest, with a public value below 2^3064."""
    modulus, g = espressif.srp6a.get_ng(espressif.srp6a.NG_3072)
    exponent = 1 << 255
    public = pow(g, exponent, modulus)
    while public.bit_length() > 383 * 8:
        exponent, public = exponent + 1, public * g % modulus
    return exponent


# ---- without it these tests could tell nothing ----


def test_a_client_that_is_not_installed_is_a_failure_that_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="tools/install-oracle"):
        load(tmp_path / "absent")
