"""From the LAN to a secure session: every form of verifier, wrong proofs, and sessions that others take away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.wire.link.http_module import (
    HARDWARE_ID,
    POP,
    SALT,
    HttpModule,
    Misdeed,
    Post,
    assert_each_nonce_once,
    assert_nothing_sent_twice,
    never_answer,
    ok,
    raw,
    reset,
    reset_after_running,
    stolen_before,
)
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, ProofOfPossession
from ucm_provision.core.ports import DeviceLink, PopLookup
from ucm_provision.core.secret import Secret
from ucm_provision.link import HttpLinks, Timing
from ucm_provision.transports.http import HttpCalls
from ucm_sim.srp import VerifierForm

# Generous where a success is awaited: a loaded machine must not make these fail.
TIMING = Timing(first_answer=5, handshake=5, call=5, commit=5)
HASTY = replace(TIMING, first_answer=0.3, handshake=0.3)
INNER_ZERO = "pw00493"
SALT_ZERO = b"\0" + SALT[1:]
PROTO_VER, HELLO, PROOF = 0, 1, 2


def known(pop: str = POP, username: str = "wifiprov") -> PopLookup:
    return lambda hardware_id: ProofOfPossession(Secret(pop), username)


@asynccontextmanager
async def dialled(
    module: HttpModule, pop_for: PopLookup | None = None, timing: Timing = TIMING
) -> AsyncIterator[DeviceLink]:
    links = HttpLinks(HttpCalls, lambda endpoint: endpoint.routes, timing)
    endpoint = Endpoint(Carrier.HTTP, "ucm-x", "key", (module.route,))
    async with links.dial(endpoint, pop_for or known()) as link:
        yield link


async def failure(module: HttpModule, pop_for: PopLookup | None = None, timing: Timing = TIMING) -> UcmError:
    with pytest.raises(UcmError) as caught:
        async with dialled(module, pop_for, timing):
            pass
    assert_nothing_sent_twice(module)
    return caught.value


async def test_dial() -> None:
    async with HttpModule() as module, dialled(module) as link:
        assert link.announced_id == HARDWARE_ID
        assert link.roams
        assert module.endpoints == ["proto-ver", "prov-session", "prov-session"]
        assert len(module.wires) == 1


async def test_the_connection_is_closed_in_the_end() -> None:
    async with HttpModule() as module:
        async with dialled(module):
            pass
        await asyncio.wait_for(module.unconnected(), 5)


@pytest.mark.parametrize("form", list(VerifierForm))
@pytest.mark.parametrize("pop", [POP, INNER_ZERO])
@pytest.mark.parametrize("salt", [SALT, SALT_ZERO])
async def test_every_form_of_verifier_is_one_dial(form: VerifierForm, pop: str, salt: bytes) -> None:
    async with HttpModule(pop=pop, salt=salt, form=form) as module, dialled(module, known(pop)) as link:
        assert (await link.info()).hardware_id == HARDWARE_ID
        assert_nothing_sent_twice(module)
        assert_each_nonce_once(module)


async def test_another_user_name() -> None:
    async with HttpModule(username="plant-7") as module, dialled(module, known(username="plant-7")):
        pass


async def test_without_a_proof_nothing_but_proto_ver_is_asked() -> None:
    async with HttpModule() as module:
        assert (await failure(module, lambda _: None)).code is Code.POP_MISSING
        assert module.endpoints == ["proto-ver"]


# ---- refused, or stolen ------------------------------------------------------------------------------------------


async def test_a_wrong_proof_is_called_wrong_after_sessions_that_all_stood() -> None:
    async with HttpModule() as module:
        error = await failure(module, known("not the label"))
        assert error.code is Code.POP_WRONG
        assert "not the label" not in str(error)
        assert module.proofs == 3  # standard, the cut salt, standard again
        assert len(module.securities) == 4
        assert module.endpoints[-1] == "proto-ver"


async def test_a_wrong_proof_with_every_form_to_try_is_bounded() -> None:
    async with HttpModule(salt=SALT_ZERO, pop="another") as module:
        assert (await failure(module, known(INNER_ZERO))).code is Code.POP_WRONG
        assert module.proofs == len(VerifierForm) + 1


@pytest.mark.parametrize("pop", [POP, "not the label"], ids=["right", "wrong"])
async def test_a_session_stolen_before_the_proof_says_nothing_about_it(pop: str) -> None:
    async with HttpModule() as module:
        module.at[PROOF] = stolen_before
        assert (await failure(module, known(pop))).code is Code.LINK_LOST
        assert module.proofs == 1


async def test_a_session_stolen_between_a_refusal_and_the_look_after_it_says_nothing_either() -> None:
    async with HttpModule() as module:
        module.at[PROOF + 1] = stolen_before
        assert (await failure(module, known("not the label"))).code is Code.LINK_LOST


async def test_a_thief_who_never_rests_never_makes_a_proof_wrong() -> None:
    async with HttpModule() as module:
        module.always["prov-session"] = stolen_before
        for _ in range(4):
            assert (await failure(module)).code is Code.LINK_LOST


async def test_a_session_stolen_before_the_first_step_is_another_session() -> None:
    """Nothing of ours was in it yet, and the module says which session it opened instead."""
    async with HttpModule() as module:
        module.at[HELLO] = stolen_before
        async with dialled(module) as link:
            assert (await link.info()).hardware_id == HARDWARE_ID


async def test_two_clients_one_after_the_other() -> None:
    async with HttpModule() as module, dialled(module) as first:
        async with dialled(module) as second:
            await second.info()
        with pytest.raises(UcmError) as caught:
            await first.info()
        assert caught.value.code is Code.LINK_LOST


async def test_a_module_that_started_over_before_the_proof_did_not_refuse_it() -> None:
    def rebooted(module: HttpModule, post: Post) -> None:
        module.cookie = None
        module.answer(post)

    async with HttpModule() as module:
        module.at[PROOF] = rebooted
        assert (await failure(module)).code is Code.LINK_LOST


@pytest.mark.parametrize("misdeed", [reset, reset_after_running])
async def test_a_connection_that_broke_at_the_proof_is_no_refusal(misdeed: Misdeed) -> None:
    async with HttpModule() as module:
        module.at[PROOF] = misdeed
        async with dialled(module) as link:
            assert (await link.info()).hardware_id == HARDWARE_ID
        assert_nothing_sent_twice(module)


# ---- everything else that may answer, or not ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [PROTO_VER, HELLO])
@pytest.mark.parametrize("misdeed", [reset, reset_after_running])
async def test_a_connection_that_breaks_earlier(number: int, misdeed: Misdeed) -> None:
    async with HttpModule() as module:
        module.at[number] = misdeed
        assert (await failure(module)).code is Code.LINK_LOST
        assert len(module.posts) == number + 1


@pytest.mark.parametrize("number", [PROTO_VER, HELLO, PROOF])
async def test_silence(number: int) -> None:
    async with HttpModule() as module:
        module.at[number] = never_answer
        assert (await failure(module, timing=HASTY)).code is Code.LINK_SILENT
        assert len(module.posts) == number + 1


@pytest.mark.parametrize("number", [PROTO_VER, HELLO, PROOF])
@pytest.mark.parametrize("answer", [ok(b"<html>"), b"HTTP/1.1 404 Not Found\r\n\r\n"], ids=["a page", "not found"])
async def test_another_server(number: int, answer: bytes) -> None:
    async with HttpModule() as module:
        module.at[number] = raw(answer)
        assert (await failure(module)).code is Code.LINK_GARBAGE


async def test_a_module_without_a_cookie_has_no_session_to_tell_apart() -> None:
    async with HttpModule() as module:
        module.at[PROTO_VER] = lambda module, post: post.wire.transport.write(ok(module.version))
        assert (await failure(module)).code is Code.LINK_GARBAGE


async def test_a_module_that_announces_itself_differently_in_each_session() -> None:
    async with HttpModule() as module:
        module.at[PROOF] = reset
        version = module.version.replace(HARDWARE_ID.encode(), b"0" * 32)
        module.at[PROOF + 2] = raw(ok(version, "Set-Cookie: session=7\r\n"))
        assert (await failure(module)).code is Code.LINK_BROKEN


async def test_handshakes_take_turns_at_computing() -> None:
    async with HttpModule() as module, HttpModule() as other:
        turns = asyncio.Semaphore(1)
        links = HttpLinks(HttpCalls, lambda endpoint: endpoint.routes, TIMING, turns)
        async with turns:
            dials = [asyncio.ensure_future(_info(links, each)) for each in (module, other)]
            await asyncio.gather(module.heard(1), other.heard(1))
            assert module.endpoints == other.endpoints == ["proto-ver"]
        assert await asyncio.gather(*dials) == [HARDWARE_ID, HARDWARE_ID]


async def _info(links: HttpLinks, module: HttpModule) -> str:
    async with links.dial(Endpoint(Carrier.HTTP, "ucm-x", "key", (module.route,)), known()) as link:
        return (await link.info()).hardware_id
