"""What people and programs are shown of a session, and what a module's own words mean."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.strategies import EVENTS_BY_KIND, SESSIONS
from ucm_provision.core.errors import FAILURES, Code, explain
from ucm_provision.core.events import (
    EVENT_TYPES,
    Absorbed,
    Adopted,
    Announced,
    Approved,
    ArgumentsFixed,
    Cancelled,
    Checked,
    Committed,
    Compensating,
    DeviceAdded,
    Event,
    Failed,
    Forgotten,
    HoldCleared,
    Identified,
    Identity,
    Inspected,
    LeftToAppear,
    Moved,
    Named,
    PushIntended,
    PushIntent,
    ReprovisionAsked,
    ResetIntended,
    Seen,
    SetBack,
    SlaveAdded,
    SlaveArgumentsFixed,
    SlugSet,
    Verified,
    Warned,
)
from ucm_provision.core.kinds import Kind
from ucm_provision.core.machine import Hold, Session, Slave, Waits
from ucm_provision.core.model import (
    Carrier,
    Endpoint,
    Evidence,
    LastTrial,
    LinkState,
    MqttProtocol,
    Phase,
    Product,
    ProvisionArguments,
    Reason,
    Source,
)
from ucm_provision.engine.trial import failed_trial, trial_failure
from ucm_provision.engine.views import describe, module_view, timeline_entry
from ucm_provision.wire import ActivityView, ModuleView

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
ENDPOINT = Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0")
IDENTITY = Identity(HARDWARE_ID, Product.UCM, "ENP-RL6", "2.4.1")
ARGUMENTS = ProvisionArguments(Kind.UCM, HARDWARE_ID, "site-1", "Boiler room", MqttProtocol.MQTTS)
SLAVE_ID = "435840FFE5CD4E9DA93545DDF7E6D5FB"
SLAVE = ProvisionArguments(Kind.LINK_SLAVE, SLAVE_ID, "site-1", "Outputs", master_device_id="device-1")
RECORDED = Evidence(0, Phase.IDLE, 10.0, 0, "", Source.API, "the device's record", None, 10.0)
INTENT = PushIntent(b"t" * 16, b"d" * 32, 3)
EVIDENCE = Evidence(4, Phase.ONLINE, 10.0, -60, "plant", Source.API, "the module online", None, 11.0)

SENTENCES: dict[Event, str] = {
    Seen(ENDPOINT): "Seen at /dev/ttyUSB0.",
    Moved(ENDPOINT): "Found again at /dev/ttyUSB0.",
    Identified(IDENTITY): f"Identified as ENP-RL6 {HARDWARE_ID}, firmware 2.4.1.",
    ArgumentsFixed(ARGUMENTS): 'Will be "Boiler room" on site site-1, with MQTTS.',
    DeviceAdded("device-1", "boiler-room"): "Device device-1 (boiler-room) in the provisioning API.",
    DeviceAdded("device-1", ""): "Device device-1 in the provisioning API.",
    Approved("uid 1000"): "uid 1000 approved it.",
    SetBack(Code.TRIAL_WIFI_NOT_FOUND, "it got as far as WIFI"): "Back on its old configuration. "
    + explain(Code.TRIAL_WIFI_NOT_FOUND, "it got as far as WIFI"),
    Inspected(Code.NOT_ONLINE, "WIFI"): "No longer well. " + explain(Code.NOT_ONLINE, "WIFI"),
    LeftToAppear(): "Configured, and free to go to its place; verified when it is seen there.",
    Inspected(): "A look at it found it well again.",
    Compensating(): "Not online with its old configuration either: it gets fresh credentials and keeps its networks.",
    Announced(HARDWARE_ID): f"It says that it is {HARDWARE_ID}; that is not proved yet.",
    SlaveArgumentsFixed(SLAVE, "ENP-AO6"): f'The LINK slave ENP-AO6 {SLAVE_ID} will be "Outputs" on site site-1.',
    SlaveAdded(SLAVE_ID, "device-2"): f"Device device-2 for the LINK slave {SLAVE_ID} in the provisioning API.",
    SlugSet("boiler-1"): 'Its slug is "boiler-1".',
    Warned("The slug stays."): "The slug stays.",
    Checked(()): "The new connection works from this box.",
    Checked(("One.", "Two.")): "The new connection works from this box. One. Two.",
    PushIntended(INTENT): "Pushing the configuration onto generation 3.",
    Committed(4): "The module holds the configuration as generation 4.",
    Adopted("device-1", "boiler-room", 4, "box-b"): (
        "Already configured (generation 4, by box-b) as device device-1 (boiler-room)."
    ),
    Verified(EVIDENCE): "Verified at generation 4: the module reports ONLINE, and the api saw the module online.",
    Verified(RECORDED): "Verified: the api has the device's record.",
    Failed(Code.PORT_BUSY, "ttyUSB0"): (
        f"PORT_BUSY: {FAILURES[Code.PORT_BUSY].sentence} (ttyUSB0) docs/OPERATIONS.md#port-busy"
    ),
    HoldCleared("an operator"): "Goes on: an operator.",
    ReprovisionAsked(ENDPOINT, IDENTITY, "an operator"): "Provisioned anew, as an operator asked.",
    Absorbed("0a1b"): "It is the module of session 0a1b, which goes on here.",
    Named("Boiler room", "an operator"): 'an operator called it "Boiler room".',
    Cancelled("unplugged"): "Ended: unplugged.",
    ResetIntended("fitter"): "Wiped, as fitter asked: what it holds is erased.",
    Forgotten("fitter"): "Forgotten, as fitter asked; what it holds was not touched.",
    Forgotten("fitter", wiped=True): "Forgotten, as fitter asked.",
}


def test_there_is_a_sentence_for_every_kind_of_event() -> None:
    assert {type(event) for event in SENTENCES} == set(EVENT_TYPES.values())


@pytest.mark.parametrize("event", SENTENCES, ids=lambda event: type(event).__name__)
def test_an_event_in_words(event: Event) -> None:
    assert describe(event) == SENTENCES[event]
    assert timeline_entry(7.5, event) == {"at": 7.5, "event": type(event).__name__, "text": SENTENCES[event]}


def test_what_is_no_event_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="unknown event str"):
        describe("something")  # type: ignore[arg-type]  # on purpose


@given(st.one_of(*EVENTS_BY_KIND.values()))
def test_no_event_is_without_words(event: Event) -> None:
    assert describe(event).strip()


SESSION = Session("s", ENDPOINT, 1.0, 2.0)


def test_of_a_port_that_just_appeared_little_is_known() -> None:
    view = module_view(SESSION, where=SESSION.endpoint, activity=None)
    unknown = (
        "hardware_id",
        "product",
        "model",
        "firmware",
        "name",
        "protocol",
        "device_id",
        "slug",
        "managed_by",
        "announced_id",
    )
    assert all(view[key] is None for key in unknown)  # type: ignore[literal-required]  # names from above
    assert (view["endpoint"], view["present"], view["milestone"]) == ("/dev/ttyUSB0", True, "SEEN")
    assert (view["announced_id"], view["attached"]) == (None, [])


def test_a_hold_tells_the_whole_sentence_but_not_while_something_is_done() -> None:
    waiting = replace(SESSION, hold=Hold(Waits.RETRY_AT, Code.PORT_BUSY, "ttyUSB0", 9.0))
    assert module_view(waiting, where=waiting.endpoint, activity=None)["hold"] == {
        "waits": "retry_at",
        "code": "port_busy",
        "message": SENTENCES[Failed(Code.PORT_BUSY, "ttyUSB0")],
        "until": 9.0,
    }
    busy = module_view(waiting, where=waiting.endpoint, activity=ActivityView(step="identify", detail=""))
    assert (busy["hold"], busy["activity"]) == (None, {"step": "identify", "detail": ""})


def test_the_evidence_names_both_witnesses() -> None:
    view = module_view(replace(SESSION, evidence=EVIDENCE), where=None, activity=None)
    assert view["evidence"] == {
        "generation": 4,
        "reported_phase": "ONLINE",
        "reported_at": 10.0,
        "rssi_dbm": -60,
        "ssid": "plant",
        "seen_by": "api",
        "seen_what": "the module online",
        "seen_generation": None,
        "seen_at": 11.0,
    }


@pytest.mark.parametrize(("rssi", "warned"), [(0, False), (-60, False), (-75, False), (-76, True), (-128, True)])
def test_a_weak_signal_is_warned_of_and_nothing_else_is(rssi: int, warned: bool) -> None:
    session = replace(SESSION, warnings=("Another.",), evidence=replace(EVIDENCE, rssi_dbm=rssi))
    view = module_view(session, where=None, activity=None)
    assert view["warnings"][0] == "Another."
    assert [f"({rssi} dBm)" in warning for warning in view["warnings"][1:]] == [True] * warned


def test_a_master_shows_its_slaves() -> None:
    session = replace(SESSION, slaves=(Slave(SLAVE, "ENP-AO6", "device-2"), Slave(SLAVE, "ENP-AO6")))
    assert module_view(session, where=session.endpoint, activity=None)["attached"] == [
        {"hardware_id": SLAVE_ID, "model": "ENP-AO6", "name": "Outputs", "device_id": "device-2"},
        {"hardware_id": SLAVE_ID, "model": "ENP-AO6", "name": "Outputs", "device_id": None},
    ]


@given(SESSIONS)
def test_every_session_has_a_view_that_fits_the_public_shape(session: Session) -> None:
    view = module_view(session, where=None, activity=None)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(view)), ModuleView) == view


# ---- what a module says of its trial -------------------------------------------------------------

OURS, THEIRS = b"o" * 16, b"t" * 16


def report(trial: LastTrial | None) -> LinkState:
    return LinkState(Phase.ONLINE, Reason.NONE, 3, -60, "", "", 0, "", trial)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_every_reason_has_a_failure_of_its_own(reason: Reason) -> None:
    error = trial_failure(report(LastTrial(OURS, 4, Phase.WIFI, reason)), OURS)
    expected = reason.value if reason.value.startswith("TRIAL_") else f"TRIAL_{reason.value}"
    assert error.code.name == expected
    assert error.detail == "it got as far as WIFI, generation 4"


@pytest.mark.parametrize(
    "trial",
    [None, LastTrial(THEIRS, 4, Phase.WIFI, Reason.DNS_FAILED), LastTrial(OURS, 4, Phase.ONLINE, Reason.NONE)],
    ids=["none", "somebody else's", "succeeded"],
)
def test_without_a_reason_for_our_own_trial_it_is_merely_lost(trial: LastTrial | None) -> None:
    assert failed_trial(report(trial), OURS) is None
    assert trial_failure(report(trial), OURS).code is Code.TRIAL_LOST
