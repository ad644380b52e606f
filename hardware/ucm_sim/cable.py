"""The cable between a board and a host: what makes a module one on a serial port."""

import asyncio
from pathlib import Path

from ucm_sim.board import Board
from ucm_sim.line import SerialLine
from ucm_sim.tasks import end


class Cable:
    """Carries between a board's console and a terminal while it is plugged in.

    `baud` 0 removes the limit of the wire's speed. `reset_on_open` resets the board whenever a host opens a
    terminal that nobody had open.
    """

    def __init__(self, board: Board, baud: int, *, reset_on_open: bool) -> None:
        self._board = board
        self._baud = baud
        self._reset_on_open = reset_on_open
        self._line: SerialLine | None = None
        self._carrying: asyncio.Task[None] | None = None

    @property
    def is_in(self) -> bool:
        return self._line is not None

    @property
    def is_open(self) -> bool:
        """Whether a host has the port open."""
        return self._line is not None and self._line.is_open

    def plug(self, link: Path) -> None:
        """Put the cable in; the terminal appears under the name `link`. Raises RuntimeError, OSError."""
        if self._line is not None:
            raise RuntimeError("the cable is in already")
        self._line = SerialLine(
            link,
            self._baud,
            self._board.clock,
            received=self._receive,
            opened=self._opened,
            closed=self._board.changed,
        )
        self._carrying = asyncio.create_task(self._line.run())

    async def unplug(self) -> None:
        """Pull the cable; nothing happens where none is in."""
        line, carrying = self._line, self._carrying
        self._line = self._carrying = None
        try:
            await end(carrying)
        finally:
            if line is not None:
                line.close()

    def write(self, data: bytes) -> None:
        """Send bytes to the host, if there is a cable and a host."""
        if self._line is not None:
            self._line.write(data)

    def _receive(self, data: bytes) -> None:
        for reply in self._board.receive(data):
            self.write(reply)

    def _opened(self) -> None:
        if self._reset_on_open:
            self._board.pull_reset_pin()
        self._board.changed()
