"""The device link's POSTs over one TCP connection, as protocomm's HTTP server takes them.

Our own few lines over an asyncio protocol, not aiohttp's client: a POST costs about 85 µs of CPU against 190,
twenty of them for every module, and a client that has no redirects, proxies, decompression, cookie jar or
retries needs none of them switched off. What the server may answer is read in
:mod:`ucm_provision.transports.http_answers`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports.http_answers import Answer, AnswerReader

# Addresses only: a name would be looked up, and whoever answers that decides where we connect.
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class HttpCalls:
    """One module's HTTP side as a :class:`ucm_provision.core.ports.EndpointCalls`.

    Nothing is ever sent twice. A connection that the module closed between two calls is opened again, with the
    session's cookie: protocomm's sessions outlive their sockets, and a server may close an idle one.

    Args:
        routes: The module's present routes, as in :class:`ucm_provision.core.model.Endpoint`; asked whenever a
            connection is opened.
    """

    def __init__(self, routes: Callable[[], tuple[str, ...]]) -> None:
        self._routes = routes
        self._remote = ""
        self._worked = ""
        self._session: str | None = None
        self._connection: _Connection | None = None

    @property
    def remote(self) -> str:
        return self._remote

    @property
    def session(self) -> str | None:
        return self._session

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        """See :meth:`ucm_provision.core.ports.EndpointCalls.call`. Raises ValueError for a body no module takes."""
        if not 0 < len(body) <= policy.HTTP_BODY_LARGEST:
            raise ValueError(f"a request has 1 to {policy.HTTP_BODY_LARGEST} bytes, not {len(body)}")
        until = asyncio.get_running_loop().time() + seconds
        connection = await self._connected(until)
        answer = await connection.exchange(self._request(endpoint, body), until)
        self._session = answer.session or self._session
        return answer.body

    async def fresh_session(self) -> None:
        self._session = None
        await self._disconnect()

    async def close(self) -> None:
        self._worked = ""
        await self.fresh_session()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _request(self, endpoint: str, body: bytes) -> bytes:
        # protocomm compares the whole Cookie header, so there is nothing in it beside the session.
        cookie = f"Cookie: session={self._session}\r\n" if self._session else ""
        head = (
            f"POST /{endpoint} HTTP/1.1\r\nHost: {_without_zone(self._remote)}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n{cookie}\r\n"
        )
        return head.encode("ascii") + body

    async def _connected(self, until: float) -> _Connection:
        if self._connection is None or not self._connection.is_open:
            await self._disconnect()
            self._connection = await self._connect(until)
        return self._connection

    async def _connect(self, until: float) -> _Connection:
        """The first route that accepts, one after the other.

        Not at the same time: a module has one socket, and the loser of a race would cut off the winner.
        """
        clock = asyncio.get_running_loop().time
        until = min(until, clock() + policy.HTTP_CONNECT_DEADLINE)
        routes, failures = self._in_order(), []
        for tried, route in enumerate(routes):
            self._remote = route
            try:
                async with asyncio.timeout((until - clock()) / (len(routes) - tried)):
                    connection = await _open(route)
            except OSError as error:
                failures.append(f"{route}: {_reason(error)}")
            else:
                self._worked = route
                return connection
        raise UcmError(Code.LINK_SILENT, "; ".join(failures) or "no address of the module is known")

    def _in_order(self) -> list[str]:
        """The route that worked goes first, for as long as it is one: a dead one before it costs seconds each time."""
        routes = sorted(self._routes(), key=lambda route: route != self._worked)
        return routes[: policy.HTTP_ROUTES_TRIED]


class _Connection(asyncio.Protocol):
    """One TCP connection to ``route``, with one request under way at a time."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, until: float) -> Answer:
        """Sends ``request``; returns its answer, awaited until that loop time.

        Whatever else happens, cancellation among it, closes the connection: the answer might still come, and
        would be taken for that of the next request.

        Raises:
            UcmError: ``link_silent``, ``link_lost`` or ``link_garbage``.
        """
        assert self._transport is not None, "a connection is made before it is used"
        self._reader = AnswerReader()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            answer = await self._answered(until)
        except BaseException:
            self._transport.abort()
            raise
        if answer.last:
            self._transport.close()
        return answer

    async def _answered(self, until: float) -> Answer:
        assert self._answer is not None, "made with the request"
        try:
            async with asyncio.timeout_at(until):
                return await self._answer
        except TimeoutError:
            if self._reader.begun:
                raise self._failure(Code.LINK_LOST, "stopped in the middle of an answer") from None
            raise self._failure(Code.LINK_SILENT, "does not answer") from None

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self._abort()  # nobody asked, so whatever this is, it must not be taken for the next answer
            return
        try:
            answer = self._reader.feed(data)
        except UcmError as error:
            self._answer.set_exception(self._failure(error.code, error.detail))
            return
        if answer is not None:
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            how = "closed the connection" if exc is None else _reason(exc)
            self._answer.set_exception(self._failure(Code.LINK_LOST, f"{how} before the answer was whole"))
        if not self._closed.done():
            self._closed.set_result(None)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _failure(self, code: Code, what: str) -> UcmError:
        return UcmError(code, f"{self._route}: {what}")


async def _open(route: str) -> _Connection:
    host, _, port = route.rpartition(":")
    loop = asyncio.get_running_loop()
    address = host.strip("[]")
    _, connection = await loop.create_connection(lambda: _Connection(route), address, int(port), flags=_NUMERIC)
    return connection


def _without_zone(route: str) -> str:
    """``route`` as a Host header has it: the zone of a link-local address means nothing to the other side."""
    host, bracket, port = route.partition("]")
    return host.partition("%")[0] + bracket + port


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and error.args == ():
        return "no answer"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number and number > 0 else str(error) or type(error).__name__
