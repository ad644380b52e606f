"""The calls of one secure session: the device link as the engine sees it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import ClassVar

from google.protobuf.message import Message

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import HeardNetwork, LinkState, ModuleConfiguration, ModuleInfo, Reservation
from ucm_provision.link import decode, scan
from ucm_provision.link.handshake import Established
from ucm_provision.link.messages import ucm_link_pb2 as pb
from ucm_provision.link.pack import pack
from ucm_provision.link.sessions import Sessions
from ucm_provision.link.timing import Timing

_MESSAGES_VERSION = 1
# A module that keeps asking for earlier bytes will never have all of them.
_STEPS_BACK_MOST = 8


class SecureLink:
    """One secure session with one module (:class:`ucm_provision.core.ports.DeviceLink`).

    Attributes:
        ended: How a call fails in a session that is over.
    """

    ended: ClassVar[Code] = Code.LINK_BROKEN

    def __init__(self, sessions: Sessions, established: Established, timing: Timing) -> None:
        self._sessions = sessions
        self._timing = timing
        self._steps_back = 0
        self._in_step = False
        self._enter(established)

    @property
    def roams(self) -> bool:
        return False

    @property
    def announced_id(self) -> str | None:
        return self._announcement.hardware_id

    def pack(self, configuration: ModuleConfiguration) -> bytes:
        """The same bytes over every carrier."""
        return pack(configuration)

    async def info(self) -> ModuleInfo:
        """Who the module is. Also raises ``identity_mismatch`` if it announced itself as another one."""
        answer = await self._call("ucm-info", pb.InfoRequest(version=_MESSAGES_VERSION), self._timing.call)
        info = decode.module_info(answer)
        if self.announced_id not in (None, info.hardware_id):
            raise UcmError(Code.IDENTITY_MISMATCH, f"announced {self.announced_id}, is {info.hardware_id}")
        return info

    async def reserve(self, owner: str, seconds: int) -> Reservation:
        reply = await self._configure(pb.ConfigRequest(reserve=pb.Reserve(owner=owner, seconds=seconds)))
        decode.check_reply(reply, "reserve")
        if not seconds:
            return Reservation(owner, 0)
        if not reply.HasField("reservation") or reply.reservation.owner != owner:
            raise UcmError(Code.LINK_GARBAGE, "the answer to reserve does not hold the reservation")
        return decode.reservation(reply.reservation)

    async def begin(self, transaction: bytes, payload: bytes, base_generation: int) -> int:
        request = pb.Begin(
            transaction=transaction,
            total=len(payload),
            sha256=hashlib.sha256(payload).digest(),
            base_generation=base_generation,
        )
        reply = await self._configure(pb.ConfigRequest(begin=request))
        decode.check_reply(reply, "begin")
        if reply.generation:  # on trial or active already: the first answer to its commit was lost
            return len(payload)
        return _offset(reply, 0, len(payload))

    async def chunk(self, transaction: bytes, payload: bytes, offset: int) -> int:
        piece = payload[offset : offset + self._sessions.chunk_largest]
        request = pb.Chunk(transaction=transaction, offset=offset, payload=piece)
        reply = await self._configure(pb.ConfigRequest(chunk=request))
        if reply.status == pb.OUT_OF_ORDER:
            self._step_back()
            return _offset(reply, 0, offset - 1)
        decode.check_reply(reply, "chunk")
        return _offset(reply, offset + len(piece), len(payload))

    async def commit(
        self, transaction: bytes, *, trial_s: int, now_unix_ms: int, ssid: str = "", by_host: bool = False
    ) -> int:
        request = pb.Commit(
            transaction=transaction,
            confirm_by=pb.HOST if by_host else pb.MODULE_ONLINE,
            trial_s=trial_s,
            now_unix_ms=now_unix_ms,
            ssid=ssid,
        )
        reply = await self._configure(pb.ConfigRequest(commit=request), self._timing.commit)
        decode.check_reply(reply, "commit")
        if not reply.generation:
            raise UcmError(Code.LINK_GARBAGE, "the answer to commit names no generation")
        return reply.generation

    async def confirm(self, generation: int) -> None:
        reply = await self._configure(pb.ConfigRequest(confirm=pb.Confirm(generation=generation)))
        decode.check_reply(reply, "confirm")

    async def abort(self, transaction: bytes) -> None:
        reply = await self._configure(pb.ConfigRequest(abort=pb.Abort(transaction=transaction)))
        decode.check_reply(reply, "abort")

    async def reset(self) -> None:
        reply = await self._configure(pb.ConfigRequest(reset=pb.Reset(version=_MESSAGES_VERSION)))
        decode.check_reply(reply, "reset")

    async def state(self) -> LinkState:
        answer = await self._call("ucm-link", pb.LinkRequest(version=_MESSAGES_VERSION), self._timing.call)
        return decode.link_state(answer)

    async def identify(self, seconds: int) -> None:
        """Makes the module blink. Raises ``module_refused`` if it cannot."""
        if "identify" not in self._announcement.capabilities:
            raise UcmError(Code.MODULE_REFUSED, "the module cannot identify itself")
        answer = await self._call("ucm-identify", pb.IdentifyRequest(seconds=seconds), self._timing.call)
        decode.check_reply(decode.config_reply(answer, "ucm-identify"), "identify")

    async def scan(self) -> tuple[HeardNetwork, ...]:
        """What the module hears. Raises ``module_refused`` if it cannot scan, ``link_silent`` if that never ends."""
        if "scan" not in self._announcement.capabilities:
            raise UcmError(Code.MODULE_REFUSED, "the module cannot scan")
        scan.check_started(await self._call(scan.ENDPOINT, scan.start_request(), self._timing.call))
        for _ in range(policy.SCAN_POLLS):
            await asyncio.sleep(policy.SCAN_POLL)
            if scan.is_finished(await self._call(scan.ENDPOINT, scan.status_request(), self._timing.call)):
                return scan.heard(await self._call(scan.ENDPOINT, scan.result_request(), self._timing.call))
        raise UcmError(Code.LINK_SILENT, f"its scan did not end within {policy.SCAN_POLLS * policy.SCAN_POLL:g} s")

    async def _configure(self, request: pb.ConfigRequest, seconds: float | None = None) -> pb.ConfigReply:
        answer = await self._call("ucm-config", request, seconds or self._timing.call)
        return decode.config_reply(answer, "ucm-config")

    async def _call(self, endpoint: str, request: Message, seconds: float) -> bytes:
        """The decrypted answer.

        Out of step means that the module's nonce counter may differ from ours, after a failure, a
        cancelled call or a second one at the same time: one more message could use a nonce twice.
        """
        if not self._in_step:
            raise UcmError(self.ended, "the session has ended")
        self._in_step = False
        ciphertext = self._channel.encrypt(request.SerializeToString())
        answer = self._channel.decrypt(await self._sessions.call(endpoint, ciphertext, seconds))
        self._in_step = True
        return answer

    def _enter(self, established: Established) -> None:
        self._channel = established.channel
        self._announcement = established.announcement
        self._in_step = True

    def _step_back(self) -> None:
        self._steps_back += 1
        if self._steps_back > _STEPS_BACK_MOST:
            raise UcmError(Code.LINK_BROKEN, "the module keeps asking for earlier parts of the configuration")


def _offset(reply: pb.ConfigReply, least: int, most: int) -> int:
    if not least <= reply.next_offset <= most:
        raise UcmError(Code.LINK_GARBAGE, f"the module asks for offset {reply.next_offset} of {most}")
    return reply.next_offset
