"""POSTs to servers that misbehave in every way that HTTP has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import pytest

from tests.wire.link.http_module import (
    HARDWARE_ID,
    HttpModule,
    Misdeed,
    dribble,
    never_answer,
    ok,
    raw,
    refuse,
    reset,
    reset_after_running,
)
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports.http import HttpCalls

PATIENCE = 5.0  # for calls that are to succeed
SHORT = 0.2  # for calls that are to fail by their deadline


@asynccontextmanager
async def calling(*routes: str) -> AsyncIterator[HttpCalls]:
    calls = HttpCalls(lambda: routes)
    try:
        yield calls
    finally:
        await calls.close()


async def failure(calls: HttpCalls, seconds: float = PATIENCE) -> UcmError:
    with pytest.raises(UcmError) as caught:
        await calls.call("proto-ver", b"-", seconds)
    return caught.value


async def test_the_session_is_the_cookie_and_the_connection_is_kept() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        assert calls.session is None
        assert HARDWARE_ID.encode() in await calls.call("proto-ver", b"-", PATIENCE)
        assert calls.session == str(module.cookie)
        await calls.call("proto-ver", b"-", PATIENCE)
        first, second = module.posts
        assert first.cookie is None
        assert second.cookie == f"session={calls.session}"
        assert first.wire is second.wire
        assert first.headers["host"] == calls.remote == module.route


async def test_a_fresh_session_has_a_cookie_and_a_connection_of_its_own() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        await calls.call("proto-ver", b"-", PATIENCE)
        before = calls.session
        await calls.fresh_session()
        assert calls.session is None
        await calls.call("proto-ver", b"-", PATIENCE)
        assert calls.session != before
    assert module.posts[1].cookie is None
    assert len(module.wires) == 2


GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an older HTTP": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx",
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"x"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "half a status line": b"HTTP/1.1 200OK\r\nContent-Length: 1\r\n\r\nx",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "compressed": ok(b"x", "Content-Encoding: gzip\r\n"),
    "no length": b"HTTP/1.1 200 OK\r\n\r\nx",
    "two lengths": ok(b"x", "Content-Length: 2\r\n"),
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nx",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 8193\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4096,
    "a header that is just too long": ok(b"x", "X: " + "x" * policy.HTTP_HEAD_LARGEST + "\r\n"),
    "a header without a name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 1\r\n\r\nx",
    "a folded header": ok(b"x", "X: a\r\n b\r\n"),
    "more than it announced": ok(b"x") + b"y",
    "a cookie of another kind": ok(b"x", "Set-Cookie: id=1\r\n"),
    "a cookie that is no number": ok(b"x", "Set-Cookie: session=1e5\r\n"),
    "a cookie that is too long": ok(b"x", "Set-Cookie: session=12345678901\r\n"),
    "a cookie with a header in it": ok(b"x", "Set-Cookie: session=1\rX-Evil: 1\r\n"),
    "two cookies": ok(b"x", "Set-Cookie: session=1\r\nSet-Cookie: session=2\r\n"),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_is_no_answer_of_protocomm(answer: bytes) -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        module.at[0] = raw(answer)
        assert (await failure(calls)).code is Code.LINK_GARBAGE
        assert calls.session is None
    assert len(module.posts) == 1


LOST = {
    "refused": refuse,
    "reset": reset,
    "run, then reset": reset_after_running,
    "closed in the header": raw(b"HTTP/1.1 200", close=True),
    "closed in the body": raw(ok(b"xyz")[:-1], close=True),
}


@pytest.mark.parametrize("misdeed", LOST.values(), ids=LOST.keys())
async def test_a_connection_that_ends_after_the_request_was_sent(misdeed: Misdeed) -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        module.at[0] = misdeed
        error = await failure(calls)
        assert error.code is Code.LINK_LOST
        assert module.route in error.detail
    assert len(module.posts) == 1


@pytest.mark.parametrize(
    ("misdeed", "code"),
    [(never_answer, Code.LINK_SILENT), (raw(b"HTTP/1.1 2"), Code.LINK_LOST), (raw(ok(b"xy")[:-1]), Code.LINK_LOST)],
    ids=["no byte", "part of the header", "part of the body"],
)
async def test_an_answer_that_does_not_come_or_stops(misdeed: Misdeed, code: Code) -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        module.at[0] = misdeed
        assert (await failure(calls, SHORT)).code is code
    assert len(module.posts) == 1


async def test_an_answer_byte_by_byte() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        module.at[0] = dribble
        assert HARDWARE_ID.encode() in await calls.call("proto-ver", b"-", PATIENCE)


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        module.at[0] = never_answer
        call = asyncio.ensure_future(calls.call("proto-ver", b"-", PATIENCE))
        await module.heard(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        module.posts[0].wire.transport.write(ok(b"late"))
        assert HARDWARE_ID.encode() in await calls.call("proto-ver", b"-", PATIENCE)


async def test_what_comes_unasked_is_not_taken_for_the_next_answer() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        await calls.call("proto-ver", b"-", PATIENCE)
        wire = module.wires[0]
        wire.transport.write(ok(b"unasked"))
        await gone(wire.transport)
        assert HARDWARE_ID.encode() in await calls.call("proto-ver", b"-", PATIENCE)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_session_goes_on_where_a_server_closes_idle_connections(*, announced: bool) -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        await calls.call("proto-ver", b"-", PATIENCE)
        if announced:
            module.at[1] = raw(ok(b"x", "Connection: close\r\n"))
            await calls.call("proto-ver", b"-", PATIENCE)
        else:
            module.wires[0].transport.close()
        await gone(module.wires[0].transport)
        before = calls.session
        await calls.call("proto-ver", b"-", PATIENCE)
        assert calls.session == before == str(module.cookie)
    assert len(module.wires) == 2


async def gone(transport: asyncio.Transport) -> None:
    """Until the other side has closed the connection, and both have noticed."""
    reached = asyncio.get_running_loop().create_future()
    protocol = transport.get_protocol()
    lost = protocol.connection_lost
    protocol.connection_lost = lambda error: (lost(error), reached.set_result(None))  # type: ignore[method-assign]
    await asyncio.wait_for(reached, 5)


@pytest.mark.parametrize("size", [0, policy.HTTP_BODY_LARGEST + 1])
async def test_a_body_that_no_module_takes_is_not_sent(size: int) -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        with pytest.raises(ValueError, match=str(size)):
            await calls.call("ucm-config", bytes(size), PATIENCE)
    assert not module.wires


async def test_the_largest_body_arrives() -> None:
    async with HttpModule() as module, calling(module.route) as calls:
        await calls.call("proto-ver", bytes(policy.HTTP_BODY_LARGEST), PATIENCE)


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with HttpModule() as module, calling(module.route) as calls:
        await calls.call("proto-ver", b"-", PATIENCE)


# ---- routes ------------------------------------------------------------------------------------------------------


@contextmanager
def refusing() -> Iterator[str]:
    """A route on which nobody listens, for as long as it is entered."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """A route on which every further connection is neither accepted nor refused."""
    with closing(socket.socket()) as listening, closing(socket.socket()) as filling:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        filling.connect(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("dead", [refusing, black_hole])
async def test_a_dead_route_is_passed_by_and_the_one_that_worked_comes_first(
    dead: Callable[[], contextmanager[str]],
) -> None:
    asked: list[str] = []
    with dead() as nowhere:
        async with HttpModule() as module:
            calls = HttpCalls(lambda: (nowhere, module.route))
            await calls.call("proto-ver", b"-", 1.0)
            asked.append(calls.remote)
            await calls.fresh_session()
            await calls.call("proto-ver", b"-", SHORT)  # no time for the dead one
            await calls.close()
    assert asked == [module.route]


async def test_all_routes_are_named_when_none_works() -> None:
    with refusing() as one, refusing() as two, black_hole() as three:
        async with calling(one, two, three) as calls:
            error = await failure(calls, SHORT)
            assert calls.remote == three
    assert error.code is Code.LINK_SILENT
    assert error.detail == f"{one}: connection refused; {two}: connection refused; {three}: no answer"


async def test_without_routes_there_is_silence() -> None:
    async with calling() as calls:
        assert (await failure(calls)).code is Code.LINK_SILENT


async def test_names_are_not_looked_up() -> None:
    async with calling("localhost:80") as calls:
        error = await failure(calls)
    assert error.code is Code.LINK_SILENT
    assert "localhost:80" in error.detail


async def test_the_routes_are_those_of_the_moment() -> None:
    async with HttpModule() as module:
        with refusing() as nowhere:
            routes = (nowhere,)
            calls = HttpCalls(lambda: routes)
            assert (await failure(calls)).code is Code.LINK_SILENT
            routes = (module.route,)
            await calls.call("proto-ver", b"-", PATIENCE)
            await calls.close()


@pytest.mark.parametrize("zone", ["", "%1"])
async def test_ipv6_with_and_without_a_zone(zone: str) -> None:
    async with HttpModule(host="::1") as module:
        route = module.route.replace("]", f"{zone}]")
        async with calling(route) as calls:
            await calls.call("proto-ver", b"-", PATIENCE)
    assert module.posts[0].headers["host"] == module.route
    assert calls.remote == route
