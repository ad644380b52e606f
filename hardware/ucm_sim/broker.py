"""The module's session with its broker: connect, subscribe, publish, answer commands."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from ucm_sim import mqtt
from ucm_sim.clock import Clock
from ucm_sim.link_state import ConnectError
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.network import Stream, tls_failure
from ucm_sim.tasks import until_one_fails

_ANSWER_DEADLINE_S = 10.0
_SUBSCRIPTION = 1
# CONNACK codes 4 and 5: bad user name or password, not authorized.
_NOT_AUTHORIZED = (4, 5)


@dataclass(frozen=True, slots=True)
class Habits:
    """How often a module publishes, in seconds of its time. 0: telemetry never, the registration once."""

    telemetry_every_s: float = 1.0
    register_every_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one module, as the platform's devices use them."""

    hardware_id: str
    channel_id: str

    @property
    def register(self) -> str:
        return f"v1/from/{self.hardware_id}/{self.channel_id}/v1/register"

    @property
    def telemetry(self) -> str:
        return f"v1/from/{self.hardware_id}/{self.channel_id}/v1/telemetry"

    @property
    def requests(self) -> str:
        return f"v1/to/{self.hardware_id}/{self.channel_id}/v1/command/requests"

    @property
    def responses(self) -> str:
        return f"v1/from/{self.hardware_id}/{self.channel_id}/v1/command/responses"


class BrokerSession:
    """One MQTT connection. `now_ms()` is the module's clock, `commands` what it can be told to do."""

    def __init__(
        self,
        stream: Stream,
        topics: Topics,
        clock: Clock,
        now_ms: Callable[[], int],
        *,
        habits: Habits,
        commands: Mapping[str, Callable[[], None]],
    ) -> None:
        self._reader, self._writer = stream
        self._topics = topics
        self._clock = clock
        self._now_ms = now_ms
        self._habits = habits
        self._commands = commands

    async def log_in(self, credentials: pb.MqttPassword | None) -> None:
        """CONNECT; without a password the client certificate has said who we are. Raises ConnectError."""
        username, password = (credentials.username, credentials.password) if credentials else (None, None)
        # Without a password this is the first read under mutual TLS: where a refused certificate shows.
        async with self._answering(tls_failure if credentials is None else _lost):
            self._writer.write(mqtt.connect(username, password))
            code = (await mqtt.expect(self._reader, mqtt.Kind.CONNACK, 2))[1]
        if code:
            reason = pb.MQTT_NOT_AUTHORIZED if code in _NOT_AUTHORIZED else pb.MQTT_UNAVAILABLE
            raise ConnectError(reason, f"CONNACK {code}")

    async def subscribe(self) -> None:
        """Have the command subscription granted; raises ConnectError."""
        async with self._answering(_lost):
            self._writer.write(mqtt.subscribe(_SUBSCRIPTION, self._topics.requests))
            granted = (await mqtt.expect(self._reader, mqtt.Kind.SUBACK, 3))[2]
        if granted == mqtt.SUBSCRIPTION_REFUSED:
            raise ConnectError(pb.MQTT_NOT_AUTHORIZED, "the command subscription was refused")

    async def live(self, properties: Mapping[str, object]) -> None:
        """Publish and answer commands until the connection is lost; raises ConnectError then."""
        try:
            await until_one_fails(
                self._register(properties),
                self._send_telemetry(),
                self._stay_alive(),
                self._obey(),
            )
        except (OSError, EOFError, mqtt.ProtocolError) as failure:
            raise ConnectError(pb.MQTT_UNAVAILABLE, "the connection to the broker was lost") from failure

    def abort(self) -> None:
        """Drop the connection without a word, as a module does that loses power or changes networks."""
        self._writer.transport.abort()

    @contextlib.asynccontextmanager
    async def _answering(self, blame: Callable[[Exception], ConnectError]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_ANSWER_DEADLINE_S):
                yield
        except TimeoutError as failure:
            raise ConnectError(pb.MQTT_UNAVAILABLE, "the broker does not answer") from failure
        except mqtt.ProtocolError as failure:
            raise ConnectError(pb.MQTT_UNAVAILABLE, f"the broker answered {failure}") from failure
        except (OSError, EOFError) as failure:
            raise blame(failure) from failure

    async def _register(self, properties: Mapping[str, object]) -> None:
        await self._report(self._topics.register, properties)
        while self._habits.register_every_s:
            await self._clock.sleep(self._habits.register_every_s)
            await self._report(self._topics.register, properties)

    async def _send_telemetry(self) -> None:
        while self._habits.telemetry_every_s:
            await self._report(self._topics.telemetry, {})
            await self._clock.sleep(self._habits.telemetry_every_s)

    async def _report(self, topic: str, values: Mapping[str, object]) -> None:
        self._publish(topic, {"timestamp": self._now_ms() // 1000, **values})
        await self._writer.drain()

    async def _stay_alive(self) -> None:
        """Say something to the broker at least every keep-alive time, however rarely there is anything to report."""
        while True:
            await self._clock.sleep(mqtt.KEEP_ALIVE_S / 2)
            self._writer.write(mqtt.ping())
            await self._writer.drain()

    async def _obey(self) -> None:
        while True:
            packet = await mqtt.read_packet(self._reader)
            if packet.kind is mqtt.Kind.PUBLISH:
                self._execute(packet.message[1])

    def _execute(self, payload: bytes) -> None:
        try:
            request = json.loads(payload)
            identifier, name = request["id"], request["name"]
        except (ValueError, TypeError, KeyError):
            return
        self._respond(identifier, "log", {"message": "Executing command..."})
        action = self._commands.get(name) if isinstance(name, str) else None
        if action is None:
            self._respond(identifier, "error", {"message": "Command handler not implemented."})
        else:
            self._respond(identifier, "completed", {"result": None})
            action()

    def _respond(self, identifier: object, state: str, payload: Mapping[str, object]) -> None:
        self._publish(self._topics.responses, {"id": identifier, "state": state, "payload": payload})

    def _publish(self, topic: str, content: Mapping[str, object]) -> None:
        self._writer.write(mqtt.publish(topic, json.dumps(content).encode()))


def _lost(_: Exception) -> ConnectError:
    return ConnectError(pb.MQTT_UNAVAILABLE, "the broker closed the connection")
