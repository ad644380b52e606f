"""The state machine: every history leads to a state from which the next step is safe to run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.core.errors import FAILURES, Code, Disposition
from ucm_provision.core.events import (
    Absorbed,
    Adopted,
    Announced,
    ArgumentsFixed,
    Cancelled,
    Checked,
    Committed,
    DeviceAdded,
    Event,
    Failed,
    HoldCleared,
    Identified,
    Identity,
    Moved,
    PushIntended,
    PushIntent,
    Seen,
    SlaveAdded,
    SlaveArgumentsFixed,
    SlugSet,
    Verified,
    Warned,
)
from ucm_provision.core.kinds import Kind
from ucm_provision.core.machine import Action, Hold, Milestone, Session, Slave, Waits, clamp, evolve, next_action
from ucm_provision.core.model import (
    Carrier,
    Endpoint,
    Evidence,
    MqttProtocol,
    Phase,
    Product,
    ProvisionArguments,
    Source,
)

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
ENDPOINT = Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0")
ELSEWHERE = Endpoint(Carrier.SERIAL, "/dev/ttyUSB7", "key-7")
IDENTITY = Identity(HARDWARE_ID, Product.UCM, "ENP-RL6", "2.4.1")
ARGUMENTS = ProvisionArguments(Kind.UCM, HARDWARE_ID, "site-1", "Boiler room", MqttProtocol.MQTTS)
INTENT = PushIntent(b"t" * 16, b"d" * 32, 0)
EVIDENCE = Evidence(1, Phase.ONLINE, 10.0, -60, "plant", Source.WITNESS, "a message", 1, 11.0)
CHAIN: list[Event] = [
    Identified(IDENTITY),
    ArgumentsFixed(ARGUMENTS),
    DeviceAdded("device-1", "boiler-room"),
    Checked(("a warning",)),
    PushIntended(INTENT),
    Committed(1),
    Verified(EVIDENCE),
]


def seen(at: float = 1.0) -> Session:
    return evolve(None, Seen(ENDPOINT), session_id="s", at=at)


def after(*events: Event, at: float = 2.0) -> Session:
    session = seen()
    for event in events:
        session = evolve(session, event, session_id="s", at=at)
    return session


def pushed() -> Session:
    return after(*CHAIN[:6])


def test_the_chain_goes_from_seen_to_verified() -> None:
    session = seen()
    actions = [next_action(session, 2.0)]
    for event in CHAIN:
        session = evolve(session, event, session_id="s", at=2.0)
        actions.append(next_action(session, 2.0))
    assert [action for action, before in zip(actions[1:], actions, strict=False) if action is not before] == [
        Action.PROVISION,
        Action.PUSH,
        Action.VERIFY,
        None,
    ]
    assert actions[0] is Action.IDENTIFY
    assert (session.milestone, session.generation, session.warnings) == (Milestone.VERIFIED, 1, ("a warning",))
    assert session.evidence == EVIDENCE


MASTER = replace(ARGUMENTS, kind=Kind.LINK_MASTER, protocol=None)
SLAVE = ProvisionArguments(Kind.LINK_SLAVE, "A" * 32, "site-1", "Outputs", master_device_id="device-1")
WITH_SLAVE: list[Event] = [
    Identified(IDENTITY),
    ArgumentsFixed(MASTER),
    DeviceAdded("device-1", ""),
    SlaveArgumentsFixed(SLAVE, "ENP-AO6"),
    SlaveAdded(SLAVE.hardware_id, "device-2"),
]


def test_what_is_not_configured_is_confirmed_instead_of_pushed() -> None:
    session = after(*WITH_SLAVE)
    assert next_action(session, 2.0) is Action.CONFIRM
    assert session.slaves == (Slave(SLAVE, "ENP-AO6", "device-2"),)
    assert next_action(evolve(session, Verified(EVIDENCE), session_id="s", at=3.0), 4.0) is None


def test_a_device_that_is_not_recorded_is_added_again_with_the_same_arguments() -> None:
    session = after(*WITH_SLAVE, Failed(Code.NOT_RECORDED))
    assert (session.milestone, session.arguments, session.device_id, session.slaves) == (
        Milestone.IDENTIFIED,
        MASTER,
        "",
        (),
    )


def test_a_refused_slave_may_be_asked_for_anew_and_an_added_one_stays() -> None:
    refused = SlaveArgumentsFixed(replace(SLAVE, hardware_id="B" * 32), "ENP-AI6")
    session = after(*WITH_SLAVE, refused, Failed(Code.API_REJECTED))
    assert [slave.device_id for slave in session.slaves] == ["device-2"]
    assert session.arguments == MASTER


def test_slaves_belong_to_their_master_s_device() -> None:
    assert len(after(*WITH_SLAVE, DeviceAdded("device-1", "")).slaves) == 1
    assert after(*WITH_SLAVE, DeviceAdded("device-9", "")).slaves == ()


def test_a_warning_is_told_once_and_an_unproved_name_is_only_that() -> None:
    session = after(Announced(HARDWARE_ID), *CHAIN[:4], Warned("The slug stays."), Warned("The slug stays."))
    assert session.warnings == ("a warning", "The slug stays.")
    assert (session.announced_id, after(Announced(HARDWARE_ID)).hardware_id) == (HARDWARE_ID, None)
    assert after(*CHAIN[:3], SlugSet("boiler-1")).slug == "boiler-1"


def test_a_session_begins_with_seen_and_only_once() -> None:
    with pytest.raises(ValueError, match="cannot begin with Committed"):
        evolve(None, Committed(1), session_id="s", at=1.0)
    with pytest.raises(ValueError, match="seen already"):
        evolve(seen(), Seen(ENDPOINT), session_id="s", at=1.0)


def test_a_failure_that_heals_by_itself_backs_off_and_goes_on_with_the_same_step() -> None:
    session = after(*CHAIN[:3], Failed(Code.API_UNREACHABLE), at=100.0)
    assert session.hold == Hold(Waits.RETRY_AT, Code.API_UNREACHABLE, "", 105.0)
    assert next_action(session, 104.9) is None
    assert next_action(session, 105.0) is Action.PUSH
    again = evolve(session, Failed(Code.API_UNREACHABLE), session_id="s", at=200.0)
    assert again.hold is not None
    assert again.hold.until == 210.0


def test_the_other_side_may_ask_for_more_patience_but_not_for_ever() -> None:
    session = after(Failed(Code.API_RATE_LIMITED, retry_after=90.0), at=100.0)
    assert session.hold is not None
    assert session.hold.until == 190.0
    greedy = after(Failed(Code.API_RATE_LIMITED, retry_after=1e12), at=100.0)
    assert greedy.hold is not None
    assert greedy.hold.until == 100.0 + policy.BACKOFF_LAST


@pytest.mark.parametrize("code", [code for code in Code if FAILURES[code].tries])
def test_a_bounded_failure_asks_an_operator_after_its_tries(code: Code) -> None:
    tries = FAILURES[code].tries
    assert tries is not None
    session = seen()
    for number in range(1, tries + 1):
        session = evolve(session, Failed(code), session_id="s", at=float(number))
        assert session.hold is not None
        expected = Waits.OPERATOR if number == tries else Waits.RETRY_AT
        assert session.hold.waits is expected
    assert next_action(session, 1e12) is None


def test_tries_are_counted_for_the_same_failure_in_a_row() -> None:
    codes = [Code.POP_WRONG, Code.POP_WRONG, Code.LINK_BROKEN, Code.POP_WRONG]
    session = after(*(Failed(code) for code in codes))
    assert session.hold is not None
    assert session.hold.waits is Waits.RETRY_AT
    assert (session.attempt, session.repeated) == (4, 1)


def test_lost_sessions_have_a_patience_of_their_own_and_lengthen_no_other() -> None:
    lost = Failed(Code.LINK_LOST, retry_after=0.5)
    assert after(*[lost] * 5, at=100.0).hold == Hold(Waits.RETRY_AT, Code.LINK_LOST, "", 100.5)
    session = after(*[lost] * 5, Failed(Code.LINK_SILENT), at=100.0)
    assert session.hold == Hold(Waits.RETRY_AT, Code.LINK_SILENT, "", 100.0 + policy.BACKOFF_FIRST)


def test_an_unplugged_module_waits_for_itself_and_costs_no_attempt() -> None:
    session = after(*CHAIN[:5], Failed(Code.DEVICE_GONE, "ttyUSB0"))
    assert session.hold is not None
    assert session.hold.waits is Waits.DEVICE_GONE
    assert (session.attempt, session.milestone, session.intent) == (0, Milestone.PROVISIONED, INTENT)
    back = evolve(session, Moved(ELSEWHERE), session_id="s", at=9.0)
    assert (back.hold, back.endpoint) == (None, ELSEWHERE)
    assert next_action(back, 9.0) is Action.PUSH


@pytest.mark.parametrize("code", [Code.API_REJECTED, Code.API_UNREACHABLE, Code.DEVICE_GONE])
def test_a_new_plug_is_an_operator_s_hand_and_lifts_any_hold(code: Code) -> None:
    session = after(Identified(IDENTITY), Failed(code))
    moved = evolve(session, Moved(ELSEWHERE), session_id="s", at=3.0)
    assert (moved.hold, moved.attempt, moved.formerly) == (None, session.attempt, (ENDPOINT.key,))


def test_a_failed_trial_takes_the_push_back_but_not_the_device() -> None:
    session = evolve(pushed(), Failed(Code.TRIAL_WIFI_AUTH_FAILED), session_id="s", at=3.0)
    assert (session.milestone, session.intent, session.generation) == (Milestone.PROVISIONED, None, None)
    assert (session.device_id, session.arguments) == ("device-1", ARGUMENTS)


def test_an_adopted_module_that_was_configured_anew_is_looked_at_afresh() -> None:
    adopted = after(Identified(IDENTITY), Adopted("device-1", "boiler-room", 4, "other-box"))
    assert (adopted.milestone, next_action(adopted, 3.0)) == (Milestone.PUSHED, Action.VERIFY)
    lost = evolve(adopted, Failed(Code.TRIAL_LOST), session_id="s", at=3.0)
    assert (lost.milestone, lost.adopted, lost.managed_by) == (Milestone.IDENTIFIED, False, "")


def test_a_module_that_somebody_else_configured_meanwhile_is_looked_at_before_anything_is_asked_again() -> None:
    session = after(*CHAIN[:5], Failed(Code.MODULE_CONFLICT))
    assert (session.milestone, session.intent, session.arguments) == (Milestone.IDENTIFIED, None, ARGUMENTS)


@pytest.mark.parametrize("code", [Code.API_REJECTED, Code.API_CONFLICT, Code.API_NOT_FOUND])
def test_refused_arguments_are_asked_anew_but_those_of_a_device_that_exists_are_kept(code: Code) -> None:
    assert after(*CHAIN[:2], Failed(code)).arguments is None
    assert after(*CHAIN[:3], Failed(code)).arguments == ARGUMENTS


def test_progress_ends_a_hold() -> None:
    session = after(Failed(Code.LINK_BROKEN), Identified(IDENTITY))
    assert session.hold is None
    cleared = after(Failed(Code.POP_MISSING), HoldCleared("an operator"))
    assert next_action(cleared, 2.0) is Action.IDENTIFY


@pytest.mark.parametrize("end", [Absorbed("other"), Cancelled("unplugged"), Verified(EVIDENCE)])
def test_an_ended_session_does_nothing_more(end: Event) -> None:
    session = after(*CHAIN[:6], end)
    assert session.milestone.ended
    assert next_action(session, 1e12) is None


def test_a_wait_that_only_a_jumping_clock_can_have_made_is_clamped_at_load() -> None:
    session = after(Failed(Code.API_UNREACHABLE), at=4e9)
    assert session.hold is not None
    clamped = clamp(session, 1000.0)
    assert clamped.hold == replace(session.hold, until=1000.0 + policy.BACKOFF_LAST)
    assert clamp(clamped, 1000.0) == clamped


EVENTS = st.sampled_from(
    [*CHAIN, Moved(ELSEWHERE), HoldCleared("x"), Adopted("d", "s", 3, "box"), *(Failed(code) for code in Code)]
)


@given(st.lists(EVENTS, max_size=30))
def test_any_history_leaves_a_session_that_acts_waits_or_has_ended(history: list[Event]) -> None:
    session = seen()
    for number, event in enumerate(history):
        if session.milestone.ended:
            break
        session = evolve(session, event, session_id="s", at=float(number))
    acts = next_action(session, float(len(history))) is not None
    waits = session.hold is not None
    assert acts or waits or session.milestone.ended
    assert not (acts and session.milestone.ended)
    if session.milestone is Milestone.PUSHED:
        assert session.generation is not None


@given(st.lists(EVENTS, max_size=30), st.floats(0, 1e9))
def test_whatever_waits_for_a_time_waits_at_most_the_longest_back_off(history: list[Event], at: float) -> None:
    session = seen()
    for event in history:
        session = evolve(session, event, session_id="s", at=at)
        if session.hold and session.hold.until is not None:
            assert at < session.hold.until <= at + policy.BACKOFF_LAST


@given(st.integers(-5, 10_000))
def test_the_back_off_is_bounded_and_never_shrinks(attempt: int) -> None:
    assert policy.BACKOFF_FIRST <= policy.backoff(attempt) <= policy.backoff(attempt + 1) <= policy.BACKOFF_LAST


def test_what_must_happen_next_is_known_for_every_failure() -> None:
    for code in Code:
        session = evolve(seen(), Failed(code), session_id="s", at=1.0)
        assert session.hold is not None
        if FAILURES[code].disposition is Disposition.REJECT:
            assert session.milestone is Milestone.REJECTED
