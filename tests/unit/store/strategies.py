"""Any event, and any session that could stand in the journal."""

from __future__ import annotations

from hypothesis import strategies as st

from ucm_provision.core.errors import Code
from ucm_provision.core.events import (
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
    Reach,
    ReprovisionAsked,
    ResetIntended,
    Seen,
    SetBack,
    SlaveAdded,
    SlaveArgumentsFixed,
    SlugSet,
    Task,
    Verified,
    Warned,
)
from ucm_provision.core.kinds import DeviceType, Kind
from ucm_provision.core.machine import Hold, Milestone, Session, Slave, Waits
from ucm_provision.core.model import (
    Carrier,
    Endpoint,
    Evidence,
    GatewaySite,
    MqttProtocol,
    Phase,
    Product,
    ProvisionArguments,
    Source,
    TimeProtocol,
    TimeSource,
)
from ucm_provision.core.orders import Order, OrderState, Replacement

WORDS = st.text(max_size=40)
TIMES = st.floats(0, 4e9, allow_nan=False)
GENERATIONS = st.integers(0, 2**32 - 1)

ENDPOINTS = st.builds(Endpoint, st.sampled_from(Carrier), WORDS, WORDS)
IDENTITIES = st.builds(Identity, WORDS, st.sampled_from(Product), WORDS, WORDS)
GATEWAYS = st.builds(GatewaySite, WORDS, WORDS, WORDS, st.floats(-90, 90), st.floats(-180, 180))
ARGUMENTS = st.builds(
    ProvisionArguments,
    kind=st.sampled_from(Kind),
    hardware_id=WORDS,
    site_id=WORDS,
    name=WORDS,
    protocol=st.none() | st.sampled_from(MqttProtocol),
    device_type=st.none() | st.sampled_from(DeviceType),
    master_device_id=WORDS,
    runtime_id=WORDS,
    blueprint_id=WORDS,
    slug=WORDS,
    gateway=st.none() | GATEWAYS,
)
SLAVES = st.builds(Slave, ARGUMENTS, WORDS, WORDS)
SEVERAL_WORDS = st.lists(WORDS, max_size=3).map(tuple)
TIME_SOURCES = st.builds(TimeSource, st.sampled_from(TimeProtocol), WORDS, st.integers(1, 65535))
REACHES = st.builds(Reach, WORDS, WORDS, st.integers(1, 65535), TIME_SOURCES)
INTENTS = st.builds(
    PushIntent,
    st.binary(max_size=16),
    st.binary(max_size=32),
    GENERATIONS,
    SEVERAL_WORDS,
    st.none() | TIMES,
    st.none() | TIMES,
    st.none() | REACHES,
)
TASKS = st.builds(Task, WORDS, SEVERAL_WORDS, WORDS, st.booleans())
INSPECTIONS = st.builds(Inspected, st.none() | st.sampled_from(Code), WORDS)
SETBACKS = st.builds(SetBack, st.sampled_from(Code), WORDS)
EVIDENCE = st.builds(
    Evidence,
    GENERATIONS,
    st.sampled_from(Phase),
    TIMES,
    st.integers(-128, 127),
    WORDS,
    st.sampled_from(Source),
    WORDS,
    st.none() | GENERATIONS,
    TIMES,
)
HOLDS = st.builds(Hold, st.sampled_from(Waits), st.sampled_from(Code), WORDS, st.none() | TIMES)

EVENTS_BY_KIND: dict[str, st.SearchStrategy[Event]] = {
    "Seen": st.builds(Seen, ENDPOINTS, WORDS),
    "Moved": st.builds(Moved, ENDPOINTS),
    "Announced": st.builds(Announced, WORDS),
    "Approved": st.builds(Approved, WORDS),
    "Identified": st.builds(Identified, IDENTITIES),
    "ArgumentsFixed": st.builds(ArgumentsFixed, ARGUMENTS),
    "DeviceAdded": st.builds(DeviceAdded, WORDS, WORDS, WORDS),
    "SlaveArgumentsFixed": st.builds(SlaveArgumentsFixed, ARGUMENTS, WORDS),
    "SlaveAdded": st.builds(SlaveAdded, WORDS, WORDS),
    "SlugSet": st.builds(SlugSet, WORDS),
    "Warned": st.builds(Warned, WORDS),
    "Checked": st.builds(Checked, SEVERAL_WORDS),
    "PushIntended": st.builds(PushIntended, INTENTS),
    "Committed": st.builds(Committed, GENERATIONS),
    "Adopted": st.builds(Adopted, WORDS, WORDS, GENERATIONS, WORDS, WORDS, SEVERAL_WORDS),
    "Verified": st.builds(Verified, EVIDENCE),
    "SetBack": SETBACKS,
    "Inspected": INSPECTIONS,
    "LeftToAppear": st.just(LeftToAppear()),
    "Compensating": st.just(Compensating()),
    "Failed": st.builds(Failed, st.sampled_from(Code), WORDS, st.none() | TIMES),
    "HoldCleared": st.builds(HoldCleared, WORDS),
    "ReprovisionAsked": st.builds(
        ReprovisionAsked,
        ENDPOINTS,
        IDENTITIES,
        WORDS,
        st.none() | TASKS,
        st.none() | ARGUMENTS,
        st.none() | REACHES,
        WORDS,
        st.booleans(),
    ),
    "Absorbed": st.builds(Absorbed, WORDS),
    "Named": st.builds(Named, WORDS, WORDS),
    "Cancelled": st.builds(Cancelled, WORDS, WORDS),
    "ResetIntended": st.builds(ResetIntended, WORDS),
    "Forgotten": st.builds(Forgotten, WORDS, st.booleans()),
}
LATER_EVENTS = st.one_of(*(events for kind, events in EVENTS_BY_KIND.items() if kind != "Seen"))

SESSIONS = st.builds(
    Session,
    id=st.text(min_size=1, max_size=12),
    endpoint=ENDPOINTS,
    seen_at=TIMES,
    updated_at=TIMES,
    milestone=st.sampled_from(Milestone),
    identity=st.none() | IDENTITIES,
    arguments=st.none() | ARGUMENTS,
    device_id=WORDS,
    slug=WORDS,
    warnings=SEVERAL_WORDS,
    intent=st.none() | INTENTS,
    generation=st.none() | GENERATIONS,
    adopted=st.booleans(),
    managed_by=WORDS,
    formerly=SEVERAL_WORDS,
    renew=st.booleans(),
    evidence=st.none() | EVIDENCE,
    hold=st.none() | HOLDS,
    attempt=st.integers(0, 10**6),
    repeated=st.integers(0, 10**6),
    last_code=st.none() | st.sampled_from(Code),
    absorbed_into=WORDS,
    approved=st.booleans(),
    named=WORDS,
    known_as=WORDS,
    left_alone_by=WORDS,
    origin=WORDS,
    networks=SEVERAL_WORDS,
    task=st.none() | TASKS,
    proved=st.booleans(),
    reach=st.none() | REACHES,
    setback=st.none() | SETBACKS,
    compensating=st.booleans(),
    appears_later=st.booleans(),
    trouble=st.none() | INSPECTIONS,
    restored_at=st.none() | TIMES,
    forgotten=st.booleans(),
    announced_id=WORDS,
    slaves=st.lists(SLAVES, max_size=2).map(tuple),
)

REPLACEMENTS = st.builds(Replacement, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS)
ORDERS = st.builds(
    Order,
    id=st.text(min_size=1, max_size=8),
    by=WORDS,
    placed_at=TIMES,
    updated_at=TIMES,
    arguments=st.none() | ARGUMENTS,
    replacement=st.none() | REPLACEMENTS,
    state=st.sampled_from(OrderState),
    asked=st.integers(0, 10**6),
    attempt=st.integers(0, 10**6),
    device_id=WORDS,
    slug=WORDS,
    code=st.none() | st.sampled_from(Code),
    detail=WORDS,
    until=st.none() | TIMES,
)
