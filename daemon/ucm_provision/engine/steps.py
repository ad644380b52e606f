"""The chain's steps by name, and its first: identify.

Each is idempotent and journals what has become true, intents before effects leave the process. After a
crash the session's next step simply runs again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import (
    Adopted,
    Committed,
    Identified,
    Identity,
    PushIntent,
)
from ucm_provision.core.machine import Action, Milestone
from ucm_provision.core.model import ConfigState, Device, ModuleInfo
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.confirm import confirm
from ucm_provision.engine.provision import demand_same_origin, provision, site_id
from ucm_provision.engine.push import prove, push
from ucm_provision.engine.recover import compensate, recover
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
    site = await site_id(attempt)
    device = await attempt.site.api.device(active.device_id)
    if device and _is_its_device(device, attempt.hardware_id, site):
        origin, networks = attempt.site.api.origin, active.ssids
        adopted = Adopted(device.id, device.slug, active.generation, active.owner, origin, networks, device.name)
        await attempt.note(adopted)
    elif active.owner != attempt.site.plan.box_id:
        raise UcmError(Code.MANAGED_ELSEWHERE, f'configured by "{active.owner}"')
    else:
        demand_same_origin(attempt)


def _is_its_device(device: Device, hardware_id: str, site_id: str) -> bool:
    return device.hardware_id == hardware_id and device.site_id == site_id


STEPS: dict[Action, Callable[[Attempt], Awaitable[None]]] = {
    Action.IDENTIFY: identify,
    Action.PROVISION: provision,
    Action.PUSH: push,
    Action.VERIFY: verify,
    Action.CONFIRM: confirm,
    Action.PROVE: prove,
    Action.RECOVER: recover,
    Action.COMPENSATE: compensate,
}
