"""Tells a fleet's broker what happens on this box. What cannot be told waits, up to a bound; nobody waits for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiomqtt
import structlog

from ucm_provision.broker.session import MqttSession, mqtt_session
from ucm_provision.broker.timing import STANDARD, Timing
from ucm_provision.broker.witness import CONNECTED, read_access
from ucm_provision.core import policy
from ucm_provision.core.errors import UcmError
from ucm_provision.core.ports import Clock
from ucm_provision.credentials import CredentialsInvalidError

_log = structlog.get_logger(__name__)

_AVAILABILITY: Final = "availability"
_ONLINE, _OFFLINE = b"online", b"offline"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box speaks: every topic begins with ``topic``. ``owner``: who the box is, to the broker."""

    topic: str
    owner: str

    @property
    def identifier(self) -> str:
        """Always the same: a broker ends the former connection of a client that comes back, and its will with it.

        With a new one each time, the will of a connection that was lost unnoticed would come after the new word.
        """
        return "ucmfleet" + hashlib.blake2s(self.owner.encode(), digest_size=7).hexdigest()

    def of(self, name: str) -> str:
        return f"{self.topic}/{name}"


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    retain: bool = False


class Announcer:
    """One connection to the fleet's broker: kept, and made again when it is lost.

    Args:
        credentials_file: JSON like the witness's. Read anew before every attempt to connect.

    Attributes:
        status: ``connected``, or a sentence that says why not.
        dropped: How many events were never told.
    """

    def __init__(self, credentials_file: Path, place: Place, clock: Clock, *, timing: Timing = STANDARD) -> None:
        self._file = credentials_file
        self._place = place
        self._clock = clock
        self._timing = timing
        self._events: deque[_Message] = deque()
        self._kept: dict[str, _Message] = {}
        self._unsaid: dict[str, None] = {}
        self._changed = asyncio.Event()
        self.status = "The fleet's broker has not been tried yet."
        self.dropped = 0

    # ---- what is to be told ------------------------------------------------------------------------

    def tell(self, name: str, payload: bytes) -> None:
        """An event, told once, in order. The oldest of too many are dropped."""
        self._events.append(_Message(self._place.of(name), payload))
        self._drop_surplus()
        self._changed.set()

    def keep(self, name: str, payload: bytes) -> None:
        """How something is now: told to whoever listens, and by the broker to whoever comes later."""
        self._kept[name] = _Message(self._place.of(name), payload, retain=True)
        self._unsaid[name] = None
        self._changed.set()

    def _drop_surplus(self) -> None:
        while len(self._events) > policy.FLEET_QUEUE:
            self._events.popleft()
            self.dropped += 1

    # ---- the connection ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects, stays connected, and connects again. Never returns."""
        delay = self._timing.reconnect_first
        while True:
            if await self._stay_connected():
                delay = self._timing.reconnect_first
            await self._clock.sleep(delay)
            delay = min(delay * 2, self._timing.reconnect_last)

    async def _stay_connected(self) -> bool:
        """One connection, from its beginning to its end. Whether there was one."""
        connected = False
        will = aiomqtt.Will(self._place.of(_AVAILABILITY), _OFFLINE, qos=1, retain=True)
        try:
            access = await asyncio.to_thread(read_access, self._file)
            async with mqtt_session(access, self._place.identifier, self._timing, will=will) as session:
                connected = True
                reason = await self._serve(session)
        except UcmError as failure:
            reason = _reason(failure)
        except (OSError, CredentialsInvalidError) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            reason = f"The file {self._file} cannot be used: {text}."
        self._report(reason)
        return connected

    async def _serve(self, session: MqttSession) -> str:
        """Speaks until the connection ends; returns why it did."""
        self._report(CONNECTED)
        self._unsaid = dict.fromkeys(self._kept)
        try:
            return await self._speak_until_lost(session)
        except asyncio.CancelledError:
            await self._say_goodbye(session)
            raise

    async def _speak_until_lost(self, session: MqttSession) -> str:
        reason = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.lost())
                tasks.create_task(self._speak(session))
        except* UcmError as failures:
            reason = _reason(_first(failures))
        return reason

    async def _speak(self, session: MqttSession) -> None:
        await session.tell(self._place.of(_AVAILABILITY), _ONLINE, retain=True)
        while True:
            self._changed.clear()
            await self._say_what_is(session)
            await self._say_what_happened(session)
            if not self._events and not self._unsaid:
                await self._changed.wait()

    async def _say_what_is(self, session: MqttSession) -> None:
        for name in list(self._unsaid):
            message = self._kept[name]
            await session.tell(message.topic, message.payload, retain=True)
            if self._kept[name] is message:
                del self._unsaid[name]

    async def _say_what_happened(self, session: MqttSession) -> None:
        """Several at once, in order: each answer of the broker takes its way there and back."""
        batch = [self._events.popleft() for _ in range(min(len(self._events), policy.FLEET_BATCH))]
        try:
            async with asyncio.TaskGroup() as tasks:
                for message in batch:
                    tasks.create_task(session.tell(message.topic, message.payload, retain=message.retain))
        except BaseException:
            self._events.extendleft(reversed(batch))  # some of them may be told twice
            self._drop_surplus()
            raise

    async def _say_goodbye(self, session: MqttSession) -> None:
        """A connection that is closed in order has no last will."""
        try:
            async with asyncio.timeout(policy.FLEET_FAREWELL):
                await session.tell(self._place.of(_AVAILABILITY), _OFFLINE, retain=True)
        except (TimeoutError, UcmError):
            return  # the broker will find out

    def _report(self, status: str) -> None:
        if status != self.status:
            self.status = status
            _log.info("fleet", status=status)


def _first(group: BaseExceptionGroup[UcmError]) -> UcmError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _reason(failure: UcmError) -> str:
    detail = f": {failure.detail}" if failure.detail else ""
    return f"The fleet's broker cannot be used ({failure.code}{detail})."
