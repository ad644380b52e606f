"""Confirm: devices that are not configured count as verified once the API's own records show them."""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import SlaveAdded, SlaveArgumentsFixed, Verified
from ucm_provision.core.machine import Slave
from ucm_provision.core.model import Attached, Device, Evidence, Phase, Source
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.naming import give_wished_name, name_as_listed


async def confirm(attempt: Attempt) -> None:
    """Adds the LINK slaves behind a master, then looks all of them up.

    Raises:
        UcmError: ``not_recorded``, ``kind_mismatch``, or an ``api_…`` failure.
    """
    for attached in attempt.info.attached:
        await _add(attempt, attached)
    attempt.show("verify", "the API's records")
    master = await _recorded(attempt, attempt.session.device_id, attempt.hardware_id)
    await name_as_listed(attempt, master)
    await give_wished_name(attempt)
    added = [slave for slave in attempt.session.slaves if slave.device_id]
    for slave in added:
        await name_as_listed(attempt, await _recorded(attempt, slave.device_id, slave.arguments.hardware_id))
    await attempt.note(Verified(_evidence(len(added), attempt.site.clock.now())))


async def _add(attempt: Attempt, attached: Attached) -> None:
    """One slave: its arguments are journalled before the first call, like those of every other device."""
    attempt.show("provision", f"LINK slave {attached.hardware_id}")
    await attempt.reserved.keep()
    slave = _known(attempt, attached.hardware_id)
    if slave is None:
        master = attempt.session.arguments
        assert master is not None, "a master is provisioned before its slaves"
        arguments = attempt.site.plan.slave_arguments(attached, master, attempt.session.device_id)
        await attempt.note(SlaveArgumentsFixed(arguments, attached.model))
        slave = Slave(arguments, attached.model)
    if not slave.device_id:
        answer = await attempt.site.api.provision(slave.arguments)
        await attempt.note(SlaveAdded(attached.hardware_id, answer.device_id))


def _known(attempt: Attempt, hardware_id: str) -> Slave | None:
    return next((slave for slave in attempt.session.slaves if slave.arguments.hardware_id == hardware_id), None)


async def _recorded(attempt: Attempt, device_id: str, hardware_id: str) -> Device:
    arguments = attempt.session.arguments
    assert arguments is not None, "provisioned before it is confirmed"
    device = await attempt.site.api.device(device_id)
    if device is None or (device.hardware_id, device.site_id) != (hardware_id, arguments.site_id):
        raise UcmError(Code.NOT_RECORDED, f"device {device_id} for {hardware_id}")
    return device


def _evidence(slaves: int, at: float) -> Evidence:
    more = f" and those of {slaves} LINK slave{'s' if slaves > 1 else ''}" if slaves else ""
    return Evidence(
        generation=0,
        reported_phase=Phase.IDLE,
        reported_at=at,
        rssi_dbm=0,
        ssid="",
        seen_by=Source.API,
        seen_what=f"the device's record{more}",
        seen_generation=None,
        seen_at=at,
    )
