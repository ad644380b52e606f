"""What changes, as it changes: server-sent events, a snapshot first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
from aiohttp import web

from ucm_provision.core import policy
from ucm_provision.engine.feed import Feed, Listener, OverrunError
from ucm_provision.wire import ModuleList, ModuleView

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class EventStreams:
    """Every open stream. A listener that reads too slowly is cut off and begins anew with a snapshot."""

    def __init__(self, feed: Feed, modules: Callable[[], list[ModuleView]]) -> None:
        self._feed = feed
        self._modules = modules
        self._open: set[asyncio.Task[object]] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers=_HEADERS)
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._open.add(task)
        try:
            await self._serve(request, stream)
        finally:
            self._open.discard(task)
        return stream

    async def end(self, _: web.Application) -> None:
        """Ends the streams, which would otherwise hold up the daemon's stop."""
        for task in self._open:
            task.cancel()

    async def _serve(self, request: web.Request, stream: web.StreamResponse) -> None:
        with suppress(ConnectionError, OverrunError), self._feed.listen() as changes:
            await stream.prepare(request)
            await stream.write(_event("snapshot", ModuleList(modules=self._modules())))
            while True:
                await stream.write(await _next(changes))


async def _next(changes: Listener) -> bytes:
    try:
        async with asyncio.timeout(policy.FEED_HEARTBEAT):
            return _event("module", await changes.next())
    except TimeoutError:
        return b": still here\n\n"


def _event(name: str, data: ModuleList | ModuleView) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
