"""The calls of a secure session, against a module that answers what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.wire.link.conftest import MakeLine
from tests.wire.link.scripted import HARDWARE_ID, POP, Request, ScriptedModule, proto_ver, response
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, Product, ProofOfPossession, Reservation
from ucm_provision.core.ports import DeviceLink
from ucm_provision.core.secret import Secret
from ucm_provision.link import SerialLinks, Timing
from ucm_provision.link.messages import ucm_link_pb2 as pb
from ucm_provision.transports.serial import open_port

TIMING = Timing(first_answer=3, handshake=5, call=5, commit=5)
TRANSACTION = bytes(range(16))
PAYLOAD = bytes(5000)
OK = pb.ConfigReply(status=pb.OK)


@asynccontextmanager
async def dialled(make_line: MakeLine, module: ScriptedModule, timing: Timing = TIMING) -> AsyncIterator[DeviceLink]:
    line = make_line(module.answer)
    endpoint = Endpoint(Carrier.SERIAL, line.path, "key")
    async with SerialLinks(open_port, 921600, timing).dial(endpoint, lambda _: ProofOfPossession(Secret(POP))) as link:
        yield link


class Configured:
    """A module that answers ``ucm-config`` with the replies given, and keeps what it was asked."""

    def __init__(self, *replies: pb.ConfigReply, version: bytes | None = None) -> None:
        self.asked: list[pb.ConfigRequest] = []
        self.module = ScriptedModule(version=version)
        self.module.endpoints["ucm-config"] = self._answer
        self._replies = iter(replies)

    def _answer(self, plaintext: bytes) -> bytes:
        self.asked.append(pb.ConfigRequest.FromString(plaintext))
        return next(self._replies).SerializeToString()


async def failure(call: Awaitable[object]) -> UcmError:
    with pytest.raises(UcmError) as caught:
        await call
    return caught.value


def info(hardware_id: str = HARDWARE_ID, product: int = pb.UCM) -> Callable[[bytes], bytes]:
    return lambda _: pb.Info(status=pb.OK, hardware_id=hardware_id, product=product).SerializeToString()


async def test_info_of_the_announced_module(make_line: MakeLine) -> None:
    module = ScriptedModule()
    module.endpoints["ucm-info"] = info(HARDWARE_ID.lower())
    async with dialled(make_line, module) as link:
        assert (await link.info()).hardware_id == HARDWARE_ID == link.announced_id


async def test_a_module_that_is_not_the_announced_one(make_line: MakeLine) -> None:
    module = ScriptedModule()
    module.endpoints["ucm-info"] = info("0" * 32)
    async with dialled(make_line, module) as link:
        assert (await failure(link.info())).code is Code.IDENTITY_MISMATCH


async def test_a_module_that_announces_nothing_is_who_it_proves_to_be(make_line: MakeLine) -> None:
    module = ScriptedModule(version=proto_ver(id=None))
    module.endpoints["ucm-info"] = info("0" * 32)
    async with dialled(make_line, module) as link:
        assert link.announced_id is None
        assert (await link.info()).hardware_id == "0" * 32


async def test_a_product_that_is_not_supported_is_still_read(make_line: MakeLine) -> None:
    module = ScriptedModule()
    module.endpoints["ucm-info"] = info(product=pb.LINK_MASTER)
    async with dialled(make_line, module) as link:
        assert (await link.info()).product is Product.LINK_MASTER


async def test_reserve(make_line: MakeLine) -> None:
    held = pb.Reservation(owner="box-1", remaining_s=120)
    script = Configured(pb.ConfigReply(status=pb.OK, reservation=held), OK)
    async with dialled(make_line, script.module) as link:
        assert await link.reserve("box-1", 120) == Reservation("box-1", 120)
        assert await link.reserve("box-1", 0) == Reservation("box-1", 0)
    assert script.asked[0].reserve == pb.Reserve(owner="box-1", seconds=120)


@pytest.mark.parametrize(
    "reply", [OK, pb.ConfigReply(status=pb.OK, reservation=pb.Reservation(owner="box-2", remaining_s=120))]
)
async def test_a_reservation_that_is_not_ours(make_line: MakeLine, reply: pb.ConfigReply) -> None:
    async with dialled(make_line, Configured(reply).module) as link:
        assert (await failure(link.reserve("box-1", 120))).code is Code.LINK_GARBAGE


async def test_busy_leaves_the_session_usable(make_line: MakeLine) -> None:
    held = pb.Reservation(owner="box-2", remaining_s=33)
    script = Configured(pb.ConfigReply(status=pb.BUSY, reservation=held), OK)
    async with dialled(make_line, script.module) as link:
        error = await failure(link.reserve("box-1", 120))
        assert (error.code, error.retry_after) == (Code.MODULE_BUSY, 33)
        await link.abort(TRANSACTION)


async def test_begin_chunks_commit(make_line: MakeLine) -> None:
    script = Configured(
        OK,
        pb.ConfigReply(status=pb.OK, next_offset=2048),
        pb.ConfigReply(status=pb.OK, next_offset=4096),
        pb.ConfigReply(status=pb.OK, next_offset=5000),
        pb.ConfigReply(status=pb.OK, generation=8),
    )
    async with dialled(make_line, script.module) as link:
        offset = await link.begin(TRANSACTION, PAYLOAD, 7)
        while offset < len(PAYLOAD):
            offset = await link.chunk(TRANSACTION, PAYLOAD, offset)
        assert await link.commit(TRANSACTION, trial_s=120, now_unix_ms=5) == 8
    begin, *chunks, commit = script.asked
    assert (begin.begin.total, begin.begin.base_generation, len(begin.begin.sha256)) == (5000, 7, 32)
    assert [len(request.chunk.payload) for request in chunks] == [2048, 2048, 904]
    assert commit.commit.confirm_by == pb.MODULE_ONLINE
    assert (commit.commit.trial_s, commit.commit.now_unix_ms, commit.commit.ssid) == (120, 5, "")


async def test_a_small_frame_makes_small_chunks(make_line: MakeLine) -> None:
    script = Configured(pb.ConfigReply(status=pb.OK, next_offset=1952), version=proto_ver(max_frame=2048))
    async with dialled(make_line, script.module) as link:
        assert await link.chunk(TRANSACTION, PAYLOAD, 0) == 1952
    assert len(script.asked[0].chunk.payload) == 2048 - 96


async def test_begin_resumes_or_is_done(make_line: MakeLine) -> None:
    script = Configured(pb.ConfigReply(status=pb.OK, next_offset=4096), pb.ConfigReply(status=pb.OK, generation=8))
    async with dialled(make_line, script.module) as link:
        assert await link.begin(TRANSACTION, PAYLOAD, 7) == 4096
        assert await link.begin(TRANSACTION, PAYLOAD, 7) == len(PAYLOAD)


async def test_a_gap_goes_back_to_where_the_module_is(make_line: MakeLine) -> None:
    async with dialled(make_line, Configured(pb.ConfigReply(status=pb.OUT_OF_ORDER, next_offset=100)).module) as link:
        assert await link.chunk(TRANSACTION, PAYLOAD, 2048) == 100


async def test_a_module_that_never_gets_on_is_given_up(make_line: MakeLine) -> None:
    script = Configured(*[pb.ConfigReply(status=pb.OUT_OF_ORDER)] * 20)
    async with dialled(make_line, script.module) as link:
        for _ in range(8):
            assert await link.chunk(TRANSACTION, PAYLOAD, 2048) == 0
        assert (await failure(link.chunk(TRANSACTION, PAYLOAD, 2048))).code is Code.LINK_BROKEN


@pytest.mark.parametrize(
    "reply",
    [
        pb.ConfigReply(status=pb.OK, next_offset=2047),
        pb.ConfigReply(status=pb.OK, next_offset=5001),
        pb.ConfigReply(status=pb.OUT_OF_ORDER, next_offset=4096),
        pb.ConfigReply(status=99),
        pb.ConfigReply(),
    ],
    ids=str,
)
async def test_an_offset_that_cannot_be(make_line: MakeLine, reply: pb.ConfigReply) -> None:
    async with dialled(make_line, Configured(reply).module) as link:
        assert (await failure(link.chunk(TRANSACTION, PAYLOAD, 2048))).code is Code.LINK_GARBAGE


async def test_begin_of_a_transaction_that_failed_before(make_line: MakeLine) -> None:
    script = Configured(pb.ConfigReply(status=pb.REFUSED, detail="this transaction failed"))
    async with dialled(make_line, script.module) as link:
        error = await failure(link.begin(TRANSACTION, PAYLOAD, 7))
    assert error.code is Code.MODULE_REFUSED
    assert "REFUSED, this transaction failed" in error.detail


async def test_begin_after_somebody_else_configured_the_module(make_line: MakeLine) -> None:
    async with dialled(make_line, Configured(pb.ConfigReply(status=pb.CONFLICT)).module) as link:
        assert (await failure(link.begin(TRANSACTION, PAYLOAD, 7))).code is Code.MODULE_CONFLICT


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (OK, Code.LINK_GARBAGE),
        (pb.ConfigReply(status=pb.OUT_OF_ORDER, next_offset=7), Code.LINK_BROKEN),
        (pb.ConfigReply(status=pb.CORRUPT), Code.LINK_BROKEN),
        (pb.ConfigReply(status=pb.INVALID_ARGUMENT), Code.MODULE_REFUSED),
    ],
    ids=str,
)
async def test_commit_that_fails(make_line: MakeLine, reply: pb.ConfigReply, code: Code) -> None:
    async with dialled(make_line, Configured(reply).module) as link:
        assert (await failure(link.commit(TRANSACTION, trial_s=120, now_unix_ms=0))).code is code


async def test_state(make_line: MakeLine) -> None:
    module = ScriptedModule()
    module.endpoints["ucm-link"] = lambda _: pb.LinkState(
        status=pb.OK, phase=pb.WIFI, reason=pb.WIFI_NOT_FOUND, generation=8
    ).SerializeToString()
    async with dialled(make_line, module) as link:
        state = await link.state()
    assert (state.phase, state.reason, state.generation, state.last_trial) == ("WIFI", "WIFI_NOT_FOUND", 8, None)


async def test_identify(make_line: MakeLine) -> None:
    module, asked = ScriptedModule(), []
    module.endpoints["ucm-identify"] = lambda body: asked.append(body) or OK.SerializeToString()
    async with dialled(make_line, module) as link:
        await link.identify(5)
    assert pb.IdentifyRequest.FromString(asked[0]).seconds == 5


async def test_an_endpoint_that_is_not_announced_is_not_called(make_line: MakeLine) -> None:
    module = ScriptedModule(version=proto_ver(cap=["config", "trial"]))
    async with dialled(make_line, module) as link:
        assert (await failure(link.identify(5))).code is Code.MODULE_REFUSED
    assert "ucm-identify" not in module.runs


async def test_a_status_ends_the_session_for_good(make_line: MakeLine) -> None:
    module = ScriptedModule()
    module.endpoints["ucm-info"] = info()
    async with dialled(make_line, module) as link:
        assert "0x105" in (await failure(link.state())).detail
        runs = len(module.runs)
        assert (await failure(link.info())).code is Code.LINK_BROKEN
    assert len(module.runs) == runs


async def test_a_cancelled_call_ends_the_session(make_line: MakeLine) -> None:
    """The module's counter may have moved on: another message could use a nonce twice."""
    module = ScriptedModule()
    module.endpoints["ucm-info"] = info()
    line = make_line(lambda request: [] if request.endpoint == "ucm-info" else module.answer(request))
    endpoint = Endpoint(Carrier.SERIAL, line.path, "key")
    links = SerialLinks(open_port, 921600, TIMING)
    async with links.dial(endpoint, lambda _: ProofOfPossession(Secret(POP))) as link:
        call = asyncio.ensure_future(link.info())
        await line.heard(4)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await failure(link.info())).code is Code.LINK_BROKEN


async def test_an_answer_that_does_not_decrypt(make_line: MakeLine) -> None:
    module = ScriptedModule()
    line = make_line(
        lambda request: [response(request, b"\0" * 40)] if request.endpoint == "ucm-info" else module.answer(request)
    )
    links = SerialLinks(open_port, 921600, TIMING)
    endpoint = Endpoint(Carrier.SERIAL, line.path, "key")
    async with links.dial(endpoint, lambda _: ProofOfPossession(Secret(POP))) as link:
        assert (await failure(link.info())).code is Code.LINK_BROKEN


async def test_a_lost_answer_is_repeated_from_the_cache_and_not_run_again(make_line: MakeLine) -> None:
    script = Configured(pb.ConfigReply(status=pb.OK, generation=8))
    lost: list[Request] = []

    def answer(request: Request) -> list[bytes]:
        answered = script.module.answer(request)
        if request.endpoint != "ucm-config" or len(lost) == 2:
            return answered
        lost.append(request)
        return []

    line = make_line(answer)
    endpoint = Endpoint(Carrier.SERIAL, line.path, "key")
    links = SerialLinks(open_port, 921600, Timing(retransmit_first=0.02, commit=5))
    async with links.dial(endpoint, lambda _: ProofOfPossession(Secret(POP))) as link:
        assert await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0) == 8
    assert len(script.asked) == 1
