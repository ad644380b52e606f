"""How far the module's connection has come, as `ucm-link` tells it."""

from collections.abc import Callable
from dataclasses import dataclass

from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.slots import Progress

_FROM_THE_BROKER = (pb.MQTT_NOT_AUTHORIZED, pb.MQTT_UNAVAILABLE)


class ConnectError(Exception):
    """A phase failed. `detail` is for people and holds no secret."""

    def __init__(self, reason: pb.Reason.ValueType, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Association:
    """What joining a network gave. `clock_offset_ms`: module minus source at the last time sync."""

    ssid: str = ""
    ip: str = ""
    clock_offset_ms: int = 0


class LinkState:
    """The live connection of one configuration.

    A failure stays on show, phase and reason, until a later attempt gets past the phase that failed: a
    client that polls once a second would miss it otherwise. `now()` is in seconds, `changed()` is called
    after every change; `progress` is that of earlier boots within the same trial.
    """

    def __init__(
        self,
        generation: int,
        now: Callable[[], float],
        changed: Callable[[], None],
        progress: Progress | None = None,
    ) -> None:
        self.generation = generation
        self.phase: pb.Phase.ValueType = pb.IDLE
        self.reason: pb.Reason.ValueType = pb.NONE
        self.detail = ""
        self._association = Association()
        self.progress = progress or Progress()
        self._now = now
        self._changed = changed
        self._entered = now()
        self._attempting: pb.Phase.ValueType = pb.IDLE

    @property
    def association(self) -> Association:
        """The network that the module is in; empty while it is in none."""
        return self._association

    @association.setter
    def association(self, association: Association) -> None:
        self._association = association
        self._changed()

    def leave_network(self) -> None:
        """The module is in no network any more, however far it had come: what fails next is the Wi-Fi."""
        self._attempting = pb.WIFI
        self.association = Association()

    def enter(self, phase: pb.Phase.ValueType) -> None:
        self._attempting = phase
        self.progress = self.progress.entered(phase)
        if self.reason == pb.NONE or phase > self.phase:
            self._show(phase, pb.NONE, "")

    def fail(self, failure: ConnectError) -> None:
        """The attempt has failed, in the phase that was entered last."""
        # The broker's own refusals are MQTT's, also where its first answer was to prove the handshake,
        # and where a connection that was online is lost.
        phase = pb.MQTT if failure.reason in _FROM_THE_BROKER else self._attempting
        self.progress = self.progress.failed_in(phase, failure.reason)
        self._show(phase, failure.reason, failure.detail)

    def message(self, rssi_dbm: int) -> pb.LinkState:
        return pb.LinkState(
            status=pb.OK,
            phase=self.phase,
            reason=self.reason,
            generation=self.generation,
            rssi_dbm=rssi_dbm,
            ip=self.association.ip,
            ssid=self.association.ssid,
            clock_offset_ms=self.association.clock_offset_ms,
            phase_ms=round((self._now() - self._entered) * 1000),
            detail=self.detail,
        )

    def _show(self, phase: pb.Phase.ValueType, reason: pb.Reason.ValueType, detail: str) -> None:
        if phase != self.phase:
            self._entered = self._now()
        self.phase, self.reason, self.detail = phase, reason, detail
        self._changed()
