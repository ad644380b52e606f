"""The transaction, rule by rule: every status that the link's tables promise."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.credentials import Authority
from tests.sim.rig import TransactionRig, new_session
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.staging import Staging

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def rig(tmp_path: Path) -> TransactionRig:
    return TransactionRig(tmp_path / "flash")


@pytest.fixture
def blob(config: pb.ModuleConfig) -> bytes:
    return config.SerializeToString()


def status(reply: pb.ConfigReply) -> str:
    return pb.Status.Name(reply.status)


# ---- what comes before everything else ----


@pytest.mark.parametrize("body", [b"\xff\xff", pb.ConfigRequest().SerializeToString(), b"\xa2\x06\x00"])
def test_a_request_that_is_none(rig: TransactionRig, body: bytes) -> None:
    assert status(rig.raw(body)) == "INVALID_ARGUMENT"


ALL_BUT_RESERVE: list[dict[str, Any]] = [
    {"begin": pb.Begin(transaction=ONE)},
    {"chunk": pb.Chunk(transaction=ONE)},
    {"commit": pb.Commit(transaction=ONE)},
    {"confirm": pb.Confirm(generation=1)},
    {"abort": pb.Abort(transaction=ONE)},
    {"reset": pb.Reset(version=1)},
]


@pytest.mark.parametrize("request_", ALL_BUT_RESERVE, ids=lambda request: next(iter(request)))
def test_every_request_needs_a_reservation_of_this_session(rig: TransactionRig, request_: dict[str, Any]) -> None:
    assert status(rig.ask(**request_)) == "REFUSED"
    rig.reserve("box-2", 60, session=new_session(2))
    refused = rig.ask(**request_)
    assert status(refused) == "BUSY"
    assert refused.reservation == pb.Reservation(owner="box-2", remaining_s=60)
    assert rig.consequences == []


def test_the_same_owner_reserves_again_in_its_next_session_and_goes_on(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    rig.chunk(ONE, 0, blob[:10])
    rig.session = new_session(2)
    assert status(rig.begin(ONE, blob)) == "BUSY"
    rig.reserve()
    assert rig.begin(ONE, blob).next_offset == 10


# ---- Reserve ----


def test_reserving_and_renewing(rig: TransactionRig) -> None:
    reply = rig.reserve("box-1", 120)
    assert (status(reply), reply.reservation) == ("OK", pb.Reservation(owner="box-1", remaining_s=120))
    rig.now = 100.2
    assert rig.desk.message() == pb.Reservation(owner="box-1", remaining_s=20)
    assert rig.reserve("box-1", 960).reservation.remaining_s == 960


def test_another_owner_waits_for_the_end(rig: TransactionRig) -> None:
    rig.reserve("box-1", 30)
    other = new_session(2)
    assert status(rig.reserve("box-2", 30, session=other)) == "BUSY"
    assert status(rig.reserve("box-2", 0, session=other)) == "BUSY"
    rig.now = 30
    assert status(rig.reserve("box-2", 30, session=other)) == "OK"
    assert status(rig.ask(abort=pb.Abort(transaction=ONE))) == "BUSY"


def test_zero_seconds_release(rig: TransactionRig) -> None:
    rig.reserve("box-1", 30)
    reply = rig.reserve("box-1", 0)
    assert status(reply) == "OK"
    assert not reply.HasField("reservation")
    assert status(rig.reserve("box-2", 30, session=new_session(2))) == "OK"


def test_a_reservation_that_has_ended_is_none(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve("box-1", 30)
    rig.now = 31
    assert status(rig.begin(ONE, blob)) == "REFUSED"


@pytest.mark.parametrize(("owner", "seconds"), [("", 10), ("x" * 65, 10), ("büro", 10), ("a\nb", 10), ("box-1", 961)])
def test_reservations_that_make_no_sense(rig: TransactionRig, owner: str, seconds: int) -> None:
    assert status(rig.reserve(owner, seconds)) == "INVALID_ARGUMENT"


# ---- Begin ----


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"transaction": b"short"}, "INVALID_ARGUMENT"),
        ({"sha256": b"short"}, "INVALID_ARGUMENT"),
        ({"total": 0}, "INVALID_ARGUMENT"),
        ({"total": 16385}, "TOO_LARGE"),
        ({"total": 16384}, "OK"),
        ({"base_generation": 1}, "CONFLICT"),
    ],
)
def test_begin(rig: TransactionRig, blob: bytes, changed: dict[str, Any], expected: str) -> None:
    rig.reserve()
    fields = {"transaction": ONE, **changed}
    transaction = fields.pop("transaction")
    assert isinstance(transaction, bytes)
    assert status(rig.begin(transaction, blob, **fields)) == expected


def test_beginning_again_resumes_only_the_same_bytes(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    rig.chunk(ONE, 0, blob[:7])
    assert rig.begin(ONE, blob).next_offset == 7
    assert status(rig.begin(ONE, blob, total=len(blob) + 1)) == "INVALID_ARGUMENT"
    assert status(rig.begin(ONE, blob, sha256=bytes(32))) == "INVALID_ARGUMENT"
    assert rig.begin(ONE, blob).next_offset == 7


def test_another_transaction_replaces_what_is_staged(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    assert (rig.begin(TWO, blob).status, rig.begin(TWO, blob).next_offset) == (pb.OK, 0)
    assert status(rig.chunk(ONE, 0, blob)) == "NOT_FOUND"


def test_the_base_must_equal_the_active_generation(rig: TransactionRig, config: pb.ModuleConfig, blob: bytes) -> None:
    rig.activate(config)
    rig.reserve()
    assert status(rig.begin(TWO, blob, base=0)) == "CONFLICT"
    assert status(rig.begin(TWO, blob, base=2)) == "CONFLICT"
    assert status(rig.begin(TWO, blob, base=1)) == "OK"


def test_what_is_remembered(rig: TransactionRig, config: pb.ModuleConfig, blob: bytes) -> None:
    active = rig.activate(config)
    tried = rig.stage(blob, base=1)
    assert rig.commit(tried).generation == 2
    for ask in (lambda t: rig.begin(t, blob, base=9), rig.commit):
        assert (ask(tried).status, ask(tried).generation) == (pb.OK, 2)
        assert (ask(active).status, ask(active).generation) == (pb.OK, 1)
    assert status(rig.begin(THREE, blob, base=1)) == "CONFLICT"
    rig.ask(abort=pb.Abort(transaction=tried))
    assert status(rig.begin(tried, blob, base=1)) == "REFUSED"
    assert status(rig.commit(tried)) == "REFUSED"
    assert rig.consequences.count("now_on_trial") == 2


# ---- Chunk ----


def test_chunks(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    assert rig.chunk(ONE, 0, blob[:20]).next_offset == 20
    repeated = rig.chunk(ONE, 0, blob[:20])
    assert (repeated.status, repeated.next_offset) == (pb.OK, 20)
    assert rig.chunk(ONE, 15, blob[15:30]).next_offset == 30
    gap = rig.chunk(ONE, 31, blob[31:])
    assert (status(gap), gap.next_offset) == ("OUT_OF_ORDER", 30)
    assert status(rig.chunk(ONE, 30, blob[30:] + b"!")) == "INVALID_ARGUMENT"
    assert rig.chunk(ONE, 30, blob[30:]).next_offset == len(blob)
    assert status(rig.commit(ONE)) == "OK"


@given(st.binary(min_size=1, max_size=300), st.lists(st.tuples(st.integers(0, 310), st.integers(0, 90))))
def test_staging_ends_up_with_the_bytes_that_were_sent(blob: bytes, cuts: list[tuple[int, int]]) -> None:
    staging = Staging(ONE, len(blob), hashlib.sha256(blob).digest())
    for offset, length in cuts:
        if offset <= staging.next_offset:
            staging.accept(offset, blob[offset : offset + length])
    assert blob.startswith(staging.received)
    staging.accept(staging.next_offset, blob[staging.next_offset :])
    assert staging.is_complete
    assert staging.is_intact


# ---- Commit ----


def test_commit_of_nothing(rig: TransactionRig) -> None:
    rig.reserve()
    assert status(rig.commit(ONE)) == "NOT_FOUND"


def test_an_incomplete_transfer_stays(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    rig.chunk(ONE, 0, blob[:-1])
    reply = rig.commit(ONE)
    assert (status(reply), reply.next_offset) == ("OUT_OF_ORDER", len(blob) - 1)
    rig.chunk(ONE, len(blob) - 1, blob[-1:])
    assert status(rig.commit(ONE)) == "OK"


@pytest.mark.parametrize(
    "terms",
    [{"confirm_by": 0}, {"confirm_by": 7}, {"trial_s": 29}, {"trial_s": 901}, {"ssid": "elsewhere"}],
)
def test_terms_that_make_no_sense_drop_the_transfer(rig: TransactionRig, blob: bytes, terms: dict[str, Any]) -> None:
    transaction = rig.stage(blob)
    reply = rig.commit(transaction, **terms)
    assert status(reply) == "INVALID_ARGUMENT"
    assert reply.detail
    assert status(rig.commit(transaction)) == "NOT_FOUND"


def test_a_wrong_enum_is_named_by_its_number(rig: TransactionRig, blob: bytes) -> None:
    assert "7" in rig.push(blob, confirm_by=7).detail


@pytest.mark.parametrize("terms", [{"trial_s": 30}, {"trial_s": 900}, {"ssid": "plant-wifi"}])
def test_terms_that_make_sense(rig: TransactionRig, blob: bytes, terms: dict[str, Any]) -> None:
    assert status(rig.push(blob, **terms)) == "OK"
    trial = rig.slots.trial
    assert trial is not None
    assert (trial.limit_ms, trial.ssid) == (int(str(terms.get("trial_s", 120))) * 1000, terms.get("ssid", ""))


def test_wrong_bytes_are_corrupt_and_dropped(rig: TransactionRig, blob: bytes) -> None:
    rig.reserve()
    rig.begin(ONE, blob)
    rig.chunk(ONE, 0, blob[:-1] + bytes([blob[-1] ^ 1]))
    assert status(rig.commit(ONE)) == "CORRUPT"
    assert status(rig.commit(ONE)) == "NOT_FOUND"


def refused(rig: TransactionRig, config: pb.ModuleConfig, *, base: int = 0) -> str:
    reply = rig.push(config.SerializeToString(), base=base)
    assert status(reply) == "INVALID_ARGUMENT"
    assert rig.slots.tried is None
    assert rig.configurator.staging is None
    return reply.detail


def test_bytes_that_are_no_configuration(rig: TransactionRig) -> None:
    assert status(rig.push(b"\xff" * 40)) == "INVALID_ARGUMENT"


def test_a_configuration_for_another_module(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    config.hardware_id = "C8795CBA5375484E829105E959663C8C"
    assert "hardware_id" in refused(rig, config)


def test_no_credentials(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    config.ClearField("password")
    assert "credentials" in refused(rig, config)


def test_no_broker_too_many_networks_or_a_strange_time_source(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    for change in (
        pb.ModuleConfig(mqtt_port=70000),
        pb.ModuleConfig(wifi=[pb.Wifi(ssid=str(number)) for number in range(3)]),
        pb.ModuleConfig(time_sync=pb.TimeSync(host="time", port=123)),
        pb.ModuleConfig(time_sync=pb.TimeSync(protocol=pb.TimeSync.NTP, port=123)),
    ):
        changed = pb.ModuleConfig()
        changed.CopyFrom(config)
        changed.MergeFrom(change)
        refused(rig, changed)


def test_key_and_certificate_must_belong_together(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    authority = Authority()
    ours, foreign = authority.issue("module"), authority.issue("module")
    config.tls.CopyFrom(pb.MqttTls(private_key=foreign.key_der, certificate=ours.certificate_der))
    assert "belong together" in refused(rig, config)
    config.tls.private_key = b"not a key"
    assert "parse" in refused(rig, config)
    config.tls.private_key = ours.key_der
    assert status(rig.push(config.SerializeToString())) == "OK"


def test_keep_copies_the_active_credentials(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    rig.activate(config)
    kept = pb.ModuleConfig()
    kept.CopyFrom(config)
    kept.keep.version = 1
    kept.mqtt_host = "new.example"
    sent = kept.SerializeToString()
    assert status(rig.push(sent, base=1)) == "OK"
    tried = rig.slots.tried
    assert tried is not None
    assert tried.module_config.password == config.password
    assert tried.module_config.mqtt_host == "new.example"
    assert tried.state().sha256 == hashlib.sha256(sent).digest()


def test_keep_without_anything_to_keep(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    config.keep.version = 1
    assert "keep" in refused(rig, config)


def test_keep_for_another_device(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    rig.activate(config)
    config.keep.version = 1
    config.device_id = "another"
    assert "device_id" in refused(rig, config, base=1)


def test_an_empty_list_keeps_the_networks(rig: TransactionRig, config: pb.ModuleConfig) -> None:
    rig.slots.store_wifi([pb.Wifi(ssid="factory-net", passphrase="x")])
    without = pb.ModuleConfig()
    without.CopyFrom(config)
    without.ClearField("wifi")
    assert status(rig.push(without.SerializeToString(), ssid="factory-net")) == "OK"
    tried = rig.slots.tried
    assert tried is not None
    assert list(tried.state().ssid) == ["factory-net"]
    rig.ask(abort=pb.Abort(transaction=tried.transaction))
    rig.activate(config)
    assert status(rig.push(without.SerializeToString(), base=2)) == "OK"
    assert rig.slots.tried is not None
    assert list(rig.slots.tried.state().ssid) == ["plant-wifi"]


def test_what_a_module_tells_about_a_trial(rig: TransactionRig, blob: bytes) -> None:
    transaction = rig.stage(blob)
    assert rig.commit(transaction, now_unix_ms=1_790_000_000_000).generation == 1
    assert rig.effects.time_offered == 1_790_000_000_000
    tried = rig.slots.tried
    assert tried is not None
    assert tried.state() == pb.ConfigState(
        generation=1,
        sha256=hashlib.sha256(blob).digest(),
        device_id="device-1",
        ssid=["plant-wifi"],
        owner="box-1",
        transaction=transaction,
    )


# ---- Confirm, Abort, Reset ----


def test_confirm_is_idempotent(rig: TransactionRig, config: pb.ModuleConfig, blob: bytes) -> None:
    rig.activate(config)
    assert rig.push(blob, base=1).generation == 2
    assert status(rig.ask(confirm=pb.Confirm(generation=1))) == "OK"
    assert rig.slots.tried is not None
    for _ in range(2):
        assert status(rig.ask(confirm=pb.Confirm(generation=2))) == "OK"
    assert rig.consequences.count("trial_confirmed") == 2
    for unknown in (0, 1, 3):
        reply = rig.ask(confirm=pb.Confirm(generation=unknown))
        assert (status(reply), reply.generation) == ("NOT_FOUND", 2)


def test_confirm_of_zero_on_a_new_module(rig: TransactionRig) -> None:
    rig.reserve()
    assert status(rig.ask(confirm=pb.Confirm(generation=0))) == "NOT_FOUND"


def test_abort(rig: TransactionRig, config: pb.ModuleConfig, blob: bytes) -> None:
    active = rig.activate(config)
    assert status(rig.ask(abort=pb.Abort(transaction=active))) == "CONFLICT"
    assert status(rig.ask(abort=pb.Abort(transaction=THREE))) == "OK"
    staged = rig.stage(blob, base=1)
    assert status(rig.ask(abort=pb.Abort(transaction=staged))) == "OK"
    assert status(rig.commit(staged)) == "NOT_FOUND"
    # What was only staged has not failed: it may be sent again.
    tried = rig.stage(blob, base=1, transaction=staged)
    rig.commit(tried)
    assert status(rig.ask(abort=pb.Abort(transaction=tried))) == "OK"
    assert rig.slots.tried is None
    assert rig.slots.last_trial is not None
    assert rig.slots.last_trial.message() == pb.LastTrial(
        transaction=tried, generation=2, phase=pb.TLS, reason=pb.ABORTED
    )


def test_reset(rig: TransactionRig) -> None:
    rig.reserve()
    assert status(rig.ask(reset=pb.Reset(version=2))) == "INVALID_ARGUMENT"
    assert rig.consequences == []
    assert status(rig.ask(reset=pb.Reset(version=1))) == "OK"
    assert rig.consequences == ["reset_asked"]


def test_a_generation_is_never_used_twice(rig: TransactionRig, config: pb.ModuleConfig, blob: bytes) -> None:
    rig.activate(config)
    rig.ask(abort=pb.Abort(transaction=rig_transaction(rig, blob, base=1)))
    rig.slots.reset()
    assert rig.slots.active is None
    assert rig.push(blob, base=0).generation == 3


def rig_transaction(rig: TransactionRig, blob: bytes, *, base: int) -> bytes:
    transaction = rig.stage(blob, base=base)
    assert rig.commit(transaction).status == pb.OK
    return transaction


def test_the_next_commit_clears_the_last_trial(rig: TransactionRig, blob: bytes) -> None:
    rig.ask(abort=pb.Abort(transaction=rig_transaction(rig, blob, base=0)))
    assert rig.slots.last_trial is not None
    rig_transaction(rig, blob, base=0)
    assert rig.slots.last_trial is None
