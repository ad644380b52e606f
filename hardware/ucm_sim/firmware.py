"""One run of the firmware, from boot to reset: what it holds in RAM and the tasks it runs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from ucm_sim.configure import Configurator
from ucm_sim.faults import EndpointError
from ucm_sim.flash import Flash
from ucm_sim.http_sessions import HttpSessions
from ucm_sim.httpd import HttpServer
from ucm_sim.lan_carrier import LanCarrier
from ucm_sim.lan_interface import LanInterface
from ucm_sim.life import Life, Surroundings
from ucm_sim.link_state import LinkState
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.protocomm import FramedProtocomm, Protocomm, version_json
from ucm_sim.reservation import ReservationDesk
from ucm_sim.scan import WifiScan
from ucm_sim.security2 import Security2
from ucm_sim.slots import Progress, Slots
from ucm_sim.srp import Verifier
from ucm_sim.status import StatusEndpoints
from ucm_sim.trial import TrialTimer
from ucm_sim.wifi import Station

# Between the answer to Commit or Reset and its effect: the answer must have left the module.
_EFFECT_AFTER_S = 0.5

# protocomm's own HTTP server is configured for one.
_MOST_SOCKETS = 1


class Hardware(Surroundings, Protocol):
    """What firmware finds under itself: its surroundings, flash, and a way to start over."""

    @property
    def flash(self) -> Flash: ...

    @property
    def lan(self) -> LanInterface | None: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def max_frame(self) -> int: ...

    @property
    def entropy(self) -> Callable[[int], bytes]: ...

    def verifier(self) -> Verifier: ...

    def uptime(self) -> float: ...

    def changed(self) -> None: ...

    def reset(self) -> None: ...


class Firmware:
    """RAM and tasks of one boot. Everything that must outlive it is in the flash."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._clock = hardware.clock
        self.slots = Slots(hardware.flash)
        self._begin_where_power_ended()
        desk = ReservationDesk(hardware.uptime)
        self._configurator = Configurator(hardware.identity.hardware_id, self.slots, desk, self, hardware.counts)
        self._status = StatusEndpoints(hardware, self.slots, self._configurator, desk, lambda: self.link)
        self._scan = WifiScan(hardware.radio, hardware.clock, hardware.say)
        self.link = self._new_link()
        self._tasks = asyncio.TaskGroup()
        self.serial = FramedProtocomm(self._protocomm(), hardware.max_frame, self._note_fault)
        self.lan = self._lan_carrier(hardware.lan) if hardware.lan else None
        self._station = Station(self._clock, hardware.radio, hardware.lease, hardware.say)
        self._life: asyncio.Task[None] | None = None
        self._switch: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Live until cancelled."""
        async with self._tasks:
            self._reconnect(after_s=0)
            if self.slots.trial:
                self._start_timer()
            try:
                await asyncio.Event().wait()
            finally:
                if self.lan is not None:
                    self.lan.shut()

    def rejoin(self) -> None:
        """Leave the network and join it again: it may have another address for the module now."""
        self._reconnect(after_s=0)

    def _begin_where_power_ended(self) -> None:
        self.slots.recover()
        if self.slots.trial:
            self.slots.count_boot()
            if self.slots.tried is None:
                self._hardware.say("trial", "rolled back: too many boots")

    def _protocomm(self) -> Protocomm:
        identity = self._hardware.identity
        return Protocomm(
            version_json(identity.hardware_id, self._hardware.max_frame),
            {
                "ucm-info": self._status.info,
                "ucm-link": self._status.link,
                "ucm-identify": self._status.identify,
                "ucm-config": self._configurator.answer,
                "prov-scan": self._scan.answer,
            },
            lambda: Security2(self._hardware.verifier, self._hardware.entropy),
        )

    def _lan_carrier(self, interface: LanInterface) -> LanCarrier:
        hardware = self._hardware
        sessions = HttpSessions(
            self._protocomm(), hardware.entropy, hardware.counts, self._note_fault, hardware.changed
        )
        return LanCarrier(
            interface,
            HttpServer(sessions.answer, _MOST_SOCKETS, hardware.counts),
            sessions,
            hardware.identity,
            state=lambda: self.slots.state_name,
            spawn=self._tasks.create_task,
            listening=self._note_listening,
        )

    def _note_listening(self, where: str) -> None:
        self._hardware.say("httpd", f"listening at {where}")
        self._hardware.changed()

    def _note_fault(self, fault: EndpointError) -> None:
        self._hardware.say("protocomm", fault.reason)

    # ---- what configuration requests set in motion (configure.Consequences) ----

    def now_on_trial(self) -> None:
        tried, trial = self.slots.tried, self.slots.trial
        assert tried is not None
        assert trial is not None
        self._say_trial(f"generation {tried.generation} for {trial.limit_ms // 1000} s")
        self._start_timer()
        self._reconnect(_EFFECT_AFTER_S)

    def trial_confirmed(self) -> None:
        self._confirm(self.link.phase if self._link_is_on_trial() else pb.IDLE, "the host")

    def trial_aborted(self) -> None:
        self._roll_back(self._trial_progress().furthest, pb.ABORTED)

    def reset_asked(self) -> None:
        self._tasks.create_task(self._forget_everything())

    def offer_time(self, unix_ms: int) -> None:
        rtc = self._hardware.rtc
        if unix_ms > 0 and not rtc.is_set:
            rtc.set_ms(unix_ms)

    async def _forget_everything(self) -> None:
        await self._clock.sleep(_EFFECT_AFTER_S)
        self._stop_timer()
        self._configurator.forget()
        self.slots.reset()
        self._hardware.say("config", "reset: everything forgotten")
        self._reconnect(after_s=0)

    # ---- the trial ----

    def _came_online(self) -> None:
        trial = self.slots.trial
        self._hardware.say("mqtt", f"online with generation {self.link.generation}")
        if trial and trial.confirm_by == pb.MODULE_ONLINE and self._link_is_on_trial():
            self._confirm(pb.ONLINE, "the module")

    def _configuration_unusable(self) -> None:
        if self._link_is_on_trial():
            self._roll_back(pb.IDLE, pb.CONFIG_INVALID)

    def _confirm(self, phase: int, by: str) -> None:
        self._stop_timer()
        self.slots.confirm(phase)
        self._say_trial(f"confirmed by {by}")

    def _expire(self) -> None:
        self._roll_back(*self._trial_progress().verdict())

    def _roll_back(self, phase: int, reason: int) -> None:
        self._stop_timer()
        self.slots.roll_back(phase, reason)
        self._say_trial(f"rolled back: {pb.Reason.Name(pb.Reason.ValueType(reason))}")
        self._reconnect(after_s=0)

    def _say_trial(self, sentence: str) -> None:
        self._hardware.say("trial", sentence)
        self._changed()

    def _trial_progress(self) -> Progress:
        return self.link.progress if self._link_is_on_trial() else Progress()

    def _link_is_on_trial(self) -> bool:
        """Whether the live connection uses the configuration on trial: it does not just after Commit."""
        tried = self.slots.tried
        return tried is not None and tried.generation == self.link.generation

    def _start_timer(self) -> None:
        timer = TrialTimer(self.slots, self._clock, self._trial_progress, self._expire)
        self._timer = self._tasks.create_task(timer.run())

    def _stop_timer(self) -> None:
        # The timer itself may be what ends the trial: it is past its last wait then.
        if self._timer is not None and self._timer is not asyncio.current_task():
            self._timer.cancel()
        self._timer = None

    # ---- the connection ----

    def _reconnect(self, after_s: float) -> None:
        if self._switch is not None:
            self._switch.cancel()
        self._switch = self._tasks.create_task(self._switch_life(after_s))

    async def _switch_life(self, after_s: float) -> None:
        await self._clock.sleep(after_s)
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
            self._life = None
        self.link = self._new_link()
        self._changed()
        configuration = self.slots.tried or self.slots.active
        if configuration is not None:
            self._life = self._tasks.create_task(self._live(configuration.module_config))
        elif known := self.slots.wifi:
            self._life = self._tasks.create_task(self._station.stay(self.link, known))

    def _new_link(self) -> LinkState:
        configuration = self.slots.tried or self.slots.active
        trial = self.slots.trial
        return LinkState(
            configuration.generation if configuration else 0,
            self._hardware.uptime,
            self._changed,
            trial.progress if trial else None,
        )

    async def _live(self, config: pb.ModuleConfig) -> None:
        commands = {"reboot": self._hardware.reset}
        life = Life(
            self._hardware,
            config,
            self.link,
            self._station,
            only_ssid=lambda: self.slots.trial.ssid if self.slots.trial else "",
            came_online=self._came_online,
            unusable=self._configuration_unusable,
            commands=commands,
        )
        await life.run()

    def _changed(self) -> None:
        if self.lan is not None:
            self.lan.follow(online=bool(self.link.association.ip))
        self._hardware.changed()
