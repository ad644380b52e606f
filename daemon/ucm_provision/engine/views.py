"""From what the daemon knows to what people and programs are shown."""

from __future__ import annotations

from collections.abc import Iterator

from ucm_provision.core import policy
from ucm_provision.core.errors import explain
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
    Inspected,
    LeftToAppear,
    Moved,
    Named,
    PushIntended,
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
from ucm_provision.core.machine import Hold, Session, Slave
from ucm_provision.core.model import Endpoint, Evidence, Phase, ProvisionArguments
from ucm_provision.wire import (
    ActivityView,
    AttachedView,
    EvidenceView,
    HoldView,
    ModuleView,
    TimelineEntry,
    TroubleView,
)


def module_view(
    session: Session, *, where: Endpoint | None, activity: ActivityView | None, known_as: str = ""
) -> ModuleView:
    """``where``: at which endpoint the module is there now, if it is. ``known_as``: its name in earlier sessions."""
    identity, arguments, endpoint = session.identity, session.arguments, where or session.endpoint
    return ModuleView(
        session=session.id,
        endpoint=endpoint.address,
        carrier=endpoint.carrier.value,
        routes=list(where.routes) if where else [],
        present=where is not None,
        hardware_id=session.hardware_id,
        product=identity.product.value if identity else None,
        model=identity.model if identity else None,
        firmware=identity.firmware if identity else None,
        name=session.name or known_as or None,
        protocol=arguments.protocol.value if arguments and arguments.protocol else None,
        device_id=session.device_id or None,
        slug=session.slug or None,
        milestone=session.milestone.value,
        adopted=session.adopted,
        managed_by=session.managed_by or None,
        generation=session.generation,
        warnings=[*session.warnings, *_weak_signal(session.evidence)],
        hold=_hold_view(session.hold) if session.hold and not activity else None,
        activity=activity,
        evidence=_evidence_view(session.evidence) if session.evidence else None,
        appears_later=session.appears_later,
        trouble=_trouble_view(session.trouble) if session.trouble and session.trouble.code else None,
        attempt=session.attempt,
        announced_id=session.announced_id or None,
        attached=[_attached_view(slave) for slave in session.slaves],
        left_alone_by=session.left_alone_by or None,
        seen_at=session.seen_at,
        updated_at=session.updated_at,
    )


def _hold_view(hold: Hold) -> HoldView:
    return HoldView(
        waits=hold.waits.value, code=hold.code.value, message=explain(hold.code, hold.detail), until=hold.until
    )


def _trouble_view(trouble: Inspected) -> TroubleView:
    assert trouble.code is not None, "no trouble without one"
    return TroubleView(code=trouble.code.value, message=explain(trouble.code, trouble.detail))


def _attached_view(slave: Slave) -> AttachedView:
    return AttachedView(
        hardware_id=slave.arguments.hardware_id,
        model=slave.model,
        name=slave.arguments.name,
        device_id=slave.device_id or None,
    )


def _evidence_view(evidence: Evidence) -> EvidenceView:
    return EvidenceView(
        generation=evidence.generation,
        reported_phase=evidence.reported_phase.value,
        reported_at=evidence.reported_at,
        rssi_dbm=evidence.rssi_dbm,
        ssid=evidence.ssid,
        seen_by=evidence.seen_by.value,
        seen_what=evidence.seen_what,
        seen_generation=evidence.seen_generation,
        seen_at=evidence.seen_at,
    )


def _weak_signal(evidence: Evidence | None) -> Iterator[str]:
    """It is verified all the same: the module was online when it mattered."""
    if evidence and evidence.rssi_dbm < policy.SIGNAL_WEAK:
        yield f"Its Wi-Fi signal is weak ({evidence.rssi_dbm} dBm): move it, or an access point, closer."


def timeline_entry(at: float, event: Event) -> TimelineEntry:
    return TimelineEntry(at=at, event=type(event).__name__, text=describe(event))


def describe(event: Event) -> str:
    """The event in one calm sentence."""
    match event:
        case Seen(endpoint, announced_id):
            return f"Seen at {endpoint.address}{f', which says that it is {announced_id}' if announced_id else ''}."
        case Moved(endpoint):
            return f"Found again at {endpoint.address}."
        case Announced(hardware_id):
            return f"It says that it is {hardware_id}; that is not proved yet."
        case Absorbed(into):
            return f"It is the module of session {into}, which goes on here."
        case Failed(code, detail):
            return explain(code, detail)
        case SetBack(code, detail):
            return f"Back on its old configuration. {explain(code, detail)}"
        case LeftToAppear():
            return "Configured, and free to go to its place; verified when it is seen there."
        case Inspected(code, detail):
            return f"No longer well. {explain(code, detail)}" if code else "A look at it found it well again."
        case Compensating():
            return "Not online with its old configuration either: it gets fresh credentials and keeps its networks."
        case _:
            return _describe_order(event)


def _describe_order(event: Event) -> str:
    """What somebody wanted."""
    match event:
        case Approved(by):
            return f"{by} approved it."
        case Named(name, by):
            return f'{by} called it "{name}".'
        case HoldCleared(why):
            return f"Goes on: {why}."
        case ReprovisionAsked(by=by, task=None):
            return f"Provisioned anew, as {by} asked."
        case ReprovisionAsked(by=by, task=Task() as task):
            return f"Provisioned anew for {', '.join(task.networks)}, as campaign {task.campaign} of {by} wants."
        case Cancelled(why):
            return f"Ended: {why}."
        case ResetIntended(by):
            return f"Wiped, as {by} asked: what it holds is erased."
        case Forgotten(by, wiped):
            return f"Forgotten, as {by} asked{'' if wiped else '; what it holds was not touched'}."
        case _:
            return _describe_progress(event)


def _describe_progress(event: Event) -> str:
    match event:
        case Identified(identity):
            return f"Identified as {identity.model} {identity.hardware_id}, firmware {identity.firmware}."
        case ArgumentsFixed(arguments):
            return f"Will be {_as_asked(arguments)}."
        case Checked(warnings):
            return " ".join(("The new connection works from this box.", *warnings))
        case PushIntended(intent):
            return f"Pushing the configuration onto generation {intent.base_generation}."
        case Committed(generation):
            return f"The module holds the configuration as generation {generation}."
        case Adopted(device_id, slug, generation, owner):
            return f"Already configured (generation {generation}, by {owner}) as device {device_id} ({slug})."
        case Verified(evidence):
            return _verified(evidence)
        case _:
            return _describe_in_the_api(event)


def _describe_in_the_api(event: Event) -> str:
    match event:
        case DeviceAdded(device_id, slug):
            return f"Device {device_id}{f' ({slug})' if slug else ''} in the provisioning API."
        case SlaveArgumentsFixed(arguments, model):
            return f"The LINK slave {model} {arguments.hardware_id} will be {_as_asked(arguments)}."
        case SlaveAdded(hardware_id, device_id):
            return f"Device {device_id} for the LINK slave {hardware_id} in the provisioning API."
        case SlugSet(slug):
            return f'Its slug is "{slug}".'
        case Warned(text):
            return text or "A warning."
    raise ValueError(f"unknown event {type(event).__name__}")


def _as_asked(arguments: ProvisionArguments) -> str:
    protocol = f", with {arguments.protocol.value}" if arguments.protocol else ""
    return f'"{arguments.name}" on site {arguments.site_id}{protocol}'


def _verified(evidence: Evidence) -> str:
    if evidence.reported_phase is Phase.IDLE and evidence.generation:
        return (
            f"Verified at generation {evidence.generation}: the {evidence.seen_by.value} saw {evidence.seen_what}; "
            "its own report could not be asked."
        )
    if not evidence.generation:
        return f"Verified: the {evidence.seen_by.value} has {evidence.seen_what}."
    return (
        f"Verified at generation {evidence.generation}: the module reports {evidence.reported_phase.value}, "
        f"and the {evidence.seen_by.value} saw {evidence.seen_what}."
    )
