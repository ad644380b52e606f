"""Verify: the module's own report, and somebody else who has seen it, both at the new generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import LeftToAppear, Verified
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Arrival, Device, Evidence, LinkState, Phase, Reason, Source
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.trial import failed_trial, trial_failure

T = TypeVar("T")

# After Commit a module on the LAN is away for a while, and somebody else may sit at its old address.
_NOT_MET = frozenset(
    {
        Code.LINK_SILENT,
        Code.LINK_GARBAGE,
        Code.LINK_BROKEN,
        Code.LINK_LOST,
        Code.IDENTITY_MISMATCH,
        Code.POP_WRONG,
    }
)


@dataclass(frozen=True, slots=True)
class Sight:
    """Somebody other than the module has seen it."""

    by: Source
    what: str
    generation: int | None
    at: float


async def verify(attempt: Attempt) -> None:
    """Watches until the module is online and seen, or says why it is not.

    Raises:
        UcmError: ``trial_…`` when the module fell back, ``not_online``, ``not_seen``.
    """
    attempt.show("verify")
    if attempt.is_on_bench and not attempt.session.adopted:
        await _leave_to_appear(attempt)
        return
    arrivals = await attempt.watch()
    sight = await _seen_while_away(attempt, arrivals)
    state = await _until_online(attempt)
    reported_at = attempt.site.clock.now()
    attempt.show("verify", "online, waiting to be seen at the broker")
    sight = sight or await _until_seen(attempt, arrivals, reported_at)
    if setback := attempt.session.setback:
        raise UcmError(setback.code, f"{setback.detail}; it has its old network, and fresh credentials".lstrip("; "))
    await attempt.note(Verified(_evidence(state, reported_at, sight)))


async def _leave_to_appear(attempt: Attempt) -> None:
    """On a staging bench nobody can see the module online: it keeps what it was given, and is let go."""
    generation = attempt.session.generation
    assert generation is not None, "pushed before it is let go"
    await attempt.reserved.keep()
    await attempt.link.confirm(generation)
    await attempt.note(LeftToAppear())


async def _until_online(attempt: Attempt) -> LinkState:
    """Polls the module's own report until it is online at the session's generation."""
    clock, session = attempt.site.clock, attempt.session
    deadline = clock.monotonic() + attempt.site.plan.trial_s + policy.TRIAL_GRACE
    misses = 0
    while True:
        state = await report(attempt)
        if state and session.intent and failed_trial(state, session.intent.transaction):
            raise trial_failure(state, session.intent.transaction)
        if state and state.generation == session.generation and state.phase is Phase.ONLINE:
            _demand_network(session, state)
            return state
        misses = misses + 1 if state is None else 0
        attempt.show("verify", _progress(state, session.generation))
        if clock.monotonic() >= deadline:
            raise UcmError(Code.NOT_ONLINE, _progress(state, session.generation))
        await clock.sleep(policy.lan_backoff(misses) if misses else policy.STATE_POLL)


def _demand_network(session: Session, state: LinkState) -> None:
    wanted = session.task.only if session.task and not session.setback else ""
    if wanted not in ("", state.ssid):
        raise UcmError(Code.NOT_ON_NETWORK, f'on "{state.ssid}", wanted "{wanted}"')


async def report(attempt: Attempt) -> LinkState | None:
    """The module's own report, or None while a module on the LAN is not to be met."""
    try:
        return await attempt.link.state()
    except UcmError as error:
        if not attempt.committed or not attempt.link.roams or error.code not in _NOT_MET:
            raise
        return None


def _progress(state: LinkState | None, generation: int | None) -> str:
    if state is None:
        return "not met again on the LAN yet"
    if state.generation != generation:
        return "still with the old configuration"
    reason = "" if state.reason is Reason.NONE else f" {state.reason.value}"
    return f"{state.phase.value}{reason}"


async def _seen_while_away(attempt: Attempt, arrivals: AsyncIterator[Arrival]) -> Sight | None:
    """Lets a module on the LAN come online in peace: to knock at it costs both sides a handshake each time."""
    if not attempt.committed or not attempt.link.roams:
        return None
    return await _first_of(_seen_by_witness(attempt, arrivals, inf), _no_sight(attempt, policy.LAN_REJOIN_PATIENCE))


async def _no_sight(attempt: Attempt, seconds: float) -> None:
    await attempt.site.clock.sleep(seconds)


async def _until_seen(attempt: Attempt, arrivals: AsyncIterator[Arrival], reported_at: float) -> Sight:
    """The first of the witness and the API to have seen the module."""
    return await _first_of(_seen_by_witness(attempt, arrivals, reported_at), _seen_by_api(attempt), _not_seen(attempt))


async def _first_of(*watches: Coroutine[Any, Any, T]) -> T:
    """What the first of them to end comes to; the others are cancelled."""
    watchers = [asyncio.ensure_future(watch) for watch in watches]
    try:
        done, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
    return next(watcher for watcher in watchers if watcher in done).result()


async def _seen_by_witness(attempt: Attempt, arrivals: AsyncIterator[Arrival], reported_at: float) -> Sight:
    generation = attempt.session.generation
    async for arrival in arrivals:
        if attempt.session.adopted or arrival.config_generation == generation or arrival.at >= reported_at:
            return Sight(Source.WITNESS, f"a message on {arrival.topic}", arrival.config_generation, arrival.at)
    raise AssertionError("a witness never ends by itself")


async def _not_seen(attempt: Attempt) -> Sight:
    await attempt.site.clock.sleep(policy.SEEN_DEADLINE)
    raise UcmError(Code.NOT_SEEN)


async def _seen_by_api(attempt: Attempt) -> Sight:
    site = attempt.site
    while True:
        device = await _ask(attempt)
        what = device and seen_in_api(device, attempt)
        if device and what:
            return Sight(Source.API, what, device.config_generation, site.clock.now())
        await site.clock.sleep(policy.API_POLL)


async def _ask(attempt: Attempt) -> Device | None:
    """An API that is away is no reason to give up: the witness may see the module meanwhile."""
    try:
        return await attempt.site.api.device(attempt.session.device_id)
    except UcmError:
        return None


def seen_in_api(device: Device, attempt: Attempt) -> str:
    """What the API's record proves, or nothing.

    A generation that the API knew before Commit proves nothing: an erased module counts from 1 again.
    Being online proves something only where nothing was committed, or where it was not so before.
    """
    before, session = attempt.before, attempt.session
    known = before.config_generation if before else None
    if device.config_generation == session.generation and known != session.generation:
        return f"generation {device.config_generation} registered"
    if device.online and (session.adopted or (before is not None and before.online is False)):
        return "the module online"
    return ""


def _evidence(state: LinkState, reported_at: float, sight: Sight) -> Evidence:
    return Evidence(
        generation=state.generation,
        reported_phase=state.phase,
        reported_at=reported_at,
        rssi_dbm=state.rssi_dbm,
        ssid=state.ssid,
        seen_by=sight.by,
        seen_what=sight.what,
        seen_generation=sight.generation,
        seen_at=sight.at,
    )
