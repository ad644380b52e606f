"""Sees modules arrive at the broker, with credentials of its own: evidence that does not come from the module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiomqtt
import msgspec
import structlog

from ucm_provision.broker.session import MqttSession, mqtt_session, own_identifier
from ucm_provision.broker.timing import STANDARD, Timing
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Arrival
from ucm_provision.core.ports import Clock
from ucm_provision.core.text import one_line
from ucm_provision.credentials import BrokerAccess, CredentialsInvalidError, parse_broker_access

_log = structlog.get_logger(__name__)

CONNECTED: Final = "connected"
NO_WITNESS: Final = "no witness configured"

# Devices of the SDK say "register", the platform's documentation "properties".
_REGISTRATIONS: Final = ("/v1/register", "/v1/properties")
_TOPIC_SHOWN: Final = 256


class _RegistrationJson(msgspec.Struct):
    config_generation: int | None = None


@dataclass(eq=False, slots=True)
class _Subscription:
    """What is wanted of one module's topics, by one watcher or several. ``answered``: granted or refused."""

    feeds: list[_Feed] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class _Feed:
    """One watcher's arrivals. Bounded: a watcher that does not look loses the oldest."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Arrival] = asyncio.Queue(policy.WITNESS_QUEUE)

    def put(self, arrival: Arrival) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(arrival)

    def __aiter__(self) -> AsyncIterator[Arrival]:
        return self

    async def __anext__(self) -> Arrival:
        return await self._queue.get()


class NoWitness:
    """:class:`~ucm_provision.core.ports.Witness` where none is configured: sees nothing."""

    status = NO_WITNESS

    async def run(self) -> None:
        return

    @asynccontextmanager
    async def watch(self, hardware_id: str) -> AsyncIterator[AsyncIterator[Arrival]]:  # noqa: ARG002 -- nobody is seen
        yield _Feed()


class BrokerWitness:
    """:class:`~ucm_provision.core.ports.Witness` over one shared connection to the broker.

    Args:
        credentials_file: JSON with the broker's keys of the API's ``config`` object. Read anew before
            every attempt to connect, so that a file that is missing, wrong or replaced heals.
    """

    def __init__(self, credentials_file: Path, clock: Clock, *, timing: Timing = STANDARD) -> None:
        self._file = credentials_file
        self._clock = clock
        self._timing = timing
        self._status = "The witness has not tried yet."
        self._connected = False
        self._subscriptions: dict[str, _Subscription] = {}
        self._changed = asyncio.Event()

    @property
    def status(self) -> str:
        """``connected``, or a sentence that says why not."""
        return self._status

    async def run(self) -> None:
        """Connects, stays connected, and connects again. Never returns."""
        delay = self._timing.reconnect_first
        while True:
            if await self._stay_connected():
                delay = self._timing.reconnect_first
            await self._clock.sleep(delay)
            delay = min(delay * 2, self._timing.reconnect_last)

    @asynccontextmanager
    async def watch(self, hardware_id: str) -> AsyncIterator[AsyncIterator[Arrival]]:
        feed = _Feed()
        subscription = self._subscriptions.setdefault(hardware_id, _Subscription())
        subscription.feeds.append(feed)
        self._changed.set()
        try:
            if self._connected:
                await self._await_answer(subscription)
            yield feed
        finally:
            subscription.feeds.remove(feed)
            if not subscription.feeds:
                del self._subscriptions[hardware_id]
            self._changed.set()

    async def _await_answer(self, subscription: _Subscription) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.subscribe):
                await subscription.answered.wait()

    # ---- the connection --------------------------------------------------------------------------

    async def _stay_connected(self) -> bool:
        """One connection, from its beginning to its end. Whether there was one."""
        connected = False
        try:
            access = await asyncio.to_thread(read_access, self._file)
            async with mqtt_session(access, own_identifier("witness"), self._timing) as session:
                connected = True
                reason = await self._serve(session)
        except UcmError as failure:
            reason = _reason(failure)
        except (OSError, CredentialsInvalidError) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            reason = f"The witness's file {self._file} cannot be used: {text}."
        self._report(reason)
        return connected

    async def _serve(self, session: MqttSession) -> str:
        """Works until the connection ends; returns why it did."""
        for subscription in self._subscriptions.values():
            subscription.answered.clear()
        self._connected = True
        self._report(CONNECTED)
        reason = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_subscribed(session))
                tasks.create_task(self._receive(session))
        except* UcmError as failures:
            reason = _reason(failures.exceptions[0])
        finally:
            self._connected = False
        return reason

    async def _keep_subscribed(self, session: MqttSession) -> None:
        """Makes the broker's subscriptions what the watchers want, again and again."""
        subscribed: set[str] = set()
        while True:
            self._changed.clear()
            for hardware_id in subscribed - self._subscriptions.keys():
                await session.drop(_topics_of(hardware_id))
                subscribed.discard(hardware_id)
            for hardware_id, subscription in list(self._subscriptions.items()):
                if hardware_id not in subscribed:
                    await self._subscribe(session, _topics_of(hardware_id))
                    subscribed.add(hardware_id)
                subscription.answered.set()
            await self._changed.wait()

    async def _subscribe(self, session: MqttSession, topics: str) -> None:
        try:
            await session.expect_grant(topics, self._timing.suback)
        except UcmError as failure:
            if failure.code is not Code.MQTT_NOT_AUTHORIZED:
                raise
            # The other modules' topics may still be granted; asking again would not change this one.
            self._report(_reason(failure))

    async def _receive(self, session: MqttSession) -> None:
        try:
            async for message in session.messages:
                self._deliver(message)
        except aiomqtt.MqttError:
            raise UcmError(Code.MQTT_UNAVAILABLE, "the connection to the broker was lost") from None

    def _deliver(self, message: aiomqtt.Message) -> None:
        # A retained message tells of some time in the past; only what is published from now on is evidence.
        if message.retain:
            return
        topic = message.topic.value
        subscription = self._subscriptions.get(topic.split("/", 3)[2]) if topic.count("/") > 2 else None
        if subscription is None:
            return
        arrival = Arrival(one_line(topic, _TOPIC_SHOWN), _generation(topic, message.payload), self._clock.now())
        for feed in subscription.feeds:
            feed.put(arrival)

    def _report(self, status: str) -> None:
        if status != self._status:
            self._status = status
            _log.info("witness", status=status)


def _topics_of(hardware_id: str) -> str:
    return f"v1/from/{hardware_id}/#"


def _generation(topic: str, payload: object) -> int | None:
    """What the module says it registered with. Anything may stand there."""
    if not topic.endswith(_REGISTRATIONS) or not isinstance(payload, bytes):
        return None
    if len(payload) > policy.WITNESS_PAYLOAD_LARGEST:
        return None
    try:
        generation = msgspec.json.decode(payload, type=_RegistrationJson).config_generation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return generation if generation is not None and 0 <= generation <= policy.GENERATION_LARGEST else None


def read_access(file: Path) -> BrokerAccess:
    """The broker that a credentials file names. Raises OSError and CredentialsInvalidError."""
    with file.open("rb") as stream:
        text = stream.read(policy.WITNESS_FILE_LARGEST + 1)
    if len(text) > policy.WITNESS_FILE_LARGEST:
        raise CredentialsInvalidError(f"more than {policy.WITNESS_FILE_LARGEST} bytes")
    return parse_broker_access(text)


def _reason(failure: BaseException) -> str:
    if isinstance(failure, UcmError):
        detail = f": {failure.detail}" if failure.detail else ""
        return f"The witness has no use of the broker ({failure.code}{detail})."
    return "The witness has no use of the broker."
