"""What changes, as it changes: server-sent events, beginning with a snapshot or with what was missed.

Every change of a module has a number. Who comes back with the last one that they saw gets the changes since, as long
as they are kept; else a snapshot. What is told beside the modules has no number: it comes on every new stream, and
again whenever it has changed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import msgspec
from aiohttp import web

from ucm_provision.core import policy
from ucm_provision.engine.feed import Channel, Feed, Listener, OverrunError
from ucm_provision.wire import ModuleList, ModuleView

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
_ALIVE = b"event: alive\ndata: {}\n\n"
_ID = re.compile(r"(?P<run>[0-9a-f]{8})-(?P<number>[0-9]{1,15})")

# Whether who listens may go on listening.
Welcome = Callable[[], bool]
# Of a request whose welcome may be withdrawn.
WELCOME = web.RequestKey[Welcome]("welcome")


class News:
    """Numbers what happens, keeps the latest of it, and hands it to every stream.

    Args:
        modules: All modules as they are now.
        beside: What else is told, by the name of its event.
    """

    def __init__(
        self, feed: Feed, modules: Callable[[], list[ModuleView]], beside: Mapping[str, Callable[[], object]]
    ) -> None:
        self._feed = feed
        self._modules = modules
        self._beside = beside
        self._channel = Channel[bytes]()
        self._listened = asyncio.Event()
        self._kept: deque[bytes] = deque(maxlen=policy.EVENTS_KEPT)
        self._run = secrets.token_hex(4)
        self._number = 0

    async def run(self) -> None:
        """Tells what happens, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="news of modules")
            group.create_task(self._look_beside(), name="news beside modules")

    @contextmanager
    def listen(self, since: str) -> Iterator[tuple[bytes, Listener[bytes]]]:
        """What a stream begins with, and what it goes on with. ``since``: the last id that was seen, or nothing."""
        with self._channel.listen() as events:
            self._listened.set()
            yield self._beginning(since), events

    async def _follow(self) -> None:
        while True:
            with suppress(OverrunError), self._feed.listen() as changes:
                self._begin_anew()
                async for view in changes:
                    self._tell(view)

    def _tell(self, view: ModuleView) -> None:
        self._number += 1
        event = self._with_id(_event("module", view))
        self._kept.append(event)
        self._channel.publish(event)

    def _begin_anew(self) -> None:
        """Something may have been missed, so that nobody can go on from where they are."""
        self._run, self._number = secrets.token_hex(4), 0
        self._kept.clear()
        self._channel.cut()

    async def _look_beside(self) -> None:
        """Nobody tells when it changes, so it is looked at, as long as somebody listens."""
        told: dict[str, bytes] = {}
        while True:
            await self._listened.wait()
            await asyncio.sleep(policy.BESIDE_EVERY)
            for name, look in self._beside.items():
                event = _event(name, look())
                if told.get(name) != event:
                    told[name] = event
                    self._channel.publish(event)
            if not self._channel.is_heard:
                self._listened.clear()

    def _beginning(self, since: str) -> bytes:
        missed = self._missed(since)
        if missed is None:
            missed = [self._with_id(_event("snapshot", ModuleList(modules=self._modules())))]
        return b"".join([*missed, *(_event(name, look()) for name, look in self._beside.items())])

    def _missed(self, since: str) -> list[bytes] | None:
        """The changes after that number, or None where that cannot be told any more."""
        found = _ID.fullmatch(since)
        if found is None or found["run"] != self._run:
            return None
        behind = self._number - int(found["number"])
        return list(self._kept)[len(self._kept) - behind :] if 0 <= behind <= len(self._kept) else None

    def _with_id(self, event: bytes) -> bytes:
        return b"id: %s-%d\n%s" % (self._run.encode(), self._number, event)


class EventStreams:
    """Every open stream. A listener that reads too slowly is cut off, and comes back for what was missed."""

    def __init__(self, news: News) -> None:
        self._news = news
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
        welcome: Welcome = request.get(WELCOME, _always)
        with suppress(ConnectionError, OverrunError), self._news.listen(_since(request)) as (beginning, events):
            await stream.prepare(request)
            await stream.write(beginning)
            while welcome():
                await stream.write(await _next(events))


def _always() -> bool:
    return True


def _since(request: web.Request) -> str:
    """A browser sends the header when it reconnects by itself; a page that reconnects cannot, and asks so."""
    return request.headers.get("Last-Event-ID") or request.query.get("since", "")


async def _next(events: Listener[bytes]) -> bytes:
    try:
        async with asyncio.timeout(policy.FEED_HEARTBEAT):
            return await events.next()
    except TimeoutError:
        return _ALIVE


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
