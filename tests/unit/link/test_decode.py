"""A module's answers: every field within its bounds, every status with its meaning."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.link.scripted import HARDWARE_ID
from ucm_provision.core import model
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.link import decode
from ucm_provision.link.messages import ucm_link_pb2 as pb

DIGEST, TRANSACTION = bytes(range(32)), bytes(range(16))


def slot(**changes: object) -> pb.ConfigState:
    fields = {
        "generation": 7,
        "sha256": DIGEST,
        "device_id": "device-1",
        "ssid": ["plant-wifi", "Werk Süd"],
        "owner": "box-1",
        "transaction": TRANSACTION,
    }
    return pb.ConfigState(**(fields | changes))


def info(**changes: object) -> bytes:
    fields = {
        "status": pb.OK,
        "hardware_id": HARDWARE_ID,
        "product": pb.UCM,
        "model": "ENP-RL6",
        "firmware": "2.4.1",
        "channel_id": "ucm",
        "active": slot(),
        "reservation": pb.Reservation(owner="box-1", remaining_s=9),
        "attached": [pb.Attached(hardware_id="A" * 32, model="slave")],
        "uptime_ms": 41250,
        "clock_unix_ms": 0,
    }
    return pb.Info(**(fields | changes)).SerializeToString()


def state(**changes: object) -> bytes:
    fields = {
        "status": pb.OK,
        "phase": pb.ONLINE,
        "reason": pb.NONE,
        "generation": 7,
        "rssi_dbm": -58,
        "ip": "10.20.0.57",
        "ssid": "plant-wifi",
        "clock_offset_ms": -12,
        "detail": "fine",
        "last_trial": pb.LastTrial(transaction=TRANSACTION, generation=7, phase=pb.ONLINE, reason=pb.NONE),
    }
    return pb.LinkState(**(fields | changes)).SerializeToString()


def test_info() -> None:
    assert decode.module_info(info()) == model.ModuleInfo(
        hardware_id=HARDWARE_ID,
        product=model.Product.UCM,
        model="ENP-RL6",
        firmware="2.4.1",
        channel_id="ucm",
        active=model.ConfigState(7, DIGEST, "device-1", ("plant-wifi", "Werk Süd"), "box-1", TRANSACTION),
        trial=None,
        reservation=model.Reservation("box-1", 9),
        attached=(model.Attached("A" * 32, "slave"),),
        uptime_ms=41250,
        clock_unix_ms=0,
    )


def test_link_state() -> None:
    assert decode.link_state(state()) == model.LinkState(
        phase=model.Phase.ONLINE,
        reason=model.Reason.NONE,
        generation=7,
        rssi_dbm=-58,
        ip="10.20.0.57",
        ssid="plant-wifi",
        clock_offset_ms=-12,
        detail="fine",
        last_trial=model.LastTrial(TRANSACTION, 7, model.Phase.ONLINE, model.Reason.NONE),
    )


def test_every_product_phase_and_reason_of_the_link_is_the_daemons() -> None:
    for number in pb.Product.values()[1:]:
        assert decode.module_info(info(product=number)).product == pb.Product.Name(number)
    for number in pb.Phase.values()[1:]:
        assert decode.link_state(state(phase=number)).phase == pb.Phase.Name(number)
    for number in pb.Reason.values()[1:]:
        assert decode.link_state(state(reason=number)).reason == pb.Reason.Name(number)


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware_id": "not one"},
        {"hardware_id": ""},
        {"product": 0},
        {"model": "x" * 65},
        {"model": "ENP\x1b[2J"},
        {"firmware": "2.4\n1"},
        {"channel_id": "ucm\u202e"},
        {"uptime_ms": 2**63},
        {"clock_unix_ms": -(2**62)},
        {"active": slot(sha256=bytes(31))},
        {"active": slot(transaction=bytes(15))},
        {"active": slot(generation=0)},
        {"active": slot(ssid=["x" * 33])},
        {"active": slot(ssid=["x"] * 17)},
        {"active": slot(owner="box\x00")},
        {"trial": pb.ConfigState()},
        {"reservation": pb.Reservation(owner="x" * 65)},
        {"attached": [pb.Attached(hardware_id="A" * 32)] * 17},
        {"attached": [pb.Attached(hardware_id="?")]},
        {"status": 99},
        {"status": pb.STATUS_UNSPECIFIED},
    ],
    ids=str,
)
def test_info_out_of_bounds(changes: dict) -> None:
    with pytest.raises(UcmError) as caught:
        decode.module_info(info(**changes))
    assert caught.value.code is Code.LINK_GARBAGE


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": 8},
        {"phase": 0},
        {"reason": 17},
        {"reason": 0},
        {"ip": "x" * 46},
        {"ssid": "\x00"},
        {"clock_offset_ms": 2**60},
        {"last_trial": pb.LastTrial()},
        {"last_trial": pb.LastTrial(transaction=TRANSACTION, phase=8, reason=16)},
        {"status": 0},
    ],
    ids=str,
)
def test_link_state_out_of_bounds(changes: dict) -> None:
    with pytest.raises(UcmError) as caught:
        decode.link_state(state(**changes))
    assert caught.value.code is Code.LINK_GARBAGE


@pytest.mark.parametrize(("field", "code"), [("product", Code.PRODUCT_UNSUPPORTED), ("status", Code.LINK_GARBAGE)])
def test_an_unknown_number_is_named(field: str, code: Code) -> None:
    with pytest.raises(UcmError, match="4711") as caught:
        decode.module_info(info(**{field: 4711}))
    assert caught.value.code is code


def test_words_for_a_person_are_shortened_rather_than_refused() -> None:
    detail = decode.link_state(state(detail="half\nway\x1b[2J" + "x" * 500)).detail
    assert detail.isprintable()
    assert detail.startswith("half way [2J")
    assert len(detail) <= 200


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (pb.STATUS_UNSPECIFIED, Code.LINK_GARBAGE),
        (pb.INVALID_ARGUMENT, Code.MODULE_REFUSED),
        (pb.BUSY, Code.MODULE_BUSY),
        (pb.CONFLICT, Code.MODULE_CONFLICT),
        (pb.OUT_OF_ORDER, Code.LINK_BROKEN),
        (pb.CORRUPT, Code.LINK_BROKEN),
        (pb.TOO_LARGE, Code.MODULE_REFUSED),
        (pb.NOT_FOUND, Code.LINK_BROKEN),
        (pb.REFUSED, Code.MODULE_REFUSED),
        (pb.INTERNAL, Code.LINK_BROKEN),
        (11, Code.LINK_GARBAGE),
    ],
)
def test_status(status: int, code: Code) -> None:
    with pytest.raises(UcmError) as caught:
        decode.check_reply(pb.ConfigReply(status=status, detail="because"), "commit")
    assert caught.value.code is code
    assert code is Code.LINK_GARBAGE or "because" in caught.value.detail


def test_every_status_has_a_meaning() -> None:
    for status in pb.Status.values()[2:]:
        with pytest.raises(UcmError) as caught:
            decode.check_reply(pb.ConfigReply(status=status), "commit")
        assert caught.value.code is not Code.LINK_GARBAGE


def test_busy_names_the_holder_and_the_seconds() -> None:
    held = pb.Reservation(owner="other-box", remaining_s=77)
    with pytest.raises(UcmError, match="other-box") as caught:
        decode.check_reply(pb.ConfigReply(status=pb.BUSY, reservation=held), "reserve")
    assert caught.value.retry_after == 77


def test_busy_for_ever_is_not_believed() -> None:
    held = pb.Reservation(owner="other-box", remaining_s=2**32 - 1)
    with pytest.raises(UcmError) as caught:
        decode.check_reply(pb.ConfigReply(status=pb.BUSY, reservation=held), "reserve")
    assert caught.value.retry_after == 960


@pytest.mark.parametrize(
    "read",
    [decode.module_info, decode.link_state, lambda body: decode.check_reply(decode.config_reply(body, "x"), "x")],
)
@given(body=st.binary(max_size=200))
def test_no_answer_surprises(read: Callable[[bytes], object], body: bytes) -> None:
    try:
        read(body)
    except UcmError:
        return


@given(st.integers(0, 10_000))
def test_an_answer_that_was_cut_never_reads_as_another(cut: int) -> None:
    whole = info()
    shortened = whole[: cut % len(whole)]
    try:
        read = decode.module_info(shortened)
    except UcmError:
        return
    assert read.hardware_id == HARDWARE_ID
