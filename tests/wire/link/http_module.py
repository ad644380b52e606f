"""A module's HTTP side: the simulated module's protocomm under the rules of protocomm_httpd.

Small where the simulated module on the LAN is complete: it can be told to misbehave at any request. One session,
which any request without its cookie ends; a refusal is a closed socket and leaves the session as it is; one socket,
and the next client's takes its place.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ucm_sim.faults import EndpointError
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.protocomm import Protocomm, Session, version_json
from ucm_sim.security2 import Security2
from ucm_sim.srp import VerifierForm, make_verifier

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "a7Kf-93Qp-Lm2x"
SALT = b"0123456789abcdef"
USERNAME = "wifiprov"
GENERATION = 8
_BODY_LARGEST = 4096
GROUP_BYTES = 384  # the first step carries a public value, the second only a proof


@dataclass(frozen=True)
class Post:
    endpoint: str
    body: bytes
    headers: dict[str, str]
    wire: Wire

    @property
    def cookie(self) -> str | None:
        return self.headers.get("cookie")


Misdeed = Callable[["HttpModule", Post], None]


class HttpModule:
    """Listens while it is entered.

    Attributes:
        at: What to do with the request of that number (from 0) instead of answering it.
        always: What to do with every request of that endpoint instead of answering it.
        posts: Everything that arrived whole.
        asked: The configuration requests that ran.
        route: Where it listens.
    """

    def __init__(
        self,
        *,
        pop: str = POP,
        username: str = USERNAME,
        salt: bytes = SALT,
        form: VerifierForm = VerifierForm.STANDARD,
        hardware_id: str = HARDWARE_ID,
        announced: str | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.at: dict[int, Misdeed] = {}
        self.always: dict[str, Misdeed] = {}
        self.posts: list[Post] = []
        self.asked: list[str] = []
        self.securities: list[Security2] = []
        self.cookie: int | None = None
        self.wires: list[Wire] = []
        self.route = ""
        self._hardware_id, self._host = hardware_id, host
        self._verifier = make_verifier(username, pop, salt, form)
        self._socket_session: Wire | None = None
        self._stirred = asyncio.Event()
        self.version = version_json(announced or hardware_id, 2304)
        self._protocomm = Protocomm(
            self.version,
            {
                "ucm-info": self._info,
                "ucm-link": self._link,
                "ucm-config": self._config,
                "ucm-identify": lambda *_: pb.ConfigReply(status=pb.OK).SerializeToString(),
            },
            self._new_security,
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Wire(self), self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.route = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.close()
        for wire in self.wires:
            wire.transport.abort()
        await self._server.wait_closed()

    @property
    def endpoints(self) -> list[str]:
        return [post.endpoint for post in self.posts]

    @property
    def proofs(self) -> int:
        """How many proofs were presented: in each session the second step of the handshake."""
        sessions = [post for post in self.posts if post.endpoint == "prov-session"]
        return sum(len(post.body) < GROUP_BYTES for post in sessions)

    async def unconnected(self) -> None:
        """Waits until no client is connected."""
        while any(not wire.transport.is_closing() for wire in self.wires):
            self._stirred.clear()
            await self._stirred.wait()

    async def heard(self, count: int) -> None:
        """Waits until ``count`` requests have arrived in all."""
        async with asyncio.timeout(5):
            while len(self.posts) < count:
                self._stirred.clear()
                await self._stirred.wait()

    # ---- protocomm_httpd ----

    def connected(self, wire: Wire) -> None:
        for other in self.wires:
            other.transport.close()
        self.wires.append(wire)

    def disconnected(self) -> None:
        self._stirred.set()

    def receive(self, post: Post) -> None:
        self.posts.append(post)
        self._stirred.set()
        misdeed = self.at.get(len(self.posts) - 1) or self.always.get(post.endpoint)
        if misdeed is not None:
            misdeed(self, post)
        else:
            self.answer(post)

    def answer(self, post: Post) -> None:
        reply = self.run(post)
        if reply is None:
            post.wire.transport.close()
        else:
            post.wire.transport.write(reply)

    def run(self, post: Post) -> bytes | None:
        """The whole answer, None where protocomm refuses."""
        opened = not self._goes_on(post)
        if opened:
            self._open_session(post.wire)
        if not 0 < len(post.body) <= _BODY_LARGEST or self.cookie is None:
            return None
        try:
            body = self._protocomm.call(self.cookie, post.endpoint, post.body)
        except EndpointError:
            return None
        return ok(body, f"Set-Cookie: session={self.cookie}\r\n" if opened else "")

    def steal(self) -> None:
        """Somebody else's ``proto-ver``."""
        self._open_session(None)
        assert self.cookie is not None
        self._protocomm.call(self.cookie, "proto-ver", b"-")

    def _goes_on(self, post: Post) -> bool:
        if post.cookie is None:
            return self._socket_session is post.wire
        return self.cookie is not None and post.cookie == f"session={self.cookie}"

    def _open_session(self, wire: Wire | None) -> None:
        self.cookie = secrets.randbelow(2**32 - 1) + 1
        self._socket_session = wire

    # ---- the firmware ----

    def _new_security(self) -> Security2:
        self.securities.append(WatchedSecurity(lambda: self._verifier, os.urandom))
        return self.securities[-1]

    def _info(self, _session: Session, _body: bytes) -> bytes:
        return pb.Info(status=pb.OK, hardware_id=self._hardware_id, product=pb.UCM).SerializeToString()

    def _link(self, _session: Session, _body: bytes) -> bytes:
        state = pb.LinkState(status=pb.OK, phase=pb.ONLINE, reason=pb.NONE, generation=GENERATION)
        return state.SerializeToString()

    def _config(self, _session: Session, body: bytes) -> bytes:
        request = pb.ConfigRequest.FromString(body)
        self.asked.append(request.WhichOneof("request") or "")
        reply = pb.ConfigReply(status=pb.OK)
        if request.HasField("reserve"):
            reply.reservation.owner = request.reserve.owner
        if request.HasField("chunk"):
            reply.next_offset = request.chunk.offset + len(request.chunk.payload)
        if request.HasField("commit"):
            reply.generation = GENERATION
        return reply.SerializeToString()


class WatchedSecurity(Security2):
    """Remembers under which cipher and random bytes its session was."""

    def opens(self, body: bytes, counter: int) -> bool:
        if not isinstance(self._cipher, AESGCM) or len(body) <= 16:
            return False
        try:
            self._cipher.decrypt(self._nonce_prefix + struct.pack(">I", counter), body, None)
        except InvalidTag:
            return False
        return True


def assert_each_nonce_once(module: HttpModule) -> None:
    """No two of our messages were encrypted with the same key and nonce, whether the module ran them or not."""
    bodies = {post.body for post in module.posts if post.endpoint.startswith("ucm-")}
    for security in module.securities:
        assert isinstance(security, WatchedSecurity)
        for counter in range(1, 2 * len(bodies) + 2):
            assert sum(security.opens(body, counter) for body in bodies) <= 1


def assert_nothing_sent_twice(module: HttpModule) -> None:
    bodies = [post.body for post in module.posts if post.endpoint != "proto-ver"]
    assert len(bodies) == len(set(bodies))


class Wire(asyncio.Protocol):
    """One connection to the module."""

    transport: asyncio.Transport

    def __init__(self, module: HttpModule) -> None:
        self._module = module
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._module.connected(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        request_line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        if len(rest) < length:
            return
        assert len(head) < 512, "what ESP-IDF v5.4 takes"
        assert len(headers) == len(lines), "each header once"
        method, target, version = request_line.split(" ")
        assert (method, version) == ("POST", "HTTP/1.1")
        self._received = rest[length:]
        self._module.receive(Post(target.removeprefix("/"), rest[:length], headers, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._module.disconnected()

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def ok(body: bytes, headers: str = "") -> bytes:
    """An answer as protocomm_httpd writes it."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


# ---- misdeeds ----------------------------------------------------------------------------------------------------


def raw(data: bytes, *, close: bool = False) -> Misdeed:
    """Answers ``data``, whatever it is, perhaps as the last thing."""

    def misdeed(_module: HttpModule, post: Post) -> None:
        post.wire.transport.write(data)
        if close:
            post.wire.transport.close()

    return misdeed


def reset(_module: HttpModule, post: Post) -> None:
    """The request is lost, and the connection with it."""
    post.wire.reset()


def reset_after_running(module: HttpModule, post: Post) -> None:
    """The request has run, and its answer is lost with the connection."""
    module.run(post)
    post.wire.reset()


def never_answer(_module: HttpModule, _post: Post) -> None: ...


def stolen_before(module: HttpModule, post: Post) -> None:
    """Somebody else's request came in between; this one then runs as it may."""
    module.steal()
    module.answer(post)


def refuse(_module: HttpModule, post: Post) -> None:
    """As protocomm refuses: the socket closes, the session stays."""
    post.wire.transport.close()


def dribble(module: HttpModule, post: Post) -> None:
    """The answer comes byte by byte."""
    reply = module.run(post)
    assert reply is not None
    loop = asyncio.get_running_loop()

    def send(rest: bytes) -> None:
        post.wire.transport.write(rest[:1])
        if rest[1:]:
            loop.call_soon(send, rest[1:])

    send(reply)
