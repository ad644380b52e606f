"""Push: the new connection, checked from here, written to the module as one transaction."""

from __future__ import annotations

import hashlib
import secrets

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Checked, Committed, PushIntended, PushIntent, Reach
from ucm_provision.core.model import (
    Connection,
    Device,
    KeepCredentials,
    ModuleConfiguration,
    TlsCredentials,
)
from ucm_provision.core.policy import RESERVE_BEYOND_TRIAL
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.naming import give_wished_name, give_wished_slug
from ucm_provision.engine.networks import networks
from ucm_provision.engine.provision import provision, reserve


async def push(attempt: Attempt) -> None:
    """Fresh credentials and the networks that the site wants."""
    connection = await fresh_connection(attempt)
    task = attempt.session.task
    configuration = ModuleConfiguration(attempt.session.device_id, connection, networks(attempt))
    await write(attempt, configuration, only=task.only if task else "")


async def prove(attempt: Attempt) -> None:
    """The networks that a campaign wants, with the credentials that the module has: the API is not asked yet."""
    await reserve(attempt)
    active, reach, task = attempt.info.active, attempt.session.reach, attempt.session.task
    assert reach is not None, "or there is nothing to prove with"
    assert task is not None, "only a campaign proves"
    if active is None:
        raise UcmError(Code.TRIAL_LOST, "it has lost its configuration")
    keep = KeepCredentials()
    connection = Connection(
        attempt.hardware_id, reach.channel_id, reach.mqtt_host, reach.mqtt_port, keep, reach.time_source
    )
    await write(attempt, ModuleConfiguration(active.device_id, connection, networks(attempt)), only=task.only)


async def fresh_connection(attempt: Attempt) -> Connection:
    """The module's new connection, which works from this box, and the module reserved."""
    if attempt.work.connection is None:
        await provision(attempt)  # credentials are never stored: after a restart the API is asked again
    await reserve(attempt)
    connection = attempt.work.connection
    assert connection is not None, "provisioned just above"
    if not attempt.work.checked:
        attempt.give_way_to_cable()
        await _check(attempt, connection)
        await give_wished_slug(attempt)
        await give_wished_name(attempt)
    attempt.give_way_to_cable()
    return connection


async def _check(attempt: Attempt, connection: Connection) -> None:
    attempt.show("check")
    warnings = await attempt.site.broker.check(connection)
    attempt.work.checked = True
    await attempt.note(Checked(tuple(warnings)))


# ---- the transaction -----------------------------------------------------------------------------


async def write(attempt: Attempt, configuration: ModuleConfiguration, *, only: str = "") -> None:
    """Puts the configuration on trial. What an earlier conversation began with the same bytes is resumed.

    ``only``: the network that is tried alone while on trial.
    """
    if attempt.session.intent is None or not attempt.work.payload:
        await _intend(attempt, configuration)
    await _transfer(attempt)
    await _commit(attempt, only)


async def _intend(attempt: Attempt, configuration: ModuleConfiguration) -> None:
    """Journals what is about to be written, before the first byte of it leaves the process.

    The base generation is the one read before the API was asked: if somebody configured the module
    since, it refuses.
    """
    active, connection = attempt.info.active, configuration.connection
    credentials = connection.credentials
    attempt.work.payload = attempt.link.pack(configuration)
    intent = PushIntent(
        transaction=secrets.token_bytes(16),
        sha256=hashlib.sha256(attempt.work.payload).digest(),
        base_generation=active.generation if active else 0,
        networks=tuple(network.ssid for network in configuration.wifi),
        not_before=credentials.not_before if isinstance(credentials, TlsCredentials) else None,
        not_after=credentials.not_after if isinstance(credentials, TlsCredentials) else None,
        reach=Reach(connection.channel_id, connection.mqtt_host, connection.mqtt_port, connection.time_source),
    )
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


async def _commit(attempt: Attempt, only: str) -> None:
    """The point of no return, made safe: the module goes on trial and falls back by itself.

    The witness listens before it, so that the module's first message cannot be missed.
    """
    site, intent = attempt.site, _intent(attempt)
    await attempt.watch()
    attempt.before = await _device_before(attempt)
    await attempt.reserved.hold(site.plan.trial_s + RESERVE_BEYOND_TRIAL)
    now_ms = int(site.clock.now() * 1000) if site.clock.synchronized() else 0
    generation = await attempt.link.commit(
        intent.transaction,
        trial_s=site.plan.trial_s,
        now_unix_ms=now_ms,
        ssid=only,
        by_host=attempt.is_on_bench,
    )
    attempt.committed = True
    await attempt.note(Committed(generation))


async def _device_before(attempt: Attempt) -> Device | None:
    """How the API saw the module before Commit. Without it, only the new generation counts there."""
    try:
        return await attempt.site.api.device(attempt.session.device_id) if attempt.session.device_id else None
    except UcmError:
        return None


def _intent(attempt: Attempt) -> PushIntent:
    intent = attempt.session.intent
    assert intent is not None, "journalled before the transfer"
    return intent
