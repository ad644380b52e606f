"""The server's one connection to mosquitto: it hears what modules say, and commands dynamic security."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Never

import aiomqtt
import msgspec
import structlog

from ucm_site_api.errors import BrokerUnavailableError
from ucm_site_api.mosquitto.files import CONTROL_USER

log = structlog.get_logger(__name__)

# What a person needs of it is logged here.
_SILENT = logging.getLogger("ucm_site_api.mosquitto.mqtt")
_SILENT.setLevel(logging.CRITICAL)

_COMMANDS = "$CONTROL/dynamic-security/v1"
_ANSWERS = f"{_COMMANDS}/response"
_MODULES = "v1/from/#"
_REFUSED = 0x80

# mosquitto is on this machine and answers within milliseconds, also when it writes 2,000 clients to its file.
_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 10

Command = dict[str, Any]


class Answer(msgspec.Struct, frozen=True, rename={"tag": "correlationData"}):
    """mosquitto's answer to one command; `error` is None if it was done."""

    command: str
    error: str | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    tag: str | None = None


class _Answers(msgspec.Struct, frozen=True):
    responses: list[Answer]


class ControlConnection:
    """Stays connected, and connects again.

    Args:
        address: of the password listener, on this machine.
        password: of `CONTROL_USER`.
        observe: called with topic and payload of every message under `v1/from/`.
        connected: called whenever a connection was made.
    """

    def __init__(
        self,
        address: tuple[str, int],
        password: str,
        observe: Callable[[str, bytes], None],
        connected: Callable[[], None],
    ) -> None:
        self._address = address
        self._password = password
        self._observe = observe
        self._connected = connected
        self._client: aiomqtt.Client | None = None
        self._asked: dict[str, asyncio.Future[list[Answer]]] = {}
        self._complaint = ""

    async def run(self) -> Never:
        """Serve one connection after the other."""
        while True:
            try:
                await self._serve_one()
            except (aiomqtt.MqttError, OSError) as cause:
                self._complain(str(cause))
            except Exception:
                log.exception("the connection to mosquitto failed")
            _pass_cancellation()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def request(self, commands: list[Command]) -> list[Answer]:
        """Have dynamic security carry commands out, in their order; an answer for each.

        Raises:
            BrokerUnavailableError: no connection, or no answer in time: some or all may have been carried out.
        """
        client = self._client
        if client is None:
            raise BrokerUnavailableError
        tag = secrets.token_hex(8)
        self._asked[tag] = asyncio.get_running_loop().create_future()
        tagged = [command | {"correlationData": tag} for command in commands]
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                # Without an acknowledgement of its own (QoS 0): the answer is one.
                await client.publish(_COMMANDS, msgspec.json.encode({"commands": tagged}))
                _pass_cancellation()
                return await self._asked[tag]
        except (TimeoutError, aiomqtt.MqttError) as cause:
            raise BrokerUnavailableError from cause
        finally:
            del self._asked[tag]

    async def _serve_one(self) -> None:
        try:
            async with self._new_client() as client:
                await _subscribe(client)
                _pass_cancellation()
                self._client = client
                self._complaint = ""
                log.info("connected to mosquitto", address=self._address)
                self._connected()
                async for message in client.messages:
                    self._take(message)
        finally:
            self._client = None
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(BrokerUnavailableError())

    def _new_client(self) -> aiomqtt.Client:
        host, port = self._address
        return aiomqtt.Client(
            host,
            port,
            username=CONTROL_USER,
            password=self._password,
            identifier="",
            keepalive=_KEEP_ALIVE_SECONDS,
            timeout=_CONNECT_SECONDS,
            logger=_SILENT,
        )

    def _take(self, message: aiomqtt.Message) -> None:
        payload = message.payload
        if not isinstance(payload, bytes):
            return
        if message.topic.value == _ANSWERS:
            self._settle(payload)
        elif not message.retain:  # what was said before this connection says nothing of now
            self._observe(message.topic.value, payload)

    def _settle(self, payload: bytes) -> None:
        with suppress(msgspec.MsgspecError):
            answers = msgspec.json.decode(payload, type=_Answers).responses
            asked = self._asked.get(answers[0].tag or "") if answers else None
            if asked is not None and not asked.done():
                asked.set_result(answers)

    def _complain(self, reason: str) -> None:
        if reason != self._complaint:
            log.warning("no connection to mosquitto", address=self._address, reason=reason)
        self._complaint = reason


def _pass_cancellation() -> None:
    """aiomqtt waits with asyncio.wait_for, which on Python 3.11 loses a cancellation that comes with the answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _subscribe(client: aiomqtt.Client) -> None:
    granted = await client.subscribe([(_ANSWERS, 1), (_MODULES, 0)])
    if any(code.value >= _REFUSED for code in granted if not isinstance(code, int)):
        raise aiomqtt.MqttError("the role of this server's client has lost its rights")
