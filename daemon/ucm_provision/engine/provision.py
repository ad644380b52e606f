"""Provision: the module's device and fresh credentials, from the API, under a reservation of the module."""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import ArgumentsFixed, DeviceAdded
from ucm_provision.core.machine import Milestone
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.networks import networks


async def provision(attempt: Attempt) -> None:
    """Asks the API with arguments that were journalled before the first call, and repeat for ever."""
    attempt.show("provision")
    attempt.give_way_to_cable()
    demand_same_origin(attempt)
    if not attempt.session.compensating:
        networks(attempt)  # known before the API is asked, which may end the credentials that the module has
    await reserve(attempt)
    if attempt.session.arguments is None:
        identity = attempt.session.identity
        assert identity is not None, "identify comes first"
        named = attempt.session.named or attempt.record.named(identity.hardware_id)
        fixed = attempt.site.plan.arguments_for(identity, await site_id(attempt), named=named)
        await attempt.note(ArgumentsFixed(fixed))
    arguments = attempt.session.arguments
    assert arguments is not None, "fixed just above"
    answer = await attempt.site.api.provision(arguments)
    attempt.work.connection, attempt.work.checked, attempt.work.payload = answer.connection, False, b""
    if (attempt.session.device_id, attempt.session.milestone) != (answer.device_id, Milestone.PROVISIONED):
        await attempt.note(DeviceAdded(answer.device_id, answer.slug, attempt.site.api.origin))


async def reserve(attempt: Attempt) -> None:
    other = attempt.info.reservation
    if other and other.owner != attempt.site.plan.box_id:
        raise UcmError(Code.MODULE_BUSY, f'reserved by "{other.owner}"', retry_after=other.remaining_s)
    await attempt.reserved.keep()


async def site_id(attempt: Attempt) -> str:
    return attempt.site.plan.site_id or await attempt.site.api.site_id()


def demand_same_origin(attempt: Attempt) -> None:
    """A module never changes from one provisioning API to another unless an operator says so, for that module."""
    session = attempt.session
    before, origin = attempt.record.origin_of(attempt.hardware_id), attempt.site.api.origin
    wanted = session.renew and session.task is None
    if before and before != origin and not wanted:
        raise UcmError(Code.API_ORIGIN_CHANGED, f"{before}, now {origin}")
