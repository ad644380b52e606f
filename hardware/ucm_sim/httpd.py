"""The module's HTTP server, as much of ESP-IDF's as protocomm needs: POST, keep-alive, very few sockets.

What it refuses it says nothing about: the socket closes without a status line.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST_BODY = 4096
_LONGEST_HEAD = 1024
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What of a request's head matters here. `length` is 0 where none was given."""

    endpoint: str
    length: int
    cookie: str | None
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes = field(repr=False)
    cookie: str | None = None

    def encode(self) -> bytes:
        lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(self.body)}"]
        if self.cookie is not None:
            lines.append(f"Set-Cookie: {self.cookie}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class RefusedError(Exception):
    """The request gets no answer; its socket closes."""


# answer(socket, head, body): the socket is an object that identifies the connection while it lasts.
Handler = Callable[[object, Head, bytes], Answer]


def parse_head(block: bytes) -> Head:
    """Parse a head without the empty line at its end; raises RefusedError."""
    request, *lines = block.decode("latin-1").split("\r\n")
    match request.split(" "):
        case ["POST", path, version] if path.startswith("/") and version.startswith("HTTP/1."):
            headers = dict(map(_header, lines))
            return Head(path[1:], _length(headers), headers.get("cookie"), headers.get("connection") != "close")
        case _:
            raise RefusedError("not a POST")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def _length(headers: dict[str, str]) -> int:
    given = headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() else 0


class HttpServer:
    """Serves while it is started. Of more than `most_sockets` connections the one used longest ago is closed."""

    def __init__(self, handler: Handler, most_sockets: int, counts: Counter[str]) -> None:
        self._handler = handler
        self._most_sockets = most_sockets
        self._connections: dict[_Connection, None] = {}  # the one used longest ago first
        self._listening: asyncio.Server | None = None
        self._counts = counts

    async def start(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # In two steps: a `stop` that cuts in finds the server.
        self._listening = await loop.create_server(lambda: _Connection(self), sock=listening, start_serving=False)
        await self._listening.start_serving()

    def stop(self) -> None:
        """Stop listening and close every connection, whatever goes on there."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in list(self._connections):
            connection.close()

    def opened(self, connection: "_Connection") -> None:
        self._connections[connection] = None
        if len(self._connections) > self._most_sockets:
            self._counts["sockets-purged"] += 1
            next(iter(self._connections)).close()

    def closed(self, connection: "_Connection") -> None:
        self._connections.pop(connection, None)

    def answer(self, connection: "_Connection", head: Head, body: bytes) -> Answer:
        """Answer a request; raises RefusedError."""
        self.closed(connection)
        self._connections[connection] = None
        return self._handler(connection, head, body)


class _Connection(asyncio.Protocol):
    """One socket: requests out of a byte stream."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while self._transport is not None and self._serve(self._transport):
                pass
        except RefusedError:
            # As on any system: closing a socket with unread bytes in it resets the connection.
            self.close(reset=bool(self._received))

    def close(self, *, reset: bool = False) -> None:
        """Close the socket at once; with `reset` the peer sees a connection reset."""
        transport, self._transport = self._transport, None
        self._server.closed(self)
        if transport is None:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()

    def _serve(self, transport: asyncio.Transport) -> bool:
        """Answer the next request and return whether another may follow; raises RefusedError."""
        request = self._take_request()
        if request is None:
            return False
        transport.write(self._server.answer(self, *request).encode())
        if not request[0].keep_alive:
            transport.close()
        return request[0].keep_alive

    def _take_request(self) -> tuple[Head, bytes] | None:
        """The next request if all of it is there, without its body where that is too long; raises RefusedError."""
        end = self._received.find(_END_OF_HEAD)
        if (len(self._received) if end < 0 else end) > _LONGEST_HEAD:
            raise RefusedError("the head is too long")
        if end < 0:
            return None
        head, body_at = parse_head(bytes(self._received[:end])), end + len(_END_OF_HEAD)
        if head.length > LONGEST_BODY:
            return head, b""
        if len(self._received) < body_at + head.length:
            return None
        body = bytes(self._received[body_at : body_at + head.length])
        del self._received[: body_at + head.length]
        return head, body
