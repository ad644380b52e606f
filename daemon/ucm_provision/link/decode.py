"""A module's answers as the daemon's own values. A module is not trusted: every field has its bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from ucm_provision.core import model
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.link.messages import ucm_link_pb2 as pb

_TEXT_LONGEST = 64
_SSID_LONGEST = 32
_IP_LONGEST = 45
_DETAIL_LONGEST = 200
_ATTACHED_MOST = 16
_RESERVATION_LONGEST = 960
_TRANSACTION_BYTES = 16
_SHA256_BYTES = 32
_TIME_LARGEST = 2**53  # what every consumer of JSON can hold

_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")


def module_info(body: bytes) -> model.ModuleInfo:
    """The answer of ``ucm-info``. Raises UcmError ``link_garbage``, or as :func:`check_status`."""
    info = _parse(pb.Info, body, "ucm-info")
    check_status(info.status, "ucm-info")
    return model.ModuleInfo(
        hardware_id=_hardware_id(info.hardware_id),
        product=_product(info.product),
        model=_text("model", info.model),
        firmware=_text("firmware", info.firmware),
        channel_id=_text("channel id", info.channel_id),
        active=_config_state(info.active) if info.HasField("active") else None,
        trial=_config_state(info.trial) if info.HasField("trial") else None,
        reservation=reservation(info.reservation) if info.HasField("reservation") else None,
        attached=_attached(info.attached),
        uptime_ms=_number("uptime", info.uptime_ms, 0, _TIME_LARGEST),
        clock_unix_ms=_number("clock", info.clock_unix_ms, -_TIME_LARGEST, _TIME_LARGEST),
    )


def link_state(body: bytes) -> model.LinkState:
    """The answer of ``ucm-link``. Raises UcmError ``link_garbage``, or as :func:`check_status`."""
    state = _parse(pb.LinkState, body, "ucm-link")
    check_status(state.status, "ucm-link")
    return model.LinkState(
        phase=_phase(state.phase),
        reason=_reason(state.reason),
        generation=state.generation,
        rssi_dbm=state.rssi_dbm,
        ip=_text("address", state.ip, _IP_LONGEST),
        ssid=_text("network name", state.ssid, _SSID_LONGEST),
        clock_offset_ms=_number("clock offset", state.clock_offset_ms, -_TIME_LARGEST, _TIME_LARGEST),
        detail=_detail(state.detail),
        last_trial=_last_trial(state.last_trial) if state.HasField("last_trial") else None,
    )


def config_reply(body: bytes, endpoint: str) -> pb.ConfigReply:
    """The answer of ``ucm-config`` or ``ucm-identify``, whatever its status. Raises UcmError ``link_garbage``."""
    return _parse(pb.ConfigReply, body, endpoint)


def check_reply(reply: pb.ConfigReply, endpoint: str) -> None:
    """Raises what a status other than OK stands for."""
    holder = reservation(reply.reservation) if reply.HasField("reservation") else None
    check_status(reply.status, endpoint, _detail(reply.detail), holder)


def check_status(
    status: pb.Status.ValueType, endpoint: str, detail: str = "", holder: model.Reservation | None = None
) -> None:
    """Raises what a status other than OK stands for.

    Raises:
        UcmError: ``module_busy`` with the seconds that are left, ``module_conflict``,
            ``module_refused`` where another try would be refused too, ``link_broken`` where a fresh
            session may do better, ``link_garbage`` for a status that is not known.
    """
    if status == pb.OK:
        return
    if status not in _STATUS_CODES:
        raise UcmError(Code.LINK_GARBAGE, f"{endpoint} answered the unknown status {status}")
    name = f"{endpoint}: {pb.Status.Name(status)}"
    if status == pb.BUSY and holder:
        raise UcmError(Code.MODULE_BUSY, f"reserved by {holder.owner}", retry_after=holder.remaining_s)
    raise UcmError(_STATUS_CODES[status], f"{name}, {detail}" if detail else name)


_STATUS_CODES = {
    pb.INVALID_ARGUMENT: Code.MODULE_REFUSED,
    pb.BUSY: Code.MODULE_BUSY,
    pb.CONFLICT: Code.MODULE_CONFLICT,
    # What was staged is gone, incomplete or damaged: the next session stages it again.
    pb.OUT_OF_ORDER: Code.LINK_BROKEN,
    pb.CORRUPT: Code.LINK_BROKEN,
    pb.NOT_FOUND: Code.LINK_BROKEN,
    pb.INTERNAL: Code.LINK_BROKEN,
    pb.TOO_LARGE: Code.MODULE_REFUSED,
    pb.REFUSED: Code.MODULE_REFUSED,
}


def reservation(message: pb.Reservation) -> model.Reservation:
    """Bounded: a module cannot make its daemon wait longer than the longest reservation there is."""
    return model.Reservation(_text("owner", message.owner), min(message.remaining_s, _RESERVATION_LONGEST))


def _parse(kind: type[_M], body: bytes, endpoint: str) -> _M:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise UcmError(Code.LINK_GARBAGE, f"the answer of {endpoint} is no {kind.__name__} message") from None


def _hardware_id(text: str) -> str:
    try:
        return model.parse_hardware_id(text)
    except ValueError as error:
        raise UcmError(Code.LINK_GARBAGE, str(error)) from None


def _product(number: pb.Product.ValueType) -> model.Product:
    if not number:
        raise UcmError(Code.LINK_GARBAGE, "the module does not say what it is")
    if number not in pb.Product.values():
        raise UcmError(Code.PRODUCT_UNSUPPORTED, f"product {number} of the device link")
    return model.Product[pb.Product.Name(number)]


def _phase(number: pb.Phase.ValueType) -> model.Phase:
    if not number or number not in pb.Phase.values():
        raise UcmError(Code.LINK_GARBAGE, f"unknown phase {number}")
    return model.Phase[pb.Phase.Name(number)]


def _reason(number: pb.Reason.ValueType) -> model.Reason:
    if not number or number not in pb.Reason.values():
        raise UcmError(Code.LINK_GARBAGE, f"unknown reason {number}")
    return model.Reason[pb.Reason.Name(number)]


def _config_state(state: pb.ConfigState) -> model.ConfigState:
    return model.ConfigState(
        generation=_number("generation", state.generation, 1, 2**32 - 1),
        sha256=_sized("digest", state.sha256, _SHA256_BYTES),
        device_id=_text("device id", state.device_id),
        ssids=tuple(_text("network name", ssid, _SSID_LONGEST) for ssid in _few("networks", state.ssid)),
        owner=_text("owner", state.owner),
        transaction=_sized("transaction", state.transaction, _TRANSACTION_BYTES),
    )


def _last_trial(trial: pb.LastTrial) -> model.LastTrial:
    return model.LastTrial(
        transaction=_sized("transaction", trial.transaction, _TRANSACTION_BYTES),
        generation=trial.generation,
        phase=_phase(trial.phase),
        reason=_reason(trial.reason),
    )


def _attached(slaves: Iterable[pb.Attached]) -> tuple[model.Attached, ...]:
    return tuple(
        model.Attached(_hardware_id(slave.hardware_id), _text("model", slave.model))
        for slave in _few("attached modules", slaves)
    )


def _few(what: str, items: Iterable[_T]) -> list[_T]:
    listed = list(items)
    if len(listed) > _ATTACHED_MOST:
        raise UcmError(Code.LINK_GARBAGE, f"the module names {len(listed)} {what}")
    return listed


def _text(what: str, text: str, longest: int = _TEXT_LONGEST) -> str:
    if len(text) > longest or not text.isprintable():
        raise UcmError(Code.LINK_GARBAGE, f"the module's {what} is too long or not printable")
    return text


def _detail(text: str) -> str:
    """Words for a person: rather shortened than refused."""
    return "".join(c if c.isprintable() else " " for c in text[:_DETAIL_LONGEST]).strip()


def _sized(what: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise UcmError(Code.LINK_GARBAGE, f"the module's {what} has {len(value)} bytes instead of {size}")
    return value


def _number(what: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise UcmError(Code.LINK_GARBAGE, f"the module's {what} is {value}")
    return value
