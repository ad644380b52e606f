"""The HTTP carrier at its sockets: the rules of protocomm_httpd, one by one."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest

from tests.sim.host import SrpClient
from tests.sim.lan_host import Dropped, LanHost, Socket, lan_opened, lan_secured, post
from tests.sim.sample import HARDWARE_ID, POP
from ucm_sim import Identity, LanModule, LanSegment, ScaledClock
from ucm_sim.messages import protocomm_pb2 as proto
from ucm_sim.messages import ucm_link_pb2 as pb

VERSION = post("proto-ver", b"-")


@pytest.fixture
async def module(identity: Identity) -> AsyncIterator[LanModule]:
    segment = LanSegment(mdns=False)
    async with segment, LanModule(identity, None, segment, boot_s=0, clock=ScaledClock(20)) as module:
        await module.until(lambda module: module.is_listening, timeout=5)
        yield module


@pytest.fixture
async def socket(module: LanModule) -> AsyncIterator[Socket]:
    async with await Socket.open(module.port) as socket:
        yield socket


@pytest.fixture
async def host(module: LanModule) -> AsyncIterator[LanHost]:
    async with lan_secured(module.port, POP) as host:
        yield host


# ---- calls ----


async def test_a_conversation_over_one_socket(module: LanModule, socket: Socket) -> None:
    first = await socket.send(VERSION)
    assert first.status == 200
    assert json.loads(first.body)["ucm"]["id"] == HARDWARE_ID
    host = LanHost(socket)
    host.cookie = first.headers["Set-Cookie"]
    await host.shake_hands(POP)
    assert (await host.info()).hardware_id == HARDWARE_ID
    assert (module.posts, module.sessions_opened, module.sessions_stolen) == (4, 1, 0)


async def test_only_the_first_answer_sets_the_cookie(socket: Socket) -> None:
    first = await socket.send(VERSION)
    name, _, number = first.headers["Set-Cookie"].partition("=")
    assert name == "session"
    assert 0 <= int(number) < 2**32
    second = await socket.send(post("proto-ver", b"-", f"Cookie: session={number}"))
    assert "Set-Cookie" not in second.headers


async def test_requests_in_pieces_and_back_to_back(socket: Socket) -> None:
    for byte in VERSION[:-1]:
        socket.writer.write(bytes([byte]))
        await socket.writer.drain()
    assert (await socket.send(VERSION[-1:] + VERSION + VERSION)).status == 200
    assert [(await socket.reply()).status for _ in range(2)] == [200, 200]


async def test_a_client_may_ask_for_the_end(socket: Socket) -> None:
    reply = await socket.send(post("proto-ver", b"-", "Connection: close"))
    assert reply.status == 200
    assert await socket.is_closed()


# ---- sizes ----


async def test_4096_bytes_are_taken(socket: Socket) -> None:
    assert (await socket.send(post("proto-ver", b"-" * 4096))).status == 200


@pytest.mark.parametrize("sent", [b"", b"-" * 4097])
async def test_4097_bytes_reset_the_connection(socket: Socket, sent: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        await socket.send(post("proto-ver", sent, length=4097))


@pytest.mark.parametrize("length", ["Content-Length: 0", "Content-Length: -1", "Content-Length: one", "X-Nothing: 1"])
async def test_a_body_is_wanted(socket: Socket, length: str) -> None:
    with pytest.raises((Dropped, ConnectionResetError)):
        await socket.send(f"POST /proto-ver HTTP/1.1\r\n{length}\r\n\r\n".encode())


async def test_a_long_head(socket: Socket) -> None:
    with pytest.raises((Dropped, ConnectionResetError)):
        await socket.send(b"POST /proto-ver HTTP/1.1\r\nX-Long: " + b"x" * 1024)


# ---- errors close the socket and say nothing ----


@pytest.mark.parametrize("endpoint", ["nothing", "", "prov-scan", "ucm-info", "ucm-config", "prov-session"])
async def test_what_is_refused(socket: Socket, endpoint: str) -> None:
    with pytest.raises(Dropped):
        await socket.send(post(endpoint, b"-" * 20))


@pytest.mark.parametrize("request_line", ["GET /proto-ver HTTP/1.1", "POST proto-ver HTTP/1.1", "\x16\x03\x01"])
async def test_what_is_no_post(socket: Socket, request_line: str) -> None:
    with pytest.raises((Dropped, ConnectionResetError)):
        await socket.send(f"{request_line}\r\n\r\n".encode())


async def test_a_body_that_does_not_decrypt(host: LanHost) -> None:
    with pytest.raises(Dropped):
        await host.call("ucm-info", b"\x5a" * 40)


async def test_a_wrong_proof(module: LanModule) -> None:
    async with lan_opened(module.port) as host:
        with pytest.raises(Dropped):
            await host.shake_hands("wrong")
    async with lan_secured(module.port, POP) as host:
        assert (await host.info()).status == pb.OK


async def test_a_public_key_of_zero(module: LanModule) -> None:
    first = proto.S2SessionCmd0(client_username=b"wifiprov", client_pubkey=bytes(384))
    async with lan_opened(module.port) as host:
        with pytest.raises(Dropped):
            await host.step(proto.Sec2Payload(msg=proto.S2Session_Command0, sc0=first))


# ---- whose session it is ----


async def test_without_a_cookie_the_socket_counts(module: LanModule, socket: Socket) -> None:
    assert "Set-Cookie" in (await socket.send(VERSION)).headers
    assert "Set-Cookie" not in (await socket.send(VERSION)).headers
    assert module.sessions_opened == 1


async def test_once_it_has_come_the_cookie_alone_counts(module: LanModule, socket: Socket) -> None:
    cookie = (await socket.send(VERSION)).headers["Set-Cookie"]
    await socket.send(post("proto-ver", b"-", f"Cookie: {cookie}"))
    assert (await socket.send(VERSION)).headers["Set-Cookie"] != cookie
    assert (module.sessions_opened, module.sessions_stolen) == (2, 1)


async def test_the_cookie_continues_a_session_over_another_socket(module: LanModule, host: LanHost) -> None:
    async with await Socket.open(module.port) as other:
        host.socket = other
        assert (await host.info()).status == pb.OK


@pytest.mark.parametrize("spoiled", ["{};", " x{}", "{}0", "x=1; {}", "Session{}"])
async def test_the_cookie_must_be_exact(module: LanModule, host: LanHost, spoiled: str) -> None:
    host.cookie = spoiled.format(host.cookie)[:19]
    with pytest.raises(Dropped):
        await host.info()
    assert module.sessions_stolen == 1


async def test_a_cookie_that_does_not_fit_the_buffer_is_none(module: LanModule, socket: Socket) -> None:
    await socket.send(VERSION)
    reply = await socket.send(post("proto-ver", b"-", "Cookie: session=1; theme=dark"))
    assert "Set-Cookie" not in reply.headers
    assert module.sessions_opened == 1


async def test_any_post_of_another_client_ends_the_session(module: LanModule, host: LanHost) -> None:
    async with await Socket.open(module.port) as stranger:
        assert "Set-Cookie" in (await stranger.send(VERSION)).headers
        assert await host.socket.is_closed()
    async with await Socket.open(module.port) as again:
        host.socket = again
        with pytest.raises(Dropped):
            await host.info()
    # The stranger's, and then the one that the unknown cookie opened.
    assert (module.sessions_opened, module.sessions_stolen) == (3, 2)


async def test_a_refused_post_ends_the_session_too(module: LanModule, host: LanHost) -> None:
    async with await Socket.open(module.port) as stranger:
        with pytest.raises(Dropped):
            await stranger.send(post("nothing", b"-"))
    async with await Socket.open(module.port) as again:
        host.socket = again
        with pytest.raises(Dropped):
            await host.info()


async def test_a_second_connection_purges_the_first(module: LanModule, socket: Socket) -> None:
    await socket.send(VERSION)
    async with await Socket.open(module.port) as second:
        assert await socket.is_closed()
        assert module.sockets_purged == 1
        # Only a request opens a session.
        assert module.sessions_opened == 1
        assert (await second.send(VERSION)).status == 200


async def test_a_failed_step_leaves_the_module_usable(module: LanModule, host: LanHost) -> None:
    with pytest.raises(Dropped):
        await host.prove(SrpClient("wifiprov", POP))
    async with lan_secured(module.port, POP) as fresh:
        assert (await fresh.info()).status == pb.OK


async def test_a_reboot_ends_everything(module: LanModule, host: LanHost) -> None:
    await module.reboot()
    assert await host.socket.is_closed()
    await module.until(lambda module: module.is_listening, timeout=5)
    async with await Socket.open(module.port) as again:
        host.socket = again
        with pytest.raises(Dropped):
            await host.info()


async def test_without_power_nobody_listens(module: LanModule) -> None:
    port = module.port
    await module.power_off()
    with pytest.raises(ConnectionRefusedError):
        await Socket.open(port)
    await module.power_on()
    await module.until(lambda module: module.is_listening, timeout=5)
    assert module.port == port
    async with lan_secured(port, POP) as host:
        assert (await host.info()).status == pb.OK


async def test_many_clients_at_once_do_no_harm(module: LanModule) -> None:
    async def knock() -> None:
        async with await Socket.open(module.port) as socket:
            socket.writer.write(VERSION)
            await socket.is_closed()

    async with asyncio.TaskGroup() as tasks:
        knocking = [tasks.create_task(knock()) for _ in range(20)]
        for served in itertools.islice(asyncio.as_completed(knocking), 19):
            await served
        # One stays open until somebody else comes.
        async with lan_secured(module.port, POP) as host:
            assert (await host.info()).status == pb.OK


async def test_a_request_wakes_who_waits_for_it(module: LanModule, host: LanHost) -> None:
    waiting = asyncio.create_task(module.until(lambda module: module.executed("reserve") == 1, timeout=5))
    await host.reserve()
    await waiting
