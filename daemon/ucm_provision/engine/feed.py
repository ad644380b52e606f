"""What happens, told to whoever listens: the command line, the page, the demo's table.

Listeners never slow the daemon down: one that does not read is dropped and has to begin anew with a
snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from ucm_provision.core import policy
from ucm_provision.wire import ModuleView

T = TypeVar("T")


class OverrunError(Exception):
    """The listener read too slowly and has missed something."""


class Channel(Generic[T]):
    """Hands everything that is published to everybody who listens."""

    def __init__(self, depth: int = policy.FEED_QUEUE) -> None:
        self._depth = depth
        self._listeners: set[Listener[T]] = set()

    @property
    def is_heard(self) -> bool:
        return bool(self._listeners)

    def publish(self, item: T) -> None:
        for listener in tuple(self._listeners):
            if not listener.offer(item):
                self._listeners.discard(listener)

    def cut(self) -> None:
        """Something could not be published: everybody has missed it."""
        for listener in self._listeners:
            listener.cut()
        self._listeners.clear()

    @contextmanager
    def listen(self) -> Iterator[Listener[T]]:
        """A listener for as long as the context lasts. Take the snapshot inside it, and nothing is missed."""
        listener = Listener[T](self._depth)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class Listener(Generic[T]):
    def __init__(self, depth: int) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(depth)
        self._overrun = False

    def offer(self, item: T) -> bool:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._overrun = True
        return not self._overrun

    def cut(self) -> None:
        """Ends it, also for who waits at this moment."""
        self._overrun = True
        if self._queue.empty():
            self._queue.put_nowait(None)

    async def next(self) -> T:
        """The next item. Raises OverrunError after the last one before a gap; a cancelled call loses none."""
        if self._overrun and self._queue.empty():
            raise OverrunError
        item = await self._queue.get()
        if item is None:
            raise OverrunError
        return item

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            yield await self.next()


class Feed(Channel[ModuleView]):
    """Publishes the view of a module whenever something about it has changed."""
