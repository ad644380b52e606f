"""From an open line to a secure session: first answer, policy, proof of possession, SRP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.ports import PopLookup
from ucm_provision.link import security
from ucm_provision.link.announcement import Announcement, read_announcement
from ucm_provision.link.exchange import Exchange, Line
from ucm_provision.link.security import Challenge, Channel
from ucm_provision.link.srp import Form, SrpClient
from ucm_provision.link.timing import Timing

_VERSION_REQUEST = b"-"  # protocomm ignores it, but an empty body fails there


@dataclass(frozen=True, slots=True)
class Established:
    """A session in which both sides have proved themselves."""

    exchange: Exchange
    channel: Channel
    announcement: Announcement


class Handshake:
    """Opens a secure session over ``line``, with as many fresh sessions on it as that takes."""

    def __init__(self, line: Line, timing: Timing) -> None:
        self._line = line
        self._timing = timing

    async def establish(self, pop_for: PopLookup) -> Established:
        """Authenticates both sides.

        A refused proof is called wrong only after every form that the module's verifier may have was
        tried, and the standard one twice: a module that was reset in between refuses a right proof
        too. After each refusal the module must still answer ``proto-ver``.

        Raises:
            UcmError: see :meth:`ucm_provision.core.ports.DeviceLinks.dial`.
        """
        exchange, announcement = await self._first_session()
        pop = pop_for(announcement.hardware_id)
        if pop is None:
            raise UcmError(Code.POP_MISSING, f"announced as {announcement.hardware_id or 'nobody'}")
        untried: list[Form] | None = None
        while untried is None or untried:
            client = await asyncio.to_thread(SrpClient, pop.username, pop.secret)
            challenge = await self._challenge(exchange, pop, client)
            if untried is None:
                untried = [*client.forms(challenge.salt), Form.STANDARD]
            if channel := await self._prove(exchange, client, challenge, untried.pop(0)):
                return Established(exchange, channel, announcement)
            exchange = await self._fresh_session(announcement)
        raise UcmError(Code.POP_WRONG, f"announced as {announcement.hardware_id or 'nobody'}")

    async def _first_session(self) -> tuple[Exchange, Announcement]:
        exchange = Exchange(self._line, self._timing)
        response = await exchange.ask_booting("proto-ver", _VERSION_REQUEST)
        if response.status:
            raise UcmError(Code.LINK_BROKEN, f"proto-ver answered status 0x{response.status:x}")
        announcement = read_announcement(response.body)
        self._line.deframer.max_frame = announcement.max_frame
        return exchange, announcement

    async def _fresh_session(self, announcement: Announcement) -> Exchange:
        exchange = Exchange(self._line, self._timing)
        body = await exchange.call("proto-ver", _VERSION_REQUEST, self._timing.handshake)
        if read_announcement(body) != announcement:
            raise UcmError(Code.LINK_BROKEN, "the module announces itself differently in each session")
        return exchange

    async def _challenge(self, exchange: Exchange, pop: ProofOfPossession, client: SrpClient) -> Challenge:
        hello = security.hello(pop.username, client.public)
        return security.read_challenge(await exchange.call("prov-session", hello, self._timing.handshake))

    async def _prove(self, exchange: Exchange, client: SrpClient, challenge: Challenge, form: Form) -> Channel | None:
        """The encrypted channel, or None when the module refuses our proof or cannot give its own."""
        proofs = await asyncio.to_thread(client.prove, challenge.salt, challenge.public, form)
        response = await exchange.ask("prov-session", security.proof(proofs.client), self._timing.handshake)
        acceptance = None if response.status else security.read_acceptance(response.body)
        if acceptance is None or not proofs.accepts(acceptance.proof):
            return None
        return Channel(proofs.session_key, acceptance.nonce)
