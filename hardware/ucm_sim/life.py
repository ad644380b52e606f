"""The module's life with one configuration: Wi-Fi, address, time, broker, and again after a failure."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ucm_sim import timesync
from ucm_sim.broker import BrokerSession, Habits, Topics
from ucm_sim.clock import Clock, RealTimeClock
from ucm_sim.identity import Identity
from ucm_sim.link_state import ConnectError, LinkState
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.network import Stream, open_plain, open_tls, tls_context
from ucm_sim.radio import Radio
from ucm_sim.tasks import until_one_fails
from ucm_sim.wifi import Station

_FIRST_BACK_OFF_S = 1.0
_LONGEST_BACK_OFF_S = 5.0


class Surroundings(Protocol):
    """What a life needs of the module that lives it."""

    @property
    def identity(self) -> Identity: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def rtc(self) -> RealTimeClock: ...

    @property
    def radio(self) -> Radio: ...

    @property
    def habits(self) -> Habits: ...

    def lease(self, ssid: str) -> str: ...

    def say(self, tag: str, sentence: str) -> None: ...


class Life:
    """Connects with one configuration until it is cancelled.

    While `only_ssid()` names a network, no other of the list is tried. `came_online()` is called when the
    broker has granted the command subscription, `unusable()` when there is no point in trying.
    """

    def __init__(
        self,
        module: Surroundings,
        config: pb.ModuleConfig,
        link: LinkState,
        station: Station,
        *,
        only_ssid: Callable[[], str],
        came_online: Callable[[], None],
        unusable: Callable[[], None],
        commands: Mapping[str, Callable[[], None]],
    ) -> None:
        self._module = module
        self._config = config
        self._link = link
        self._station = station
        self._only_ssid = only_ssid
        self._came_online = came_online
        self._unusable = unusable
        self._tls: ssl.SSLContext | None = None
        self._commands = commands

    async def run(self) -> None:
        try:
            self._tls = tls_context(self._config.tls) if self._config.HasField("tls") else None
        except ConnectError as failure:
            self._fail(failure)
            self._unusable()
        else:
            await self._again_and_again(self._be_in_a_network, pb.DHCP)

    async def _again_and_again(self, attempt: Callable[[], Awaitable[None]], success: pb.Phase.ValueType) -> None:
        """Repeat what fails in the end, less and less often; soon again after it came as far as `success`."""
        back_off = _FIRST_BACK_OFF_S
        while True:
            try:
                await attempt()
            except ConnectError as failure:
                if self._link.phase >= success:
                    back_off = _FIRST_BACK_OFF_S
                self._fail(failure)
            await self._module.clock.sleep(back_off)
            back_off = min(2 * back_off, _LONGEST_BACK_OFF_S)

    def _fail(self, failure: ConnectError) -> None:
        shown = (self._link.phase, self._link.reason)
        self._link.fail(failure)
        if shown != (self._link.phase, self._link.reason):
            phase, reason = pb.Phase.Name(self._link.phase), pb.Reason.Name(failure.reason)
            self._module.say("link", f"{phase} failed: {reason} ({failure.detail})")

    async def _be_in_a_network(self) -> None:
        self._link.association = await self._station.join(self._networks(), self._link.enter)
        await until_one_fails(
            self._again_and_again(self._connect, pb.ONLINE),
            self._station.lose(self._link),
        )

    async def _connect(self) -> None:
        await self._sync_time()
        session = await self._open_session()
        try:
            await self._go_online(session)
        finally:
            session.abort()

    def _networks(self) -> list[pb.Wifi]:
        only = self._only_ssid()
        return [wifi for wifi in self._config.wifi if only in ("", wifi.ssid)]

    async def _sync_time(self) -> None:
        self._link.enter(pb.TIME)
        if not self._config.HasField("time_sync"):
            return
        source_ms = await timesync.ask(self._config.time_sync)
        rtc = self._module.rtc
        self._link.association.clock_offset_ms = rtc.now_ms() - source_ms if rtc.is_set else 0
        rtc.set_ms(source_ms)
        self._module.say("time", "synchronised")

    async def _open_session(self) -> BrokerSession:
        self._link.enter(pb.TLS)
        config, module = self._config, self._module
        stream = await self._open_stream()
        topics = Topics(config.hardware_id, config.channel_id or module.identity.channel_id)
        return BrokerSession(
            stream,
            topics,
            module.clock,
            module.rtc.now_ms,
            habits=module.habits,
            commands=self._commands,
        )

    async def _open_stream(self) -> Stream:
        host, port = self._config.mqtt_host, self._config.mqtt_port
        if self._tls is not None:
            return await open_tls(host, port, self._tls, self._module.rtc.now_ms())
        return await open_plain(host, port)

    async def _go_online(self, session: BrokerSession) -> None:
        by_password = self._config.HasField("password")
        if by_password:
            self._link.enter(pb.MQTT)
        # With a certificate the handshake is over only when the broker has answered something.
        await session.log_in(self._config.password if by_password else None)
        self._link.enter(pb.MQTT)
        await session.subscribe()
        self._link.enter(pb.ONLINE)
        self._came_online()
        await session.live(self._properties())

    def _properties(self) -> dict[str, object]:
        identity = self._module.identity
        return {
            "config_generation": self._link.generation,
            "model": identity.model,
            "firmware": identity.firmware,
        }
