"""A module on the LAN: it leaves the session at Commit, when it changes networks, and is met again."""

from __future__ import annotations

from google.protobuf.message import Message

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ModuleInfo
from ucm_provision.link.handshake import Established, Handshake
from ucm_provision.link.session import SecureLink
from ucm_provision.link.sessions import Sessions
from ucm_provision.link.timing import Timing

# A connection that breaks at the proof looks like one refusal; a module at which two in a row do is another one.
_REFUSALS_BELIEVED = 2


class RoamingLink(SecureLink):
    """The calls of a secure session that is followed, after Commit, by others with the same module.

    Until Commit it is used once, and any failure ends it: the transaction is resumed by whoever dials again.
    After Commit there is nothing left to resume, only a module to be watched while it comes and goes. The proof
    of possession is kept for that, as long as this object lives.
    """

    ended = Code.LINK_LOST

    def __init__(self, sessions: Sessions, established: Established, timing: Timing, handshake: Handshake) -> None:
        super().__init__(sessions, established, timing)
        self._handshake = handshake
        self._key = established.key
        self._hardware_id = established.announcement.hardware_id  # a hint until Info has proved it
        self._committed = False
        self._refusals = 0

    @property
    def roams(self) -> bool:
        return True

    async def info(self) -> ModuleInfo:
        info = await super().info()
        self._hardware_id = info.hardware_id
        return info

    async def commit(
        self, transaction: bytes, *, trial_s: int, now_unix_ms: int, ssid: str = "", by_host: bool = False
    ) -> int:
        generation = await super().commit(
            transaction, trial_s=trial_s, now_unix_ms=now_unix_ms, ssid=ssid, by_host=by_host
        )
        self._committed, self._in_step = True, False
        return generation

    async def _call(self, endpoint: str, request: Message, seconds: float) -> bytes:
        if self._committed and not self._in_step:
            await self._meet_again()
        return await super()._call(endpoint, request, seconds)

    async def _meet_again(self) -> None:
        """A new session with the same module, which must say so inside it before anything else is sent."""
        established = await self._handshake.repeat(self._key, self._hardware_id)
        if established is None:
            raise self._refused()
        self._refusals = 0
        self._enter(established)
        try:
            self._check(await super().info())
        except BaseException:
            self._in_step = False
            raise

    def _refused(self) -> UcmError:
        self._refusals += 1
        code = Code.IDENTITY_MISMATCH if self._refusals >= _REFUSALS_BELIEVED else Code.LINK_LOST
        return UcmError(code, "what answers refuses the proof that the module took before")

    def _check(self, info: ModuleInfo) -> None:
        if self._hardware_id not in (None, info.hardware_id):
            raise UcmError(Code.IDENTITY_MISMATCH, f"{info.hardware_id} answers where {self._hardware_id} was")
