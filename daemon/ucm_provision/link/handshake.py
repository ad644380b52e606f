"""From a carrier to a secure session: first answer, policy, proof of possession, SRP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.ports import PopLookup
from ucm_provision.link import security
from ucm_provision.link.announcement import Announcement
from ucm_provision.link.security import Challenge, Channel
from ucm_provision.link.sessions import Sessions
from ucm_provision.link.srp import Form, SrpClient
from ucm_provision.link.timing import Timing

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Key:
    """What a module accepted: the proof of possession, and the form that its verifier has."""

    pop: ProofOfPossession
    form: Form


@dataclass(frozen=True, slots=True)
class Established:
    """A session in which both sides have proved themselves."""

    channel: Channel
    announcement: Announcement
    key: Key


class Handshake:
    """Opens secure sessions.

    Args:
        sessions: The carrier's sessions with the module.
        timing: Deadlines.
        turns: Entered for each computation: SRP keeps a core busy, and many modules may come at once.
    """

    def __init__(
        self, sessions: Sessions, timing: Timing, turns: AbstractAsyncContextManager[object] | None = None
    ) -> None:
        self._sessions = sessions
        self._timing = timing
        self._turns = turns or nullcontext()

    async def establish(self, pop_for: PopLookup) -> Established:
        """Authenticates both sides, with as many fresh sessions as that takes.

        A refused proof is called wrong only after every form that the module's verifier may have was
        tried, and the standard one twice: a module that was reset in between refuses a right proof
        too. After each refusal the module must still answer ``proto-ver``.

        Raises:
            UcmError: see :meth:`ucm_provision.core.ports.DeviceLinks.dial`.
        """
        announcement = await self._sessions.first_session()
        pop = pop_for(announcement.hardware_id)
        if pop is None:
            raise UcmError(Code.POP_MISSING, f"announced as {announcement.hardware_id or 'nobody'}")
        untried: list[Form] | None = None
        while untried is None or untried:
            client, challenge = await self._challenge(pop)
            if untried is None:
                untried = [*client.forms(challenge.salt), Form.STANDARD]
            form = untried.pop(0)
            if channel := await self._prove(client, challenge, form):
                return Established(channel, announcement, Key(pop, form))
            await self._fresh_session(announcement)
        raise UcmError(Code.POP_WRONG, f"announced as {announcement.hardware_id or 'nobody'}")

    async def repeat(self, key: Key, hardware_id: str | None) -> Established | None:
        """Meets a module again that took ``key`` before: one session, one try. None if it refuses.

        Args:
            key: What it accepted.
            hardware_id: Who it is; None if that was never said.

        Raises:
            UcmError: ``identity_mismatch`` if it announces itself as another one; else as :meth:`establish`.
        """
        announcement = await self._sessions.first_session()
        if hardware_id and announcement.hardware_id not in (None, hardware_id):
            raise UcmError(Code.IDENTITY_MISMATCH, f"{announcement.hardware_id} answers where {hardware_id} was")
        client, challenge = await self._challenge(key.pop)
        channel = await self._prove(client, challenge, key.form)
        return Established(channel, announcement, key) if channel else None

    async def _fresh_session(self, announcement: Announcement) -> None:
        if await self._sessions.fresh_session() != announcement:
            raise UcmError(Code.LINK_BROKEN, "the module announces itself differently in each session")

    async def _challenge(self, pop: ProofOfPossession) -> tuple[SrpClient, Challenge]:
        client = await self._in_turn(SrpClient, pop.username, pop.secret)
        hello = security.hello(pop.username, client.public)
        body = await self._sessions.call("prov-session", hello, self._timing.handshake)
        return client, security.read_challenge(body)

    async def _prove(self, client: SrpClient, challenge: Challenge, form: Form) -> Channel | None:
        """The encrypted channel, or None when the module refuses our proof or cannot give its own."""
        proofs = await self._in_turn(client.prove, challenge.salt, challenge.public, form)
        body = await self._sessions.offer("prov-session", security.proof(proofs.client), self._timing.handshake)
        acceptance = None if body is None else security.read_acceptance(body)
        if acceptance is None or not proofs.accepts(acceptance.proof):
            return None
        return Channel(proofs.session_key, acceptance.nonce)

    async def _in_turn(self, compute: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        async with self._turns:
            return await asyncio.to_thread(compute, *args, **options)
