"""What a device is to be called, where the provisioning call itself does not do it.

It takes no slug, and a device that the API knows already keeps its name.
"""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import SlugSet, Warned
from ucm_provision.core.model import Device
from ucm_provision.engine.attempt import Attempt

# The API said no to the name. That is told, and stands in nobody's way.
_REFUSALS = frozenset({Code.API_REJECTED, Code.API_CONFLICT, Code.API_NOT_FOUND, Code.API_ANSWER_INVALID})


async def give_wished_slug(attempt: Attempt) -> None:
    """Renames the session's device if the manifest wishes another slug than the API chose."""
    session = attempt.session
    assert session.arguments is not None, "provisioned before it is named"
    wished = attempt.site.plan.listed(attempt.hardware_id).slug
    if wished and wished != session.slug:
        await _rename(attempt, session.device_id, session.arguments.name, session.slug, wished)


async def give_wished_name(attempt: Attempt) -> None:
    """Renames the session's device if an operator called the module something else."""
    session = attempt.session
    device = await attempt.site.api.device(session.device_id) if session.named else None
    if device is None or device.name == session.named:
        return
    try:
        await attempt.site.api.rename(device.id, name=session.named)
    except UcmError as error:
        if error.code not in _REFUSALS:
            raise
        text = f'The API keeps the name "{device.name}": "{session.named}" was refused ({error.detail}).'
        await attempt.note(Warned(text))


async def name_as_listed(attempt: Attempt, device: Device) -> None:
    """The same for a device whose record was just read: the session's own, or a LINK slave of it."""
    wished = attempt.site.plan.listed(device.hardware_id).slug
    if wished and wished != device.slug:
        await _rename(attempt, device.id, device.name, device.slug, wished)
    elif device.id == attempt.session.device_id and device.slug != attempt.session.slug:
        await attempt.note(SlugSet(device.slug))


async def _rename(attempt: Attempt, device_id: str, name: str, present: str, wished: str) -> None:
    try:
        device = await attempt.site.api.rename(device_id, name=name, slug=wished)
    except UcmError as error:
        if error.code not in _REFUSALS:
            raise
        await attempt.note(Warned(f'The slug stays "{present}": "{wished}" was refused ({error.detail}).'))
    else:
        if device_id == attempt.session.device_id:
            await attempt.note(SlugSet(device.slug))
