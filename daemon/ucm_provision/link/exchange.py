"""Requests and their responses over one open serial line: sequence numbers, retransmission, silence."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.ports import ByteStream
from ucm_provision.link.frames import Deframer, Response, encode_request
from ucm_provision.link.timing import Timing

_BITS_PER_BYTE = 10  # 8N1
_SESSION_LARGEST = 0x7FFFFFFE
_CONSOLE_SHOWN = 160


class Line:
    """One open serial line and what has come over it, across all sessions on it."""

    def __init__(self, stream: ByteStream) -> None:
        self.deframer = Deframer()
        self._stream = stream
        self._idle_at = 0.0

    async def send(self, frame: bytes, until: float) -> float:
        """Hands ``frame`` to the line; returns the loop time at which its last byte has left.

        Gives up at ``until`` if the line takes no more bytes: the deadline is over then anyway.
        """
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(until):
                await self._stream.write(frame)
        except TimeoutError:
            return until
        seconds = len(frame) * _BITS_PER_BYTE / self._stream.bits_per_second
        self._idle_at = max(begun, self._idle_at) + seconds
        return self._idle_at

    async def receive(self, until: float) -> list[Response]:
        """The responses in the bytes that come next; none if nothing has come at loop time ``until``."""
        try:
            async with asyncio.timeout_at(until):
                data = await self._stream.read()
        except TimeoutError:
            return []
        return self.deframer.feed(data)

    def silence(self, endpoint: str, seconds: float) -> UcmError:
        """The failure that an unanswered request means, by what has come over the line at all."""
        if self.deframer.frames:
            return UcmError(Code.LINK_BROKEN, f"no answer to {endpoint} within {seconds:g} s")
        if not self.deframer.received:
            return UcmError(Code.LINK_SILENT, f"no byte within {seconds:g} s")
        console = self.deframer.console.text(self.deframer.unfinished()).replace("\n", " | ")[-_CONSOLE_SHOWN:]
        return UcmError(Code.LINK_GARBAGE, f"{self.deframer.received} bytes, no frame among them: {console!a}")


class Exchange:
    """The requests of one session, one outstanding at a time.

    A retransmission is byte-identical, so that the module answers it from its cache and never runs
    it again. Responses to other requests or of other sessions are ignored.
    """

    def __init__(self, line: Line, timing: Timing) -> None:
        self._line = line
        self._timing = timing
        self._session = secrets.randbelow(_SESSION_LARGEST) + 1
        self._seq = 0

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        """The body of the module's answer.

        Raises:
            UcmError: ``link_broken`` on a nonzero status, and as :meth:`ask`.
        """
        response = await self.ask(endpoint, body, seconds)
        if response.status:
            raise UcmError(Code.LINK_BROKEN, f"{endpoint} answered status 0x{response.status:x}")
        return response.body

    async def ask(self, endpoint: str, body: bytes, seconds: float) -> Response:
        """The module's answer, whatever its status.

        Raises:
            UcmError: ``device_gone``, or after ``seconds`` without an answer ``link_silent``,
                ``link_garbage`` or ``link_broken``.
        """
        pauses = _doubling(self._timing.retransmit_first, self._timing.retransmit_last)
        return await self._ask(endpoint, body, seconds, pauses)

    async def ask_booting(self, endpoint: str, body: bytes) -> Response:
        """As :meth:`ask`, but of a module that opening the port may just have reset."""
        resend = self._timing.first_answer_resend
        return await self._ask(endpoint, body, self._timing.first_answer, _doubling(resend, resend))

    async def _ask(self, endpoint: str, body: bytes, seconds: float, pauses: Iterator[float]) -> Response:
        frame = encode_request(self._seq, self._session, endpoint, body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            left_at = await self._line.send(frame, deadline)
            if response := await self._answer(min(left_at + next(pauses), deadline)):
                self._seq = (self._seq + 1) % 256
                return response
        raise self._line.silence(endpoint, seconds)

    async def _answer(self, until: float) -> Response | None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            for response in await self._line.receive(until):
                if (response.session, response.seq) == (self._session, self._seq):
                    return response
        return None


def _doubling(first: float, last: float) -> Iterator[float]:
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, last)
