"""One MQTT connection, from name to CONNACK, that says why it failed and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, TypeVar

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ucm_provision.broker.reach import connect_failure, reach
from ucm_provision.broker.timing import Timing
from ucm_provision.broker.tls import BrokerContext, client_context, handshake_failure
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import PasswordCredentials
from ucm_provision.credentials import BrokerAccess

T = TypeVar("T")

# Failures reach people as UcmErrors; what the libraries beneath say of them would be a second voice.
_QUIET: Final = logging.getLogger("ucm_provision.broker.mqtt")
_QUIET.setLevel(logging.CRITICAL)

# paho gives the answers of MQTT 3.1.1 the numbers of MQTT 5. "Bad user name or password" and "not authorized"
# are refusals of the credentials, and so is a client id that the broker ties to another identity.
_UNAUTHORIZED: Final = {133, 134, 135}


def own_identifier(role: str) -> str:
    """A client id that is surely nobody else's: to a broker, two clients of one id are one that came back.

    At most 23 letters and digits, which every MQTT 3.1.1 broker must take (section 3.1.3.1).
    """
    return f"ucm{role}{secrets.token_hex(6)}"


@asynccontextmanager
async def mqtt_session(
    access: BrokerAccess, identifier: str, timing: Timing, *, will: aiomqtt.Will | None = None
) -> AsyncIterator[MqttSession]:
    """A clean MQTT 3.1.1 session with the broker of ``access``.

    ``will``: what the broker tells everybody when the session ends without a word.

    Raises:
        UcmError: what :func:`~ucm_provision.broker.reach.reach` raises, ``mqtt_not_authorized`` or
            ``mqtt_unavailable``.
    """
    context = None
    if not isinstance(access.credentials, PasswordCredentials):
        context = client_context(access.credentials, access.host)
    address = await reach(access.host, access.port, context, timing)
    session = MqttSession(address, access, context, identifier, timing, will=will)
    try:
        await session.connect()
        yield session
    finally:
        await _to_its_end(session.close())


class MqttSession(aiomqtt.Client):
    """aiomqtt's client, with an end that can be relied on.

    aiomqtt connects in a thread that no cancellation stops, leaves the socket open when it gives up
    waiting for CONNACK, and does not notice that the broker closed instead of answering. Two of its
    hooks tell when the thread is done and when the socket is closed; the rest follows from them.
    """

    def __init__(
        self,
        address: str,
        access: BrokerAccess,
        context: BrokerContext | None,
        identifier: str,
        timing: Timing,
        *,
        will: aiomqtt.Will | None = None,
    ) -> None:
        username, password = _sign_in(access)
        super().__init__(
            address,
            access.port,
            username=username,
            password=password,
            identifier=identifier,
            tls_context=context,
            will=will,
            timeout=timing.connect,
            keepalive=policy.BROKER_KEEPALIVE,
            max_queued_incoming_messages=policy.WITNESS_QUEUE,
            logger=_QUIET,
        )
        self._timing = timing
        self._where = f"{address} port {access.port}"
        self._client.connect_timeout = timing.connect
        self._dialled = self._loop.create_future()
        self._hung_up = self._loop.create_future()
        self._entering: asyncio.Task[Any] | None = None

    async def connect(self) -> None:
        """Raises UcmError as :func:`mqtt_session` does. To be followed by :meth:`close` in any case."""
        self._entering = asyncio.ensure_future(self.__aenter__())
        await asyncio.wait({self._entering, self._hung_up}, return_when=asyncio.FIRST_COMPLETED)
        # A refusal closes the socket in the same breath; only a closed socket without one is no answer.
        if not self._entering.done() and not self._connected.done():
            raise UcmError(Code.MQTT_UNAVAILABLE, "the broker closed the connection instead of answering CONNECT")
        try:
            await asyncio.shield(self._entering)
        except aiomqtt.MqttError as error:
            raise self._connect_failure(error) from None

    async def close(self) -> None:
        """Ends the connection and whatever belongs to it, connected or not."""
        if self._entering is None:
            return
        await asyncio.wait({self._entering, self._dialled}, return_when=asyncio.FIRST_COMPLETED)
        # Before the cancellation: aiomqtt cannot hang up any more once its wait for CONNACK was cancelled.
        if self._client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            await asyncio.wait({self._hung_up}, timeout=policy.BROKER_CLOSE_DEADLINE)
        self._entering.cancel()
        if self._misc_task is not None:
            self._misc_task.cancel()
        await asyncio.wait({self._entering, *([self._misc_task] if self._misc_task else [])})
        for outcome in (self._entering, self._disconnected):
            if outcome.done() and not outcome.cancelled():
                outcome.exception()  # looked at, or asyncio complains that nobody did

    async def expect_grant(self, topic: str, deadline: float) -> None:
        """Subscribes, and waits for the broker's consent.

        Raises:
            UcmError: ``mqtt_not_authorized``, ``broker_timeout``, or ``mqtt_unavailable`` when the
                connection is lost meanwhile.
        """
        try:
            answer = await self._unless_hung_up(self.subscribe(topic, timeout=deadline))
        except aiomqtt.MqttCodeError:
            raise UcmError(Code.MQTT_UNAVAILABLE, "the connection to the broker was lost") from None
        except aiomqtt.MqttError:
            raise UcmError(Code.BROKER_TIMEOUT, f"no answer to SUBSCRIBE in {deadline:g} s") from None
        if any(isinstance(code, ReasonCode) and code.is_failure for code in answer):
            raise UcmError(Code.MQTT_NOT_AUTHORIZED, f"SUBACK: subscription to {topic} refused")

    async def drop(self, topic: str) -> None:
        """Unsubscribes, and waits for the broker's answer.

        Raises:
            UcmError: ``mqtt_unavailable`` when the connection is lost meanwhile, or nobody answers.
        """
        # In a task of its own, like expect_grant's: aiomqtt waits with asyncio.wait_for, which on Python 3.11
        # loses a cancellation that arrives together with the answer.
        try:
            await self._unless_hung_up(self.unsubscribe(topic))
        except (aiomqtt.MqttError, UcmError):
            raise UcmError(Code.MQTT_UNAVAILABLE, "the connection to the broker was lost") from None

    async def tell(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publishes with QoS 1, and waits for the broker to have it.

        Raises:
            UcmError: ``mqtt_unavailable`` when the connection is lost meanwhile, or nobody answers.
        """
        try:
            await self._unless_hung_up(self.publish(topic, payload, qos=1, retain=retain, timeout=self._timing.puback))
        except (aiomqtt.MqttError, UcmError):
            raise UcmError(Code.MQTT_UNAVAILABLE, "the connection to the broker was lost") from None

    async def lost(self) -> NoReturn:
        """Returns never; raises UcmError(mqtt_unavailable) once the connection is lost."""
        await asyncio.wait({self._hung_up})
        raise UcmError(Code.MQTT_UNAVAILABLE, "the connection to the broker was lost")

    async def _unless_hung_up(self, operation: Awaitable[T]) -> T:
        task = asyncio.ensure_future(operation)
        try:
            await asyncio.wait({task, self._hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                detail = "the broker closed the connection instead of answering SUBSCRIBE"
                raise UcmError(Code.MQTT_NOT_AUTHORIZED, detail)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    def _connect_failure(self, error: aiomqtt.MqttError) -> UcmError:
        if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
            code = Code.MQTT_NOT_AUTHORIZED if error.rc.value in _UNAUTHORIZED else Code.MQTT_UNAVAILABLE
            return UcmError(code, f"CONNACK: {error.rc}")
        # aiomqtt keeps only the text of what paho raised on its way to a socket; the exception is still the context.
        cause = error.__context__
        if self._client.socket() is None and isinstance(cause, ssl.SSLError):
            return handshake_failure(cause)
        if self._client.socket() is None and isinstance(cause, OSError):
            return connect_failure(cause, self._where, self._timing.connect)
        return UcmError(Code.BROKER_TIMEOUT, f"no answer to CONNECT in {self._timing.connect:g} s")

    # ---- aiomqtt's hooks ------------------------------------------------------------------------

    def _client_connect(self) -> None:
        """Runs in a thread."""
        try:
            super()._client_connect()
        finally:
            self._loop.call_soon_threadsafe(_resolve, self._dialled)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        super()._on_socket_close(client, userdata, sock)
        self._loop.call_soon_threadsafe(_resolve, self._hung_up)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Awaits ``work``, which is short, even when cancelled meanwhile; the cancellation passes afterwards."""
    task = asyncio.ensure_future(work)
    cancellation = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as caught:
            cancellation = caught
    task.result()
    if cancellation is not None:
        raise cancellation


def _sign_in(access: BrokerAccess) -> tuple[str | None, str | None]:
    if isinstance(access.credentials, PasswordCredentials):
        return access.credentials.username, access.credentials.password.reveal()
    return None, None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
