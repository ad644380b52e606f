"""protocomm sessions over a serial line."""

from __future__ import annotations

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.ports import ByteStream
from ucm_provision.link.announcement import Announcement, read_announcement
from ucm_provision.link.exchange import Exchange, Line
from ucm_provision.link.sessions import VERSION_ENDPOINT, VERSION_REQUEST
from ucm_provision.link.timing import Timing


class FramedSessions:
    """The sessions over one open line (:class:`ucm_provision.link.sessions.Sessions`).

    A frame names its session and a refusal has a status, so a refusal is always one of this very session.
    """

    def __init__(self, stream: ByteStream, timing: Timing) -> None:
        self._line = Line(stream)
        self._timing = timing
        self._exchange = Exchange(self._line, timing)

    @property
    def chunk_largest(self) -> int:
        return min(policy.CHUNK_LARGEST, self._line.deframer.max_frame - policy.FRAME_OVERHEAD)

    async def first_session(self) -> Announcement:
        response = await self._exchange.ask_booting(VERSION_ENDPOINT, VERSION_REQUEST)
        if response.status:
            raise UcmError(Code.LINK_BROKEN, f"{VERSION_ENDPOINT} answered status 0x{response.status:x}")
        announcement = read_announcement(response.body)
        self._line.deframer.max_frame = announcement.max_frame
        return announcement

    async def fresh_session(self) -> Announcement:
        self._exchange = Exchange(self._line, self._timing)
        return read_announcement(await self.call(VERSION_ENDPOINT, VERSION_REQUEST, self._timing.handshake))

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        return await self._exchange.call(endpoint, body, seconds)

    async def offer(self, endpoint: str, body: bytes, seconds: float) -> bytes | None:
        response = await self._exchange.ask(endpoint, body, seconds)
        return None if response.status else response.body
