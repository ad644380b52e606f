"""HTTP on a socket, with the platform's error envelope even where no call was reached."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from ssl import SSLContext

from aiohttp import web

from ucm_site_api.errors import ApiError, error_response, translated

# A call that is being answered takes less; what is left after that is an idle connection.
_SHUTDOWN_SECONDS = 2.0

# A body that was refused unread is read for this long, so that its sender gets to see the answer. aiohttp's own
# ten seconds also pass after the sender has gone, and keep a task beyond the end of the server.
_LINGERING_SECONDS = 0.5

# aiohttp logs malformed requests as it met them, token and all. Failures of calls are logged by the application.
_SILENT = logging.getLogger("ucm_site_api.http")
_SILENT.setLevel(logging.CRITICAL)

_MALFORMED = ("invalid_request", "The request is not well-formed HTTP.")
_FAILED = ("internal_error", "The server failed.")


class EnvelopeProtocol(web.RequestHandler):
    """Answers what never becomes a call (not HTTP, an unknown `Expect`) like every other refusal."""

    __slots__ = ()

    def handle_error(self, request: web.BaseRequest, status: int = 500, *_: object) -> web.StreamResponse:
        """An error that aiohttp met by itself; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun already")
        code, message = _MALFORMED if status < 500 else _FAILED
        response = error_response(ApiError(status, code, message))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that was raised outside of the application has a text of aiohttp's."""
        if isinstance(resp, web.HTTPError):
            resp = error_response(translated(resp))
        return await super().finish_response(request, resp, start_time)


@asynccontextmanager
async def served(app: web.Application, listening: socket, tls: SSLContext | None) -> AsyncIterator[None]:
    """Serve an application on a listening socket, and end its connections afterwards."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert runner.server is not None  # setup made it
    protocol = partial(
        EnvelopeProtocol,
        runner.server,
        loop=loop,
        access_log=_SILENT,
        logger=_SILENT,
        lingering_time=_LINGERING_SECONDS,
    )
    try:
        server = await loop.create_server(protocol, sock=listening, ssl=tls)
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()
