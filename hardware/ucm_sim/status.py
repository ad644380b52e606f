"""`ucm-info`, `ucm-link` and `ucm-identify`: what a module tells about itself."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from ucm_sim.configure import Configurator
from ucm_sim.life import Surroundings
from ucm_sim.link_state import LinkState
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.protocomm import Session
from ucm_sim.reservation import ReservationDesk
from ucm_sim.slots import Slots

LONGEST_BLINK_S = 60
_VERSION = 1
_MOST_ATTACHED = 16

_Request = TypeVar("_Request", bound=Message)


class Observed(Surroundings, Protocol):
    """What the answers are read from."""

    @property
    def counts(self) -> Counter[str]: ...

    def uptime(self) -> float: ...

    def changed(self) -> None: ...


class StatusEndpoints:
    """The endpoints that change nothing. They need a secure session and no reservation."""

    def __init__(
        self,
        module: Observed,
        slots: Slots,
        configurator: Configurator,
        desk: ReservationDesk,
        live_link: Callable[[], LinkState],
    ) -> None:
        self._module = module
        self._slots = slots
        self._configurator = configurator
        self._desk = desk
        self._live_link = live_link

    def info(self, _: Session, body: bytes) -> bytes:
        request = _parse(pb.InfoRequest, body)
        if request is None or request.version != _VERSION:
            return pb.Info(status=pb.INVALID_ARGUMENT).SerializeToString()
        reply = self._identity()
        self._add_configurations(reply)
        if reservation := self._desk.message():
            reply.reservation.CopyFrom(reservation)
        return reply.SerializeToString()

    def link(self, _: Session, body: bytes) -> bytes:
        request = _parse(pb.LinkRequest, body)
        if request is None or request.version != _VERSION:
            return pb.LinkState(status=pb.INVALID_ARGUMENT).SerializeToString()
        live = self._live_link()
        reply = live.message(self._module.radio.rssi_dbm(live.association.ssid))
        if last := self._slots.last_trial:
            reply.last_trial.CopyFrom(last.message())
        return reply.SerializeToString()

    def identify(self, _: Session, body: bytes) -> bytes:
        request = _parse(pb.IdentifyRequest, body)
        if request is None or not 1 <= request.seconds <= LONGEST_BLINK_S:
            detail = f"seconds: 1 to {LONGEST_BLINK_S}"
            return pb.ConfigReply(status=pb.INVALID_ARGUMENT, detail=detail).SerializeToString()
        self._module.counts["identify"] += 1
        self._module.say("led", f"blinking for {request.seconds} s")
        self._module.changed()
        return pb.ConfigReply(status=pb.OK).SerializeToString()

    def _identity(self) -> pb.Info:
        identity = self._module.identity
        attached = [pb.Attached(hardware_id=slave.hardware_id, model=slave.model) for slave in identity.attached]
        return pb.Info(
            status=pb.OK,
            hardware_id=identity.hardware_id,
            product=identity.product_number,
            model=identity.model,
            firmware=identity.firmware,
            channel_id=identity.channel_id,
            mac=identity.mac,
            attached=attached[:_MOST_ATTACHED],
            uptime_ms=round(self._module.uptime() * 1000),
            clock_unix_ms=self._module.rtc.now_ms(),
        )

    def _add_configurations(self, reply: pb.Info) -> None:
        if active := self._slots.active:
            reply.active.CopyFrom(active.state())
        if tried := self._slots.tried:
            reply.trial.CopyFrom(tried.state())
        if staging := self._configurator.staging:
            reply.staged.CopyFrom(staging.message())


def _parse(kind: type[_Request], body: bytes) -> _Request | None:
    try:
        return kind.FromString(body)
    except DecodeError:
        return None
