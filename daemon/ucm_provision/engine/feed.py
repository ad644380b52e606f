"""What happens, told to whoever listens: the command line, the page, the demo's table.

Listeners never slow the daemon down: one that does not read is dropped and has to begin anew with a
snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from ucm_provision.core import policy
from ucm_provision.wire import ModuleView


class OverrunError(Exception):
    """The listener read too slowly and has missed something."""


class Feed:
    """Publishes the view of a module whenever something about it has changed."""

    def __init__(self, depth: int = policy.FEED_QUEUE) -> None:
        self._depth = depth
        self._listeners: set[Listener] = set()

    def publish(self, view: ModuleView) -> None:
        for listener in tuple(self._listeners):
            if not listener.offer(view):
                self._listeners.discard(listener)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A listener for as long as the context lasts. Take the snapshot inside it, and nothing is missed."""
        listener = Listener(self._depth)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class Listener:
    def __init__(self, depth: int) -> None:
        self._queue: asyncio.Queue[ModuleView] = asyncio.Queue(depth)
        self._overrun = False

    def offer(self, view: ModuleView) -> bool:
        try:
            self._queue.put_nowait(view)
        except asyncio.QueueFull:
            self._overrun = True
        return not self._overrun

    async def next(self) -> ModuleView:
        """The next view. Raises OverrunError after the last one before a gap; a cancelled call loses none."""
        if self._overrun and self._queue.empty():
            raise OverrunError
        return await self._queue.get()

    async def __aiter__(self) -> AsyncIterator[ModuleView]:
        while True:
            yield await self.next()
