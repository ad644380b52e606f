"""The embedded MQTT 3.1.1 broker: amqtt, with its doors closed.

amqtt leaves several decisions to whoever embeds it. Taken as it comes it accepts TLS clients without a
certificate, keeps sessions of clients that it refused, lets any client id take the session of another client,
passes on last wills unchecked, shows retained messages to clients that may not read their topics, and never
ends a connection that fell silent. The overrides below decide each of these; tests hold them to it.
"""

import asyncio
import logging
import math
import secrets
import ssl
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import Any

import structlog
from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker, Server
from amqtt.contexts import Action, BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from ucm_site_api.access import AccessControl, AccessRefusedError, Identity
from ucm_site_api.tls import start_tls_server

log = structlog.get_logger(__name__)

# A module's largest message is a page of properties; nothing on these topics needs more.
MAX_PACKET_BYTES = 256 * 1024

# From the first byte of TCP to a whole CONNECT, on a bad radio link.
CONNECT_SECONDS = 10.0

# MQTT 3.1.1, 3.1.2.10: a server waits one and a half times the client's keep-alive. Clients without one are
# ended after a day of silence: a vanished peer looks just like them, and without any deadline amqtt reads ahead
# to the end of a connection and drops what was published before it.
_KEEP_ALIVE_FACTOR = 1.5
_SILENT_SECONDS = 24 * 3600

# How much of a stranger's user name is worth a place in the log.
_SHOWN = 64

_IDENTITY = "ucm_site_api.identity"
_CLIENT_ID = "ucm_site_api.client_id"


class BoundedReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt has no type information
    """Ends a connection that announces more bytes than any packet here has."""

    async def read(self, n: int = -1) -> bytes:
        """Read exactly `n` bytes.

        Raises:
            ConnectionAbortedError: `n` is beyond every packet that is welcome.
        """
        if n > MAX_PACKET_BYTES:
            raise ConnectionAbortedError("packet too large")
        data: bytes = await super().read(n)
        return data


class SiteSession(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt has no type information
    """amqtt's side of one connection, which ends when the client is silent for too long."""

    def handle_read_timeout(self) -> None:
        """Let the reader see an end of file."""
        if self.reader is not None:
            self.reader.feed_eof()


class SiteBroker(Broker):  # type: ignore[misc]  # amqtt has no type information
    """One plaintext and one TLS listener over sockets that are bound already.

    `observe` is called with topic and payload of every message that is passed on.
    """

    def __init__(
        self,
        plain: socket,
        tls: socket,
        context: ssl.SSLContext,
        access: AccessControl,
        observe: Callable[[str, bytes], None],
    ) -> None:
        listeners = {name: ListenerConfig() for name in ("default", "mqtt", "mqtts")}
        # No plugins: rights are decided in the overrides. A plugin would be awaited for every message and
        # receiver, and a subscription that arrives meanwhile would break the loop over subscriptions.
        super().__init__(BrokerConfig(listeners=listeners, plugins={}))
        for name in ("amqtt", "transitions"):  # what a person needs of it is logged here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._plain = plain
        self._tls = tls
        self._context = context
        self._access = access
        self._observe = observe
        self._connections: set[asyncio.Task[Any]] = set()

    async def shutdown(self) -> None:
        """Accept nobody any more, end every connection, and leave no task behind."""
        for server in self._servers.values():
            server.instance.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await super().shutdown()

    async def end_sessions_without_credential(self) -> None:
        """Disconnect everybody whose credential ended while connected."""
        for session, connection in list(self._sessions.values()):
            identity = _identity(session)
            if not await self._access.still_accepted(identity):
                log.info("mqtt session ended: its credential ended", client=identity.name)
                await connection.handle_connection_closed()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._client_connected(listener_name, BoundedReader(reader), StreamWriterAdapter(writer))
        except (OSError, TimeoutError, ValueError) as cause:
            log.debug("mqtt connection ended", reason=str(cause))
        except Exception:
            log.exception("mqtt connection failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def retain_message(self, *_: Any, **__: Any) -> None:
        """Keep nothing: the platform retains no messages, and amqtt shows retained ones to every newcomer."""

    async def _start_listeners(self) -> None:
        plain = partial(self.stream_connected, listener_name="mqtt")
        tls = partial(self.stream_connected, listener_name="mqtts")
        self._servers["mqtt"] = Server("mqtt", await asyncio.start_server(plain, sock=self._plain))
        self._servers["mqtts"] = Server("mqtts", await start_tls_server(tls, self._tls, self._context))

    async def _initialize_client_session(
        self, reader: BoundedReader, writer: StreamWriterAdapter, remote_address: str, _remote_port: int
    ) -> tuple[SiteSession, Session]:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection, session = await SiteSession.init_from_connect(reader, writer, self.plugins_manager)
        try:
            identity = await self._identify(session)
        except AccessRefusedError as refusal:
            log.warning(
                "mqtt client refused",
                reason=str(refusal),
                user=(session.username or "")[:_SHOWN],
                address=remote_address,
            )
            await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            raise AMQTTError("refused") from None
        await self._displace(identity, session.client_id)
        _admit(session, identity)
        return connection, session

    async def _identify(self, session: Session) -> Identity:
        if session.ssl_object is not None:
            return await self._access.by_certificate(session.ssl_object.getpeercert())
        return await self._access.by_password(session.username, session.password)

    async def _displace(self, identity: Identity, client_id: str) -> None:
        """End the older session of the same client id, but only one of the same identity."""
        for session, connection in list(self._sessions.values()):
            if session.attributes[_CLIENT_ID] == client_id and _identity(session).name == identity.name:
                await connection.handle_connection_closed()

    async def _authenticate(self, *_: Any) -> bool:
        return True  # nobody gets a session who was not identified before

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        identity = _identity(session)
        return identity.may_publish(topic) if action == Action.PUBLISH else identity.may_hear(topic)

    async def _broadcast_message(
        self, session: Session | None, topic: str, data: bytes | bytearray, force_qos: int | None = None
    ) -> None:
        self._observe(topic, bytes(data))
        await super()._broadcast_message(session, topic, data, force_qos)


def _identity(session: Session) -> Identity:
    identity: Identity = session.attributes[_IDENTITY]
    return identity


def _admit(session: Session, identity: Identity) -> None:
    session.attributes[_IDENTITY] = identity
    session.attributes[_CLIENT_ID] = session.client_id
    # A name of our own: amqtt finds sessions by client id alone, whoever they belong to. Sessions therefore
    # never outlive their connection, which CONNACK tells ("session present" is 0).
    session.client_id = secrets.token_hex(16)
    session.clean_session = True
    session.parent = 0
    session.keep_alive = math.ceil(session.keep_alive * _KEEP_ALIVE_FACTOR) or _SILENT_SECONDS
    if session.will_flag and not identity.may_publish(session.will_topic or ""):
        log.warning("mqtt last will dropped: its topic is not the client's", client=identity.name)
        session.will_flag = False
