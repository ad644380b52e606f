"""Our client and the verifiers that Espressif's generator makes, its slips among them.

One dial is one try of the engine: it must need no second one, and open the port once.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.conftest import Running
from tests.oracle.espressif import USERNAME, Espressif
from tests.oracle.sample import HARDWARE_ID, INNER_ZERO, POP, SALT, ZERO_SALT, ordinary_label
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, ProofOfPossession
from ucm_provision.core.ports import ByteStream
from ucm_provision.core.secret import Secret
from ucm_provision.link import SerialLinks, Timing
from ucm_provision.transports.serial import open_port
from ucm_sim import SerialModule, Verifier, VerifierForm
from ucm_sim.factory import WrongModuleError
from ucm_sim.srp import make_verifier

TIMING = Timing(first_answer=5, first_answer_resend=0.2, handshake=8, call=8, commit=8)


async def identified(module: SerialModule, pop: str) -> str:
    """The hardware id inside the session of one dial, which opens the port once."""
    opened = 0

    async def open_once(address: str, baud: int) -> ByteStream:
        nonlocal opened
        opened += 1
        return await open_port(address, baud)

    endpoint = Endpoint(Carrier.SERIAL, str(module.link), "key")
    links = SerialLinks(open_once, timing=TIMING)
    async with links.dial(endpoint, lambda _: ProofOfPossession(Secret(pop), USERNAME)) as link:
        info = await link.info()
    assert opened == 1
    return info.hardware_id


@pytest.mark.parametrize("seed", range(20))
async def test_generated_verifiers(espressif: Espressif, running: Running, seed: int) -> None:
    pop, _ = ordinary_label(seed)
    async with running("another label", espressif.generate(pop)) as module:
        assert await identified(module, pop) == HARDWARE_ID


@pytest.fixture
def generate_from(espressif: Espressif, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Verifier]:
    """The generator's output where its random bytes are the given ones."""

    def generate(pop: str, drawn: bytes) -> Verifier:
        monkeypatch.setattr(espressif.srp6a, "get_random", lambda _: int.from_bytes(drawn, "big"))
        return espressif.generate(pop, len(drawn))

    return generate


@pytest.mark.parametrize("pop", [POP, INNER_ZERO])
@pytest.mark.parametrize("salt", [SALT, ZERO_SALT], ids=["salt", "zero-salt"])
@pytest.mark.parametrize("filled_up", [False, True])
async def test_generated_verifiers_with_leading_zeros(
    generate_from: Callable[[str, bytes], Verifier], running: Running, pop: str, salt: bytes, filled_up: bool
) -> None:
    """The generator's salt is as long as its number; firmware may keep it so or fill it up to 16 bytes."""
    generated = generate_from(pop, salt)
    stored = Verifier(generated.salt.rjust(16, b"\0"), generated.value) if filled_up else generated
    async with running("another label", stored) as module:
        assert await identified(module, pop) == HARDWARE_ID


@pytest.mark.parametrize("surplus", [b"\0", b"\xa5"])
async def test_a_generated_verifier_whose_salt_got_a_byte_too_many(
    espressif: Espressif, running: Running, surplus: bytes
) -> None:
    """ESP-IDF's own generator hands out such salts: x is made from all but the last byte."""
    generated = espressif.generate(POP, salt_length=15)
    async with running("another label", Verifier(generated.salt + surplus, generated.value)) as module:
        assert await identified(module, POP) == HARDWARE_ID


@pytest.mark.parametrize("form", list(VerifierForm), ids=lambda form: form.value)
@pytest.mark.parametrize("pop", [POP, INNER_ZERO])
@pytest.mark.parametrize("salt", [SALT, ZERO_SALT], ids=["salt", "zero-salt"])
async def test_every_form(running: Running, pop: str, salt: bytes, form: VerifierForm) -> None:
    async with running(pop, make_verifier(USERNAME, pop, salt, form)) as module:
        assert await identified(module, pop) == HARDWARE_ID


@pytest.mark.parametrize("pop", [POP, INNER_ZERO])
@pytest.mark.parametrize("salt", [SALT, ZERO_SALT], ids=["salt", "zero-salt"])
async def test_a_wrong_proof_is_wrong_in_every_form(
    generate_from: Callable[[str, bytes], Verifier], running: Running, pop: str, salt: bytes
) -> None:
    async with running("another label", generate_from("not on the label", salt)) as module:
        with pytest.raises(UcmError) as caught:
            await identified(module, pop)
    assert caught.value.code is Code.POP_WRONG


async def test_a_module_keeps_the_verifier_that_it_was_given(
    espressif: Espressif, running: Running, tmp_path: Path
) -> None:
    """Its flash belongs to that label: the same one starts it again, another one does not."""
    first, second = espressif.generate(POP), espressif.generate("another label")
    for _ in range(2):
        async with running("another label", first) as module:
            assert await identified(module, POP) == HARDWARE_ID
    with pytest.raises(WrongModuleError):
        async with running("another label", second):
            pass
    async with running(POP) as module:
        assert await identified(module, POP) == HARDWARE_ID
