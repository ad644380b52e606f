"""The chain, one function a step: identify, provision, push (with its check), verify or confirm.

Each is idempotent and journals what has become true, intents before effects leave the process. After a
crash the session's next step simply runs again.
"""

from __future__ import annotations

import hashlib
import secrets

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import (
    Adopted,
    ArgumentsFixed,
    Checked,
    Committed,
    DeviceAdded,
    Identified,
    Identity,
    PushIntended,
    PushIntent,
)
from ucm_provision.core.machine import Action, Milestone
from ucm_provision.core.model import ConfigState, Connection, Device, ModuleConfiguration, ModuleInfo
from ucm_provision.core.policy import RESERVE_BEYOND_TRIAL
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.confirm import confirm
from ucm_provision.engine.naming import give_wished_slug
from ucm_provision.engine.trial import failed_trial, trial_failure
from ucm_provision.engine.verify import verify

# ---- identify ------------------------------------------------------------------------------------


async def identify(attempt: Attempt) -> None:
    """Journals who the module is, and what of the session's work it already holds."""
    info = attempt.info
    identity = Identity(info.hardware_id, info.product, info.model, info.firmware)
    if attempt.session.identity != identity:
        await attempt.note(Identified(identity))
    await _recognise_our_push(attempt)
    if attempt.session.milestone is Milestone.IDENTIFIED and not attempt.session.renew:
        await _adopt(attempt)
    if attempt.session.milestone is Milestone.IDENTIFIED:
        _demand_permission(attempt)


def _demand_permission(attempt: Attempt) -> None:
    """The site's policy may want an operator to say yes before a module gets anything from this box."""
    session = attempt.session
    if session.approved or session.renew:
        return
    if not attempt.site.plan.permits(attempt.hardware_id, session.endpoint.carrier):
        raise UcmError(Code.APPROVAL_NEEDED)


async def _recognise_our_push(attempt: Attempt) -> None:
    """A crash or an unplugged cable may have hidden the answer to Commit: the module itself knows."""
    session, intent = attempt.session, attempt.session.intent
    if session.adopted:
        await _still_as_adopted(attempt)
    elif intent is not None:
        held = _holding(attempt.info, intent)
        if held is None:
            await _may_push_again(attempt, intent)
        elif session.milestone is not Milestone.PUSHED:
            await attempt.note(Committed(held.generation))


async def _may_push_again(attempt: Attempt, intent: PushIntent) -> None:
    """The module does not hold the intended configuration: never yet, or not any more."""
    state = await attempt.link.state()
    if attempt.session.milestone is Milestone.PUSHED or failed_trial(state, intent.transaction):
        raise trial_failure(state, intent.transaction)


def _holding(info: ModuleInfo, intent: PushIntent) -> ConfigState | None:
    """The slot, on trial or active, that holds exactly what was intended."""
    for slot in (info.trial, info.active):
        if slot and slot.transaction == intent.transaction and slot.sha256 == intent.sha256:
            return slot
    return None


async def _still_as_adopted(attempt: Attempt) -> None:
    active = attempt.info.active
    if active is None or active.generation != attempt.session.generation:
        raise UcmError(Code.TRIAL_LOST, "it was configured anew since it was adopted")


async def _adopt(attempt: Attempt) -> None:
    """Adopt before provision: a reinstalled or second box never starts a war over a working module."""
    active = attempt.info.active
    if active is None:
        return
    site_id = await _site_id(attempt)
    device = await attempt.site.api.device(active.device_id)
    if device and _is_its_device(device, attempt.hardware_id, site_id):
        origin = attempt.site.api.origin
        await attempt.note(Adopted(device.id, device.slug, active.generation, active.owner, origin))
    elif active.owner != attempt.site.plan.box_id:
        raise UcmError(Code.MANAGED_ELSEWHERE, f'configured by "{active.owner}"')
    else:
        _demand_same_origin(attempt)


def _demand_same_origin(attempt: Attempt) -> None:
    """A module never changes from one provisioning API to another unless an operator says so."""
    before, origin = attempt.record.origin_of(attempt.hardware_id), attempt.site.api.origin
    if before and before != origin and not attempt.session.renew:
        raise UcmError(Code.API_ORIGIN_CHANGED, f"{before}, now {origin}")


def _is_its_device(device: Device, hardware_id: str, site_id: str) -> bool:
    return device.hardware_id == hardware_id and device.site_id == site_id


async def _site_id(attempt: Attempt) -> str:
    return attempt.site.plan.site_id or await attempt.site.api.site_id()


# ---- provision -----------------------------------------------------------------------------------


async def provision(attempt: Attempt) -> None:
    """Asks the API for the module's device and credentials, under a reservation of the module."""
    attempt.show("provision")
    attempt.give_way_to_cable()
    _demand_same_origin(attempt)
    await _reserve(attempt)
    if attempt.session.arguments is None:
        identity = attempt.session.identity
        assert identity is not None, "identify comes first"
        await attempt.note(ArgumentsFixed(attempt.site.plan.arguments_for(identity, await _site_id(attempt))))
    arguments = attempt.session.arguments
    assert arguments is not None, "fixed just above"
    answer = await attempt.site.api.provision(arguments)
    attempt.work.connection, attempt.work.checked, attempt.work.payload = answer.connection, False, b""
    if (attempt.session.device_id, attempt.session.milestone) != (answer.device_id, Milestone.PROVISIONED):
        await attempt.note(DeviceAdded(answer.device_id, answer.slug, attempt.site.api.origin))


async def _reserve(attempt: Attempt) -> None:
    other = attempt.info.reservation
    if other and other.owner != attempt.site.plan.box_id:
        raise UcmError(Code.MODULE_BUSY, f'reserved by "{other.owner}"', retry_after=other.remaining_s)
    await attempt.reserved.keep()


# ---- check and push ------------------------------------------------------------------------------


async def push(attempt: Attempt) -> None:
    """Checks the new connection from here, then writes it to the module as one transaction."""
    if attempt.work.connection is None:
        await provision(attempt)  # credentials are never stored: after a restart the API is asked again
    await _reserve(attempt)
    connection = attempt.work.connection
    assert connection is not None, "provisioned just above"
    if not attempt.work.checked:
        attempt.give_way_to_cable()
        await _check(attempt, connection)
        await give_wished_slug(attempt)
    attempt.give_way_to_cable()
    if not attempt.work.payload:
        await _intend(attempt, connection)
    await _transfer(attempt)
    await _commit(attempt)


async def _check(attempt: Attempt, connection: Connection) -> None:
    attempt.show("check")
    warnings = await attempt.site.broker.check(connection)
    attempt.work.checked = True
    await attempt.note(Checked(tuple(warnings)))


async def _intend(attempt: Attempt, connection: Connection) -> None:
    """Journals what is about to be written, before the first byte of it leaves the process.

    The base generation is the one read before the API was asked: if somebody configured the module
    since, it refuses.
    """
    plan, active = attempt.site.plan, attempt.info.active
    configuration = ModuleConfiguration(attempt.session.device_id, connection, plan.wifi)
    attempt.work.payload = attempt.site.links.pack(configuration)
    digest = hashlib.sha256(attempt.work.payload).digest()
    intent = PushIntent(secrets.token_bytes(16), digest, active.generation if active else 0)
    await attempt.note(PushIntended(intent))


async def _transfer(attempt: Attempt) -> None:
    intent, payload = _intent(attempt), attempt.work.payload
    attempt.show("push", "0 %")
    await attempt.reserved.hold(attempt.site.plan.trial_s)
    offset = await attempt.link.begin(intent.transaction, payload, intent.base_generation)
    while offset < len(payload):
        attempt.show("push", f"{100 * offset // len(payload)} %")
        await attempt.reserved.keep()
        offset = await attempt.link.chunk(intent.transaction, payload, offset)
    attempt.show("push", "100 %")


async def _commit(attempt: Attempt) -> None:
    """The point of no return, made safe: the module goes on trial and falls back by itself.

    The witness listens before it, so that the module's first message cannot be missed.
    """
    site, intent = attempt.site, _intent(attempt)
    await attempt.watch()
    attempt.before = await _device_before(attempt)
    await attempt.reserved.hold(site.plan.trial_s + RESERVE_BEYOND_TRIAL)
    now_ms = int(site.clock.now() * 1000) if site.clock.synchronized() else 0
    generation = await attempt.link.commit(intent.transaction, trial_s=site.plan.trial_s, now_unix_ms=now_ms)
    attempt.committed = True
    await attempt.note(Committed(generation))


async def _device_before(attempt: Attempt) -> Device | None:
    """How the API saw the module before Commit. Without it, only the new generation counts there."""
    try:
        return await attempt.site.api.device(attempt.session.device_id)
    except UcmError:
        return None


def _intent(attempt: Attempt) -> PushIntent:
    intent = attempt.session.intent
    assert intent is not None, "journalled before the transfer"
    return intent


STEPS = {
    Action.IDENTIFY: identify,
    Action.PROVISION: provision,
    Action.PUSH: push,
    Action.VERIFY: verify,
    Action.CONFIRM: confirm,
}
