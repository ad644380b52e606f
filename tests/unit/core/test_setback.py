"""After a trial that failed: the module is brought back online, whatever happens, and then the failure is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_machine import ARGUMENTS, CHAIN, ELSEWHERE, ENDPOINT, EVIDENCE, IDENTITY, INTENT, after
from ucm_provision.core.errors import Code
from ucm_provision.core.events import (
    Absorbed,
    Cancelled,
    Checked,
    Committed,
    Compensating,
    DeviceAdded,
    Event,
    Failed,
    HoldCleared,
    Moved,
    PushIntended,
    Reach,
    ReprovisionAsked,
    SetBack,
    Task,
    Verified,
)
from ucm_provision.core.machine import Action, Milestone, Session, Waits, evolve, next_action
from ucm_provision.core.model import TimeProtocol, TimeSource

REACH = Reach("channel", "broker", 8883, TimeSource(TimeProtocol.NTP, "time", 123))
AGAIN = replace(INTENT, base_generation=1, networks=("new", "old"), reach=REACH)
SETBACK = SetBack(Code.TRIAL_WIFI_NOT_FOUND, "it got as far as WIFI")
TASK = Task("campaign", ("new", "old"), "new")
TRIALS = [code for code in Code if code.value.startswith("trial_")]
PUSH: list[Event] = [DeviceAdded("device-1", "boiler-room"), Checked(()), PushIntended(AGAIN), Committed(2)]


def asked(task: Task | None = TASK) -> Session:
    """A verified module that is to be provisioned anew."""
    return step(after(*CHAIN), ReprovisionAsked(ENDPOINT, IDENTITY, "uid 1", task, ARGUMENTS, REACH, "device-1"))


def step(session: Session, *events: Event) -> Session:
    for event in events:
        session = evolve(session, event, session_id="s", at=2.0)
    return session


def set_back(task: Task | None = TASK) -> Session:
    return step(asked(task), *PUSH, SETBACK)


def action(session: Session) -> Action | None:
    return next_action(session, 1e12)


def test_a_module_that_is_online_again_tells_why_its_trial_failed() -> None:
    session = set_back()
    assert (action(session), session.milestone, session.intent) == (Action.RECOVER, Milestone.PROVISIONED, None)
    session = step(session, Failed(SETBACK.code, SETBACK.detail))
    assert (session.setback, session.compensating, action(session)) == (None, False, None)


def test_one_that_is_not_gets_fresh_credentials_and_then_tells() -> None:
    session = step(set_back(), Compensating())
    assert action(session) is Action.COMPENSATE
    session = step(session, PushIntended(AGAIN), Committed(3))
    assert action(session) is Action.VERIFY
    session = step(session, Failed(SETBACK.code))
    assert (session.setback, session.compensating, session.milestone) == (None, False, Milestone.PROVISIONED)


@pytest.mark.parametrize("task", [TASK, None])
@pytest.mark.parametrize("code", TRIALS)
def test_any_failed_trial_clears_the_setback_also_that_of_the_fresh_credentials(code: Code, task: Task | None) -> None:
    for events in ((), (Compensating(),), (Compensating(), *PUSH)):
        session = step(set_back(task), *events, Failed(code))
        assert (session.setback, session.compensating) == (None, False)
        assert session.hold is not None


@pytest.mark.parametrize("code", TRIALS)
def test_a_campaign_tries_each_module_once(code: Code) -> None:
    session = step(set_back(), Failed(code))
    assert session.hold is not None
    assert session.hold.waits is Waits.OPERATOR
    assert (session.task, session.device_id) == (TASK, "device-1")


@pytest.mark.parametrize("end", [Absorbed("other"), Cancelled("an operator"), Verified(EVIDENCE)])
def test_an_ended_session_recovers_from_nothing_any_more(end: Event) -> None:
    assert action(step(set_back(), end)) is None


def test_a_proved_network_is_pushed_with_fresh_credentials_and_a_refused_one_is_not() -> None:
    session = asked(replace(TASK, prove=True))
    assert action(session) is Action.PROVE
    proved = step(session, PushIntended(AGAIN), Committed(2), Verified(EVIDENCE))
    assert (proved.proved, proved.milestone, action(proved)) == (True, Milestone.IDENTIFIED, Action.PROVISION)
    refused = step(session, PushIntended(AGAIN), Committed(2), SETBACK, Failed(SETBACK.code))
    assert (refused.proved, action(refused)) == (False, None)
    assert action(step(refused, HoldCleared("an operator"))) is Action.PROVE


# ---- anything that the engine may journal --------------------------------------------------------

FAILURES = [
    Failed(code)
    for code in (*TRIALS, Code.LINK_LOST, Code.DEVICE_GONE, Code.API_UNREACHABLE, Code.NOT_ONLINE, Code.NOT_ON_NETWORK)
]
PUSHES: list[Event] = [PushIntended(AGAIN), Committed(2)]


def possible(session: Session) -> list[Event]:
    """What the session's next action may come to, or how its hold may end."""
    match action(session):
        case None:
            return [HoldCleared("x"), Moved(ELSEWHERE)]
        case Action.RECOVER:
            return [Compensating(), *FAILURES]
        case Action.VERIFY if session.setback:
            return [Failed(session.setback.code), *FAILURES]
        case Action.VERIFY:
            return [Verified(EVIDENCE), SETBACK, *FAILURES]
        case Action.PROVISION:
            return [DeviceAdded("device-1", "boiler-room"), *FAILURES]
    return [*PUSHES, *FAILURES]


@given(st.booleans(), st.data())
def test_whatever_happens_a_setback_comes_first_and_ends_with_a_failure(prove: bool, data: st.DataObject) -> None:
    session = asked(replace(TASK, prove=prove))
    for _ in range(25):
        event = data.draw(st.sampled_from(possible(session)))
        before, session = session, step(session, event)
        if session.milestone.ended:
            assert before.setback is None
            break
        assert action(session) is not None or session.hold is not None
        assert session.setback or not session.compensating
        if session.setback and not session.hold:
            assert action(session) in (Action.RECOVER, Action.COMPENSATE, Action.VERIFY)
        if before.setback and not session.setback:
            assert isinstance(event, Failed)
            assert session.hold is not None
    else:
        assert session.device_id == "device-1"
