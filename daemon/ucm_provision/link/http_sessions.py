"""protocomm sessions over HTTP."""

from __future__ import annotations

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.ports import EndpointCalls
from ucm_provision.link.announcement import Announcement, read_announcement
from ucm_provision.link.sessions import VERSION_ENDPOINT, VERSION_REQUEST
from ucm_provision.link.timing import Timing


class HttpSessions:
    """The sessions with one module on the LAN (:class:`ucm_provision.link.sessions.Sessions`)."""

    def __init__(self, calls: EndpointCalls, timing: Timing) -> None:
        self._calls = calls
        self._timing = timing

    @property
    def chunk_largest(self) -> int:
        return policy.CHUNK_LARGEST

    async def first_session(self) -> Announcement:
        await self._calls.close()  # where the module was before says nothing about where it is now
        return await self._announced(self._timing.first_answer)

    async def fresh_session(self) -> Announcement:
        await self._calls.fresh_session()
        return await self._announced(self._timing.handshake)

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        return await self._calls.call(endpoint, body, seconds)

    async def offer(self, endpoint: str, body: bytes, seconds: float) -> bytes | None:
        """See :meth:`ucm_provision.link.sessions.Sessions.offer`.

        protocomm answers a refusal with a closed socket, and so does everything else that goes wrong: any
        client's request, ``proto-ver`` too, ends this session, and a proof then arrives in another one that
        knows nothing of our first step. But a refusal leaves the session as it is, and its cookie good. So the
        module is asked for ``proto-ver`` with that cookie: it goes on with the session that has refused us, or
        it opens another and says so with a new cookie. Then the session was stolen, or the module has started
        over, and nothing is known about what was offered.

        A connection that merely broke looks like a refusal even so, which is one reason why the handshake never
        believes a single one.

        Raises:
            UcmError: ``link_lost`` if this session has ended, whoever ended it.
        """
        offered_in = self._calls.session
        try:
            return await self._calls.call(endpoint, body, seconds)
        except UcmError as error:
            if error.code is not Code.LINK_LOST:
                raise
        await self._calls.call(VERSION_ENDPOINT, VERSION_REQUEST, seconds)
        if self._calls.session != offered_in:
            raise UcmError(Code.LINK_LOST, f"the session ended before {endpoint} was answered")
        return None

    async def _announced(self, seconds: float) -> Announcement:
        announcement = read_announcement(await self._calls.call(VERSION_ENDPOINT, VERSION_REQUEST, seconds))
        if self._calls.session is None:
            raise UcmError(Code.LINK_GARBAGE, "the module opened a session without a cookie")
        return announcement
