"""The event stream: numbered, resumed where it was cut, begun anew where something would be missing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.unit.control.known_modules import KnownModules, plant
from ucm_provision.control.events import EventStreams, News
from ucm_provision.control.listening import serving
from ucm_provision.core import policy
from ucm_provision.engine.feed import Feed

DEADLINE = 10.0


class Box:
    """News with what they are told of, served over TCP."""

    def __init__(self) -> None:
        self.known: KnownModules = plant()
        self.feed = Feed()
        self.paused: str | None = None
        self.news = News(self.feed, self.known.views, {"status": lambda: {"paused": self.paused}})
        self.streams = EventStreams(self.news)
        self.port = 0

    async def tell(self, *names: str) -> None:
        """The first module is called one thing after the other; returns when that was numbered."""
        for name in names:
            view = self.known.views()[0]
            view["name"] = name
            self.feed.publish(view)
        await settle()

    @asynccontextmanager
    async def stream(self, since: str = "", **headers: str) -> AsyncIterator[Stream]:
        url = f"http://127.0.0.1:{self.port}/events" + (f"?since={since}" if since else "")
        async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
            assert answer.content_type == "text/event-stream"
            yield Stream(answer)


class Stream:
    """``seen``: the last number."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.seen = ""

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event."""
        async with asyncio.timeout(DEADLINE):
            lines = (await self._answer.content.readuntil(b"\n\n")).decode().splitlines()
        fields = dict(line.split(": ", 1) for line in lines if line)
        self.seen = fields.get("id", self.seen)
        return fields["event"], json.loads(fields["data"])

    async def until(self, name: str) -> Any:
        while True:
            event, data = await self.next()
            if event == name:
                return data

    async def names(self, count: int) -> list[str]:
        return [(await self.until("module"))["name"] for _ in range(count)]

    async def ends(self) -> None:
        with suppress(aiohttp.ClientPayloadError):  # it may be cut off in the middle
            async with asyncio.timeout(DEADLINE):
                await self._answer.content.read()


async def settle() -> None:
    """Lets everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    box = Box()
    app = web.Application()
    app.on_shutdown.append(box.streams.end)
    app.router.add_get("/events", box.streams.answer)
    listener = socket.create_server(("127.0.0.1", 0))
    box.port = listener.getsockname()[1]
    async with serving(app, listener), asyncio.TaskGroup() as group:
        running = group.create_task(box.news.run())
        await settle()
        yield box
        running.cancel()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after a pause comes at once."""
    monkeypatch.setattr(policy, "BESIDE_EVERY", 0.01)
    monkeypatch.setattr(policy, "FEED_HEARTBEAT", 0.05)


async def test_a_stream_begins_with_a_snapshot_and_what_is_told_beside_it(box: Box) -> None:
    async with box.stream() as stream:
        assert await stream.next() == ("snapshot", {"modules": box.known.views()})
        assert await stream.next() == ("status", {"paused": None})
        await box.tell("Boiler 1")
        assert await stream.names(1) == ["Boiler 1"]


async def test_who_comes_back_gets_what_was_missed_and_no_snapshot(box: Box) -> None:
    async with box.stream() as stream:
        await box.tell("one")
        assert await stream.names(1) == ["one"]
    await box.tell("two", "three")
    async with box.stream(since=stream.seen) as again:
        assert [(await again.next())[1].get("name") for _ in range(2)] == ["two", "three"]
        assert (await again.next())[0] == "status"
        await box.tell("four")
        assert await again.names(1) == ["four"]
        assert again.seen.endswith("-4")


async def test_who_missed_nothing_gets_nothing_twice(box: Box) -> None:
    async with box.stream() as stream:
        await stream.until("snapshot")
    async with box.stream(since=stream.seen) as again:
        assert (await again.next())[0] == "status"


async def test_a_browser_that_reconnects_by_itself_sends_a_header(box: Box) -> None:
    async with box.stream() as stream:
        await stream.until("snapshot")
    await box.tell("one")
    async with box.stream(**{"Last-Event-ID": stream.seen}) as again:
        assert await again.names(1) == ["one"]


async def test_who_was_away_for_too_long_takes_a_snapshot(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    async with box.stream() as stream:
        await stream.until("snapshot")
    for number in range(policy.EVENTS_KEPT + 1):
        await box.tell(f"number {number}")
    async with box.stream(since=stream.seen) as again:
        assert (await again.next())[0] == "snapshot"


@pytest.mark.parametrize(
    "since",
    ["0", "-", "00000000-0", "ffffffff-1", "RUN-1", "RUN--1", "RUN-x", "RUN-99999999999999999999", "%0a", "x" * 4000],
)
async def test_numbers_of_another_run_or_of_nobody_mean_a_snapshot(box: Box, since: str) -> None:
    async with box.stream() as stream:
        await stream.until("snapshot")
    run = stream.seen.partition("-")[0]
    async with box.stream(since=since.replace("RUN", run)) as again:
        assert (await again.next())[0] == "snapshot"


async def test_after_a_gap_everybody_begins_anew(box: Box) -> None:
    """The feed cut us off, so nobody knows what was missed."""
    async with box.stream() as stream:
        await stream.until("snapshot")
        for number in range(policy.FEED_QUEUE + 1):
            box.feed.publish(box.known.views()[number % 3])
        await stream.ends()
    async with box.stream(since=stream.seen) as again:
        assert (await again.next())[0] == "snapshot"
        await box.tell("one")
        assert await again.names(1) == ["one"]


@pytest.mark.usefixtures("soon")
async def test_what_nobody_announces_is_told_when_it_has_changed(box: Box) -> None:
    async with box.stream() as stream:
        assert await stream.until("status") == {"paused": None}
        box.paused = "the token is bad"
        assert await stream.until("status") == {"paused": "the token is bad"}


@pytest.mark.usefixtures("soon")
async def test_silence_is_broken_so_that_either_end_knows_the_other_is_there(box: Box) -> None:
    async with box.stream() as stream:
        await stream.until("status")
        assert await stream.until("alive") == {}


async def test_streams_end_with_the_daemon(box: Box) -> None:
    async with box.stream() as stream:
        await stream.until("snapshot")
        await box.streams.end(web.Application())
        await stream.ends()
