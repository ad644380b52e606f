"""A whole conversation over HTTP, broken at every request; and the module that is met again after Commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.wire.link.http_module import (
    GENERATION,
    HARDWARE_ID,
    POP,
    HttpModule,
    Misdeed,
    assert_each_nonce_once,
    assert_nothing_sent_twice,
    never_answer,
    reset,
    reset_after_running,
    stolen_before,
)
from tests.wire.link.test_http_dial import PROOF, TIMING, known
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, Phase, ProofOfPossession
from ucm_provision.core.ports import DeviceLink
from ucm_provision.core.secret import Secret
from ucm_provision.link import EndpointLinks, HttpLinks, SerialLinks, Timing
from ucm_provision.link.drivers import LinkDrivers
from ucm_provision.transports.http import HttpCalls
from ucm_provision.transports.serial import open_port
from ucm_sim.srp import VerifierForm

TRANSACTION = bytes(range(16))
PAYLOAD = bytes(5000)
OWNER = "box-1"
STRANGER = "0" * 32


class Lan:
    """Where a module is at present, and how often its proof was looked up."""

    def __init__(self, *routes: str, pop: str = POP) -> None:
        self.routes = routes
        self.lookups = 0
        self._pop = pop

    @asynccontextmanager
    async def dialled(self, timing: Timing = TIMING) -> AsyncIterator[DeviceLink]:
        links = HttpLinks(HttpCalls, lambda _: self.routes, timing)
        async with links.dial(Endpoint(Carrier.HTTP, "ucm-x", "key"), self._pop_for) as link:
            yield link

    def _pop_for(self, hardware_id: str | None) -> ProofOfPossession | None:
        self.lookups += 1
        return ProofOfPossession(Secret(self._pop))


async def failure(call: Awaitable[object]) -> UcmError:
    with pytest.raises(UcmError) as caught:
        await call
    return caught.value


async def configured(link: DeviceLink) -> int:
    """Everything up to Commit."""
    await link.info()
    await link.reserve(OWNER, 120)
    offset = await link.begin(TRANSACTION, PAYLOAD, 7)
    while offset < len(PAYLOAD):
        offset = await link.chunk(TRANSACTION, PAYLOAD, offset)
    return await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)


async def converse(lan: Lan, timing: Timing = TIMING) -> None:
    async with lan.dialled(timing) as link:
        assert await configured(link) == GENERATION
        assert (await link.state()).generation == GENERATION


# proto-ver, two steps, Info, Reserve, Begin, three Chunks, Commit; then the same again up to Info, and the state
COMMIT = 9
REJOINED = range(COMMIT + 1, COMMIT + 5)
STATE = COMMIT + 5


async def test_a_whole_conversation() -> None:
    async with HttpModule() as module:
        await converse(Lan(module.route))
        assert module.asked == ["reserve", "begin", "chunk", "chunk", "chunk", "commit"]
        assert len(module.posts) == STATE + 1
        assert_nothing_sent_twice(module)
        assert_each_nonce_once(module)


@pytest.mark.parametrize("misdeed", [reset, reset_after_running, stolen_before])
@pytest.mark.parametrize("number", [n for n in range(STATE + 1) if n not in (1, PROOF, COMMIT + 2, COMMIT + 3)])
async def test_broken_at_any_request_it_is_lost_and_nothing_is_sent_again(misdeed: Misdeed, number: int) -> None:
    async with HttpModule() as module:
        module.at[number] = misdeed
        if misdeed is stolen_before and number in (0, REJOINED[0]):
            await converse(Lan(module.route))  # no session was there yet to be stolen
        else:
            assert (await failure(converse(Lan(module.route)))).code is Code.LINK_LOST
            assert len(module.posts) == number + 1
        assert_nothing_sent_twice(module)
        assert_each_nonce_once(module)


MEETING = ["first_answer", "handshake", "handshake", "call"]
DEADLINES = [*MEETING, *["call"] * 5, "commit", *MEETING, "call"]


@pytest.mark.parametrize(("number", "deadline"), list(enumerate(DEADLINES)))
async def test_silent_at_any_request(number: int, deadline: str) -> None:
    async with HttpModule() as module:
        module.at[number] = never_answer
        short = replace(TIMING, **{deadline: 0.3})
        assert (await failure(converse(Lan(module.route), short))).code is Code.LINK_SILENT
        assert len(module.posts) == number + 1


async def test_a_failure_before_commit_ends_the_link_for_good() -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        module.at[3] = reset
        assert (await failure(link.info())).code is Code.LINK_LOST
        assert (await failure(link.info())).code is Code.LINK_LOST
        assert len(module.posts) == 4


async def test_a_cancelled_call_ends_the_link_for_good() -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        module.at[3] = never_answer
        call = asyncio.ensure_future(link.info())
        await module.heard(4)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await failure(link.info())).code is Code.LINK_LOST
        assert len(module.posts) == 4


async def test_a_module_that_is_not_the_announced_one() -> None:
    async with HttpModule(announced=STRANGER) as module, Lan(module.route).dialled() as link:
        assert (await failure(link.info())).code is Code.IDENTITY_MISMATCH


async def test_identify_and_abort() -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        await link.identify(5)
        await link.abort(TRANSACTION)
        assert module.asked == ["abort"]


# ---- after Commit ------------------------------------------------------------------------------------------------


async def test_the_module_is_met_again_at_a_new_address_without_another_lookup() -> None:
    async with HttpModule(form=VerifierForm.SALT_WITHOUT_LAST_BYTE) as before:
        lan = Lan(before.route)
        async with lan.dialled() as link:
            await configured(link)
            async with HttpModule(form=VerifierForm.SALT_WITHOUT_LAST_BYTE) as after:
                lan.routes = (after.route,)
                assert (await link.state()).phase is Phase.ONLINE
                assert await link.reserve(OWNER, 0)
                assert (await link.info()).hardware_id == HARDWARE_ID
                await link.identify(5)
                await link.abort(TRANSACTION)
                assert after.proofs == lan.lookups == 1  # the form is known, too
                assert after.endpoints[:5] == ["proto-ver", "prov-session", "prov-session", "ucm-info", "ucm-link"]
                assert_each_nonce_once(after)


async def test_the_likeliest_route_comes_first_and_not_the_one_of_before() -> None:
    async with HttpModule() as before, HttpModule() as after:
        lan = Lan(before.route)
        async with lan.dialled() as link:
            await configured(link)
            posts = len(before.posts)
            lan.routes = (after.route, before.route)
            await link.state()
            assert len(before.posts) == posts


async def test_a_module_that_is_away_is_looked_for_at_each_call() -> None:
    async with HttpModule() as module:
        lan = Lan(module.route)
        async with lan.dialled() as link:
            await configured(link)
            there, lan.routes = lan.routes, ()
            assert (await failure(link.state())).code is Code.LINK_SILENT
            assert (await failure(link.state())).code is Code.LINK_SILENT
            lan.routes = there
            assert (await link.state()).generation == GENERATION


@pytest.mark.parametrize("misdeed", [reset, stolen_before])
async def test_a_session_that_is_lost_after_commit_is_followed_by_another(misdeed: Misdeed) -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        await configured(link)
        await link.state()
        module.at[len(module.posts)] = misdeed
        assert (await failure(link.state())).code is Code.LINK_LOST
        assert (await link.state()).generation == GENERATION
        assert_nothing_sent_twice(module)
        assert_each_nonce_once(module)


async def test_a_call_that_is_cancelled_while_the_module_is_looked_for() -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        await configured(link)
        for number in [*REJOINED, STATE]:
            module.at = {len(module.posts) + number - REJOINED[0]: never_answer}
            call = asyncio.ensure_future(link.state())
            await module.heard(max(module.at) + 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await link.state()).generation == GENERATION
        assert_nothing_sent_twice(module)
        assert_each_nonce_once(module)


async def test_a_rejoin_is_one_handshake_whatever_comes_of_it() -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        await configured(link)
        proofs = module.proofs
        module.at[len(module.posts) + PROOF] = stolen_before
        assert (await failure(link.state())).code is Code.LINK_LOST
        assert module.proofs == proofs + 1


@pytest.mark.parametrize("misdeed", [reset, reset_after_running])
async def test_a_connection_that_broke_at_the_proof_is_not_another_module(misdeed: Misdeed) -> None:
    async with HttpModule() as module, Lan(module.route).dialled() as link:
        await configured(link)
        for _ in range(2):
            module.at = {len(module.posts) + PROOF: misdeed}
            assert (await failure(link.state())).code is Code.LINK_LOST
            assert (await link.state()).generation == GENERATION
            module.at = {len(module.posts): reset}
            await failure(link.state())


async def test_a_proof_that_is_refused_again_and_again_is_another_module() -> None:
    async with HttpModule() as module, HttpModule(pop="another") as stranger:
        lan = Lan(module.route)
        async with lan.dialled() as link:
            await configured(link)
            lan.routes = (stranger.route,)
            assert (await failure(link.state())).code is Code.LINK_LOST
            assert (await failure(link.state())).code is Code.IDENTITY_MISMATCH
            assert stranger.proofs == 2


@pytest.mark.parametrize(
    ("stranger", "asked"),
    [
        (HttpModule(hardware_id=STRANGER), ["proto-ver"]),
        (
            HttpModule(hardware_id=STRANGER, announced=HARDWARE_ID),
            ["proto-ver", "prov-session", "prov-session", "ucm-info"],
        ),
        (
            HttpModule(hardware_id=STRANGER, announced="nobody"),
            ["proto-ver", "prov-session", "prov-session", "ucm-info"],
        ),
    ],
    ids=["by its own word", "against its word", "without a word"],
)
async def test_somebody_else_at_the_module_s_address(stranger: HttpModule, asked: list[str]) -> None:
    async with HttpModule() as module, stranger:
        lan = Lan(module.route)
        async with lan.dialled() as link:
            await configured(link)
            there, lan.routes = lan.routes, (stranger.route,)
            assert (await failure(link.reserve(OWNER, 120))).code is Code.IDENTITY_MISMATCH
            assert stranger.endpoints == asked
            assert not stranger.asked
            lan.routes = there
            assert (await link.state()).generation == GENERATION


# ---- both carriers -----------------------------------------------------------------------------------------------


async def test_each_endpoint_is_dialled_over_its_own_carrier() -> None:
    async with HttpModule() as module:
        http = HttpLinks(HttpCalls, lambda endpoint: endpoint.routes, TIMING)
        links = EndpointLinks(
            {Carrier.HTTP: http, Carrier.SERIAL: SerialLinks(open_port)}, LinkDrivers(open_port, 115200).get, ""
        )
        async with links.dial(Endpoint(Carrier.HTTP, "ucm-x", "key", (module.route,)), known()) as link:
            assert link.roams
        with pytest.raises(UcmError) as caught:
            async with links.dial(Endpoint(Carrier.SERIAL, "/nonexistent/ttyUCM0", "key"), known()):
                pass
        assert caught.value.code is Code.DEVICE_GONE
