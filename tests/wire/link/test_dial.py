"""From a port to a secure session, against a module that follows a script."""

from collections.abc import Callable

import pytest

from tests.wire.link.conftest import MakeLine
from tests.wire.link.scripted import HARDWARE_ID, POP, Request, ScriptedLine, ScriptedModule, proto_ver, response
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, ProofOfPossession
from ucm_provision.core.ports import ByteStream, PopLookup
from ucm_provision.core.secret import Secret
from ucm_provision.link import SerialLinks, Timing
from ucm_provision.link.messages import protocomm_pb2 as pb
from ucm_provision.transports.serial import open_port

BAUD = 921600
# Generous where a success is awaited: a loaded machine must not make these fail.
TIMING = Timing(first_answer=3, first_answer_resend=0.3, handshake=5, call=5, commit=5)
HASTY = Timing(retransmit_first=0.02, retransmit_last=0.05, first_answer=0.2, first_answer_resend=0.05, handshake=0.3)
SALT = b"0123456789abcdef"
INNER_ZERO = "pw00493"


def known(pop: str = POP, username: str = "wifiprov") -> PopLookup:
    return lambda hardware_id: ProofOfPossession(Secret(pop), username)


class Opener:
    """Opens ports and counts how often."""

    def __init__(self) -> None:
        self.opened: list[ByteStream] = []

    async def __call__(self, address: str, baud: int) -> ByteStream:
        self.opened.append(await open_port(address, baud))
        return self.opened[-1]


def endpoint(line: ScriptedLine) -> Endpoint:
    return Endpoint(Carrier.SERIAL, line.path, "key")


async def announced(line: ScriptedLine, pop_for: PopLookup, timing: Timing = TIMING) -> str | None:
    async with SerialLinks(open_port, BAUD, timing).dial(endpoint(line), pop_for) as link:
        return link.announced_id


async def failure(line: ScriptedLine, pop_for: PopLookup | None = None, timing: Timing = TIMING) -> UcmError:
    with pytest.raises(UcmError) as caught:
        await announced(line, pop_for or known(), timing)
    return caught.value


async def test_dial(make_line: MakeLine) -> None:
    module = ScriptedModule()
    assert await announced(make_line(module.answer), known()) == HARDWARE_ID
    assert module.runs == ["proto-ver", "prov-session", "prov-session"]
    assert len(module.sessions) == 1


async def test_the_announced_id_chooses_the_proof(make_line: MakeLine) -> None:
    asked: list[str | None] = []
    module = ScriptedModule()
    await announced(make_line(module.answer), lambda hint: asked.append(hint) or known()(hint))
    assert asked == [HARDWARE_ID]


async def test_another_user_name(make_line: MakeLine) -> None:
    module = ScriptedModule(username="plant-7")
    await announced(make_line(module.answer), known(username="plant-7"))


@pytest.mark.parametrize(
    ("pop", "salt", "in_exponent"),
    [
        (INNER_ZERO, SALT, lambda salt, inner: salt + inner),
        (INNER_ZERO, SALT, lambda salt, inner: salt + inner.lstrip(b"\0")),
        (POP, b"\0" + SALT[1:], lambda salt, inner: salt + inner),
        (POP, b"\0" + SALT[1:], lambda salt, inner: salt.lstrip(b"\0") + inner),
        (INNER_ZERO, b"\0" + SALT[1:], lambda salt, inner: salt.lstrip(b"\0") + inner.lstrip(b"\0")),
        (POP, SALT, lambda salt, inner: salt[:-1] + inner),
    ],
    ids=["inner-zero", "inner-stripped", "salt-zero", "salt-stripped", "both-stripped", "salt-cut"],
)
async def test_every_form_of_verifier_is_one_dial_and_one_open(
    make_line: MakeLine, pop: str, salt: bytes, in_exponent: Callable[[bytes, bytes], bytes]
) -> None:
    module, opener = ScriptedModule(pop=pop, salt=salt, in_exponent=in_exponent), Opener()
    async with SerialLinks(opener, BAUD, TIMING).dial(endpoint(make_line(module.answer)), known(pop)):
        pass
    assert len(opener.opened) == 1
    assert len(set(module.sessions)) == module.proofs


async def test_a_wrong_proof_is_called_wrong_after_fresh_sessions_that_all_answered(make_line: MakeLine) -> None:
    module = ScriptedModule()
    error = await failure(make_line(module.answer), known("not the label"))
    assert error.code is Code.POP_WRONG
    assert module.proofs == 3  # standard, the cut salt, standard again
    assert len(module.sessions) == 4
    assert module.runs[-1] == "proto-ver"
    assert "not the label" not in str(error)


async def test_a_right_proof_that_was_refused_once_is_not_called_wrong(make_line: MakeLine) -> None:
    """A module that was reset between the two steps of the handshake refuses any proof."""
    module = ScriptedModule(refuse_proofs=2)
    await announced(make_line(module.answer), known())
    assert module.proofs == 3


async def test_silence_after_a_refused_proof_is_not_a_wrong_proof(make_line: MakeLine) -> None:
    module = ScriptedModule()

    def answer(request: Request) -> list[bytes]:
        return module.answer(request) if len({r.session for r in line.requests}) == 1 else []

    line = make_line(answer)
    error = await failure(line, known("wrong"), Timing(handshake=0.5))
    assert error.code is Code.LINK_BROKEN


async def test_a_module_that_cannot_prove_itself(make_line: MakeLine) -> None:
    """It accepts everything and answers a proof of its own invention."""
    module = ScriptedModule()

    def answer(request: Request) -> list[bytes]:
        if request.endpoint == "prov-session":
            payload = pb.SessionData.FromString(request.body).sec2
            if payload.msg == pb.S2Session_Command1:
                reply = pb.S2SessionResp1(device_proof=bytes(64), device_nonce=bytes(12))
                sec2 = pb.Sec2Payload(msg=pb.S2Session_Response1, sr1=reply)
                return [response(request, pb.SessionData(sec_ver=2, sec2=sec2).SerializeToString())]
        return module.answer(request)

    assert (await failure(make_line(answer))).code is Code.POP_WRONG


async def test_no_proof_is_known(make_line: MakeLine) -> None:
    module = ScriptedModule()
    error = await failure(make_line(module.answer), lambda hint: None)
    assert error.code is Code.POP_MISSING
    assert HARDWARE_ID in error.detail
    assert module.runs == ["proto-ver"]


@pytest.mark.parametrize("security", [{"sec_ver": 0}, {"sec_ver": 1}, {"sec_patch_ver": 0}])
async def test_an_insecure_module_gets_nothing(make_line: MakeLine, security: dict) -> None:
    module = ScriptedModule(version=proto_ver(**security))
    assert (await failure(make_line(module.answer))).code is Code.LINK_INSECURE
    assert module.runs == ["proto-ver"]


async def test_a_module_that_changes_its_announcement(make_line: MakeLine) -> None:
    module = ScriptedModule()

    def answer(request: Request) -> list[bytes]:
        if request.endpoint == "proto-ver" and module.sessions:
            return [response(request, proto_ver(id="0" * 32))]
        return module.answer(request)

    error = await failure(make_line(answer), known("wrong"))
    assert error.code is Code.LINK_BROKEN


async def test_an_unknown_endpoint_at_the_first_request(make_line: MakeLine) -> None:
    error = await failure(make_line(lambda request: [response(request, status=0x105)]))
    assert error.code is Code.LINK_BROKEN
    assert "0x105" in error.detail


async def test_another_protocol_on_the_port(make_line: MakeLine) -> None:
    error = await failure(make_line(lambda request: [b"OK\r\n"]), timing=HASTY)
    assert error.code is Code.LINK_GARBAGE


async def test_nothing_on_the_port(make_line: MakeLine) -> None:
    assert (await failure(make_line(lambda request: []), timing=HASTY)).code is Code.LINK_SILENT


async def test_unplugged_during_the_handshake(make_line: MakeLine) -> None:
    module = ScriptedModule()

    def answer(request: Request) -> list[bytes]:
        if request.endpoint == "prov-session":
            line.unplug()
            return []
        return module.answer(request)

    line = make_line(answer)
    assert (await failure(line)).code is Code.DEVICE_GONE


async def test_a_large_frame_is_taken_once_it_was_announced(make_line: MakeLine) -> None:
    module = ScriptedModule(version=proto_ver(max_frame=4096))
    line = make_line(module.answer)
    async with SerialLinks(open_port, BAUD, TIMING).dial(endpoint(line), known()) as link:
        module.endpoints["ucm-info"] = lambda body: bytes(4000)
        with pytest.raises(UcmError) as caught:
            await link.info()
    assert caught.value.code is Code.LINK_GARBAGE  # it arrived, and is no Info
    assert "no Info message" in caught.value.detail
