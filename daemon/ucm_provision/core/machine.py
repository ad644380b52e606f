"""The state machine of a session: two pure functions.

A session's state says what is already true (its milestone) and, beside it, what it waits for (its
hold). What it is doing right now is nowhere in it, so a crash leaves nothing to repair: load the last
milestone and run its next action again. Every action is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from ucm_provision.core import policy
from ucm_provision.core.errors import FAILURES, Code, Disposition
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
from ucm_provision.core.kinds import WITH_CONFIG
from ucm_provision.core.model import Endpoint, Evidence, ProvisionArguments


class Milestone(StrEnum):
    """What is already true of a session."""

    SEEN = "SEEN"
    IDENTIFIED = "IDENTIFIED"
    PROVISIONED = "PROVISIONED"
    PUSHED = "PUSHED"
    VERIFIED = "VERIFIED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in (Milestone.VERIFIED, Milestone.REJECTED, Milestone.CANCELLED)


class Action(StrEnum):
    """What a session does next."""

    IDENTIFY = "identify"
    PROVISION = "provision"
    PUSH = "push"
    VERIFY = "verify"
    CONFIRM = "confirm"
    PROVE = "prove"
    RECOVER = "recover"
    COMPENSATE = "compensate"


class Waits(StrEnum):
    """What a held session waits for."""

    RETRY_AT = "retry_at"
    DEVICE_GONE = "device_gone"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a session does not go on by itself now.

    ``until``: for RETRY_AT, when it goes on; for DEVICE_GONE, when a port that is still there proves
    that the module never left; else None.
    """

    waits: Waits
    code: Code
    detail: str
    until: float | None


@dataclass(frozen=True, slots=True)
class Slave:
    """A LINK slave of the session's master. ``device_id`` is empty until the API has added it."""

    arguments: ProvisionArguments
    model: str
    device_id: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One attempt to bring one module from seen to verified.

    Attributes:
        attempt: Failures in a row, of any kind but lost sessions, which have a patience of their own; drives the
            back-off.
        repeated: Failures in a row with the same code; drives the question to an operator.
        formerly: Keys of other endpoints on which the module was met.
        managed_by: The box that owns an adopted module's configuration.
        announced_id: Who the module says it is, as long as it has not proved it.
        slaves: The LINK slaves behind the module.
        renew: An operator wants the module provisioned anew, whatever it holds.
        approved: An operator said yes to it, whatever the site's policy.
        named: What an operator called it.
        known_as: What it was called without having these arguments: by the API, or in a call that the API refused.
        left_alone_by: The operator who wants nothing more done with it.
        origin: The provisioning API that knows its device, by scheme, host and port.
        networks: The SSIDs that the module holds, as far as known.
        task: What a campaign wants of the module.
        proved: The task's network has taken the module with its old credentials.
        reach: How the module reached the broker before, but for its credentials.
        setback: Why the module returned to its old configuration, until that is dealt with.
        compensating: It gets fresh credentials with its old networks.
        appears_later: It is configured on a bench, and is verified when somebody sees it at its place.
        trouble: What the last look at the verified module found wrong, if anything.
        restored_at: When its lost configuration was last to be restored, in seconds since the epoch.
        forgotten: An operator has decommissioned the module. Met again, it is a new one.
    """

    id: str
    endpoint: Endpoint
    seen_at: float
    updated_at: float
    formerly: tuple[str, ...] = ()
    milestone: Milestone = Milestone.SEEN
    identity: Identity | None = None
    arguments: ProvisionArguments | None = None
    device_id: str = ""
    slug: str = ""
    warnings: tuple[str, ...] = ()
    intent: PushIntent | None = None
    generation: int | None = None
    adopted: bool = False
    managed_by: str = ""
    renew: bool = False
    evidence: Evidence | None = None
    hold: Hold | None = None
    attempt: int = 0
    repeated: int = 0
    last_code: Code | None = None
    absorbed_into: str = ""
    announced_id: str = ""
    slaves: tuple[Slave, ...] = ()
    approved: bool = False
    named: str = ""
    known_as: str = ""
    left_alone_by: str = ""
    origin: str = ""
    networks: tuple[str, ...] = ()
    task: Task | None = None
    proved: bool = False
    reach: Reach | None = None
    setback: SetBack | None = None
    compensating: bool = False
    appears_later: bool = False
    trouble: Inspected | None = None
    restored_at: float | None = None
    forgotten: bool = False

    @property
    def hardware_id(self) -> str | None:
        return self.identity.hardware_id if self.identity else None

    @property
    def name(self) -> str:
        """What the module is called, as far as that is known."""
        return self.arguments.name if self.arguments else self.named or self.known_as

    @property
    def proves(self) -> bool:
        """Whether a network is to be proved before anything else is done."""
        return self.task is not None and self.task.prove and not self.proved and self.reach is not None


# A module has one cable, perhaps two, and moves a few times while it is worked on.
_ENDPOINTS_REMEMBERED = 8

# A port may still be listed for a moment after its module has gone.
_STILL_LISTED = 3.0

# After these the module does not hold what was pushed, so the push is no longer true.
_NOT_PUSHED = frozenset(
    code for code in Code if code.value.startswith("trial_") or code in (Code.MODULE_CONFLICT, Code.MODULE_REFUSED)
)

# What a campaign tries once with each module.
_TRIED_ONCE = _NOT_PUSHED | {Code.NOT_ONLINE}

# The API said no to what it was asked, and would do so for ever.
_REFUSED_ARGUMENTS = frozenset({Code.API_REJECTED, Code.API_NOT_FOUND, Code.API_CONFLICT})


def evolve(session: Session | None, event: Event, *, session_id: str, at: float) -> Session:
    """The session after the event.

    Raises:
        ValueError: a session begins with Seen or ReprovisionAsked, and with Seen only once.
    """
    if isinstance(event, Seen) and session is not None:
        raise ValueError(f"session {session_id} was seen already")
    if isinstance(event, Seen | ReprovisionAsked) and session is None:
        session = Session(id=session_id, endpoint=event.endpoint, seen_at=at, updated_at=at)
        if isinstance(event, Seen):
            return replace(session, announced_id=event.announced_id)
    if session is None:
        raise ValueError(f"session {session_id} cannot begin with {type(event).__name__}")
    return replace(_apply(session, event, at), updated_at=at)


def _apply(session: Session, event: Event, at: float) -> Session:
    match event:
        case Moved(endpoint):
            return _moved(session, endpoint)
        case Failed():
            return _failed(session, event, at)
        case HoldCleared():
            return replace(session, hold=None)
        case Announced(hardware_id):
            return replace(session, announced_id=hardware_id)
        case Approved():
            return replace(session, approved=True, hold=None)
        case Named(name):
            return _named(session, name)
        case ReprovisionAsked():
            return _anew(session, event, at)
        case Inspected(code):
            return replace(session, trouble=event if code else None)
        case ResetIntended(by):
            return replace(session, hold=Hold(Waits.OPERATOR, Code.WIPE_UNFINISHED, f"{by} asked", None))
        case _:
            return replace(_ended(session, event) or _advance(session, event), hold=None)


def _ended(session: Session, event: Event) -> Session | None:
    """What is left of the session, if that is its end."""
    match event:
        case Absorbed(into):
            return replace(session, milestone=Milestone.CANCELLED, absorbed_into=into, left_alone_by="")
        case Cancelled(by=by):
            return replace(session, milestone=Milestone.CANCELLED, left_alone_by=by)
        case Forgotten():
            return replace(session, milestone=Milestone.CANCELLED, left_alone_by="", forgotten=True)
    return None


def _advance(session: Session, event: Event) -> Session:
    match event:
        case Identified(identity):
            milestone = Milestone.IDENTIFIED if session.milestone is Milestone.SEEN else session.milestone
            return replace(session, identity=identity, milestone=milestone)
        case ArgumentsFixed(arguments):
            return replace(session, arguments=arguments)
        case Checked(warnings):
            return replace(session, warnings=warnings)
        case PushIntended(intent):
            return replace(session, intent=intent, reach=intent.reach or session.reach)
        case Committed(generation):
            return replace(session, generation=generation, milestone=Milestone.PUSHED)
        case Adopted():
            return _adopted(session, event)
        case Verified(evidence):
            return _verified(session, evidence)
        case _:
            return _afterwards(session, event)


def _afterwards(session: Session, event: Event) -> Session:
    """What follows when a push did not do, or when nobody waits for its end."""
    match event:
        case SetBack():
            return replace(_not_pushed(session), setback=event)
        case Compensating():
            return replace(session, compensating=True)
        case LeftToAppear():
            return replace(session, appears_later=True)
        case _:
            return _in_the_api(session, event)


def _in_the_api(session: Session, event: Event) -> Session:
    match event:
        case DeviceAdded(device_id, slug, origin):
            slaves = session.slaves if device_id == session.device_id else ()  # they name their master's device
            session = replace(session, device_id=device_id, slug=slug, slaves=slaves, origin=origin)
            return replace(session, milestone=Milestone.PROVISIONED)
        case SlaveArgumentsFixed() | SlaveAdded():
            return replace(session, slaves=_slaves_after(session.slaves, event))
        case SlugSet(slug):
            return replace(session, slug=slug)
        case Warned(text):
            return replace(session, warnings=tuple(dict.fromkeys((*session.warnings, text))))
    raise ValueError(f"{type(event).__name__} is no progress")


def _slaves_after(slaves: tuple[Slave, ...], event: SlaveArgumentsFixed | SlaveAdded) -> tuple[Slave, ...]:
    if isinstance(event, SlaveArgumentsFixed):
        return (*slaves, Slave(event.arguments, event.model))
    return tuple(
        replace(slave, device_id=event.device_id) if slave.arguments.hardware_id == event.hardware_id else slave
        for slave in slaves
    )


def _adopted(session: Session, event: Adopted) -> Session:
    session = replace(session, adopted=True, managed_by=event.owner, milestone=Milestone.PUSHED, origin=event.origin)
    session = replace(session, networks=event.networks, known_as=event.name)
    return replace(session, device_id=event.device_id, slug=event.slug, generation=event.generation)


def _anew(session: Session, event: ReprovisionAsked, at: float) -> Session:
    anew = Session(id=session.id, endpoint=event.endpoint, seen_at=session.seen_at, updated_at=at)
    anew = replace(anew, named=session.named, restored_at=at if event.restores else None)
    asked = replace(anew, task=event.task, arguments=event.arguments, reach=event.reach, networks=session.networks)
    return replace(
        asked, identity=event.identity, device_id=event.device_id, milestone=Milestone.IDENTIFIED, renew=True
    )


def _named(session: Session, name: str) -> Session:
    """Arguments that are fixed already repeat with the new name: only modules with a hardware id are named."""
    arguments = replace(session.arguments, name=name) if session.arguments else None
    return replace(session, named=name, arguments=arguments)


def _verified(session: Session, evidence: Evidence) -> Session:
    """A network that was to be proved is; otherwise the session has reached its end."""
    networks = session.intent.networks if session.intent and session.intent.networks else session.networks
    session = replace(session, networks=networks, attempt=0, repeated=0, last_code=None, appears_later=False)
    if session.proves:
        return replace(session, proved=True, milestone=Milestone.IDENTIFIED, intent=None, generation=None)
    return replace(session, evidence=evidence, milestone=Milestone.VERIFIED)


def _not_pushed(session: Session) -> Session:
    """The module does not hold what was pushed."""
    known = session.arguments is not None and session.device_id
    milestone = Milestone.PROVISIONED if known else Milestone.IDENTIFIED
    return replace(session, milestone=milestone, intent=None, generation=None, adopted=False, managed_by="")


def _moved(session: Session, endpoint: Endpoint) -> Session:
    """Plugging a module in is an operator's hand on it: whatever it waited for, it is tried."""
    keys = [key for key in (*session.formerly, session.endpoint.key) if key != endpoint.key]
    formerly = tuple(keys[-_ENDPOINTS_REMEMBERED:])
    return replace(session, endpoint=endpoint, formerly=formerly, hold=None)


def _failed(session: Session, event: Failed, at: float) -> Session:
    failure = FAILURES[event.code]
    if failure.disposition is Disposition.WAIT_DEVICE:
        return replace(session, hold=Hold(Waits.DEVICE_GONE, event.code, event.detail, at + _STILL_LISTED))
    attempt = session.attempt + (event.code is not Code.LINK_LOST)
    repeated = session.repeated + 1 if session.last_code is event.code else 1
    session = replace(session, attempt=attempt, repeated=repeated, last_code=event.code)
    session = _without_what_failed(session, event.code)
    if session.setback and (event.code in _NOT_PUSHED or event.code is session.setback.code):
        session = replace(session, setback=None, compensating=False)
    if failure.disposition is Disposition.REJECT:
        return replace(session, milestone=Milestone.REJECTED, hold=Hold(Waits.OPERATOR, event.code, event.detail, None))
    again = failure.disposition in (Disposition.RETRY, Disposition.PAUSE_ALL)
    if session.task and event.code in _TRIED_ONCE:
        again = False  # a campaign has many modules to try it with
    if again and (failure.tries is None or repeated < failure.tries):
        wait = _wait_after(event, attempt)
        return replace(session, hold=Hold(Waits.RETRY_AT, event.code, event.detail, at + wait))
    return replace(session, hold=Hold(Waits.OPERATOR, event.code, event.detail, None))


def _wait_after(event: Failed, attempt: int) -> float:
    """Seconds. A session that another client took away is tried again sooner: whoever ran it has drawn a delay."""
    asked = min(event.retry_after or 0.0, policy.BACKOFF_LAST)
    return asked if event.code is Code.LINK_LOST and asked else max(policy.backoff(attempt), asked)


def _without_what_failed(session: Session, code: Code) -> Session:
    """What the failure shows to be no longer true, or never to have been."""
    if code in _REFUSED_ARGUMENTS:
        # What was not added may be asked for anew, by a corrected configuration.
        arguments = session.arguments if session.device_id else None
        return replace(
            session, arguments=arguments, known_as=session.name, slaves=tuple(s for s in session.slaves if s.device_id)
        )
    if code is Code.NOT_RECORDED:
        return replace(session, milestone=Milestone.IDENTIFIED, device_id="", slug="", slaves=())
    if code not in _NOT_PUSHED:
        return session
    session = _not_pushed(session)
    if code is Code.MODULE_CONFLICT:
        session = replace(session, milestone=Milestone.IDENTIFIED)
    return replace(session, renew=session.renew and code is not Code.MODULE_CONFLICT)


_ACTIONS = {
    Milestone.SEEN: Action.IDENTIFY,
    Milestone.IDENTIFIED: Action.PROVISION,
    Milestone.PROVISIONED: Action.PUSH,
    Milestone.PUSHED: Action.VERIFY,
}


def next_action(session: Session, now: float) -> Action | None:
    """What the session does next, or None while it waits or when it has ended."""
    if session.milestone.ended or (session.hold and not _over(session.hold, now)):
        return None
    if session.appears_later:
        return None
    if session.setback:
        return _after_setback(session)
    if session.proves and session.milestone in (Milestone.IDENTIFIED, Milestone.PROVISIONED):
        return Action.PROVE
    action = _ACTIONS.get(session.milestone)
    if action is Action.PUSH and session.arguments and session.arguments.kind not in WITH_CONFIG:
        return Action.CONFIRM
    return action


def _after_setback(session: Session) -> Action:
    """The module is to be online again, if need be with fresh credentials, before anything else is decided."""
    if not session.compensating:
        return Action.RECOVER
    return Action.VERIFY if session.milestone is Milestone.PUSHED else Action.COMPENSATE


def _over(hold: Hold, now: float) -> bool:
    return hold.waits is Waits.RETRY_AT and hold.until is not None and policy.is_over(hold.until, now)


def clamp(session: Session, now: float) -> Session:
    """The session as loaded from the journal, without waits that only a jumping clock can have made."""
    hold = session.hold
    if hold is None or hold.until is None or hold.until <= now + policy.BACKOFF_LAST:
        return session
    return replace(session, hold=replace(hold, until=now + policy.BACKOFF_LAST))
