"""Modules that were configured on a bench: each is verified when somebody sees it at its place."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from ucm_provision.core import policy
from ucm_provision.core.errors import UcmError
from ucm_provision.core.events import Verified
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Arrival, Evidence, Phase, Source
from ucm_provision.core.ports import Clock, ProvisioningApi, Witness
from ucm_provision.engine.record import Record


class Appearing:
    """Watches for as long as it takes. The module's own report is not asked: there is no way to it."""

    def __init__(self, record: Record, api: ProvisioningApi, witness: Witness, clock: Clock) -> None:
        self._record = record
        self._api = api
        self._witness = witness
        self._clock = clock
        self._watched: set[str] = set()

    async def run(self) -> None:
        """Until cancelled. Who is let go is watched within a minute; nothing that it says is missed by the API."""
        async with asyncio.TaskGroup() as group:
            while True:
                for session in self._record.open_sessions():
                    if session.appears_later and session.id not in self._watched:
                        self._watched.add(session.id)
                        group.create_task(self._watch(session), name=f"appearing {session.id}")
                await self._clock.sleep(policy.APPEARING_EVERY)

    async def _watch(self, session: Session) -> None:
        try:
            async with AsyncExitStack() as stack:
                arrivals = await stack.enter_async_context(self._witness.watch(session.hardware_id or ""))
                seen = asyncio.ensure_future(anext(arrivals))
                stack.push_async_callback(_settled, seen)
                while self._waits(session):
                    if evidence := _by_witness(session, seen) or await self._by_api(session):
                        await self._record.add(session.id, Verified(evidence))
                        return
                    await self._until_seen_or_due(seen)
        finally:
            self._watched.discard(session.id)

    def _waits(self, session: Session) -> bool:
        """An operator may have it provisioned anew meanwhile."""
        now = self._record.session(session.id)
        return now.appears_later and not now.milestone.ended and now.generation == session.generation

    async def _until_seen_or_due(self, seen: asyncio.Future[Arrival]) -> None:
        sleeper = asyncio.ensure_future(self._clock.sleep(policy.APPEARING_EVERY))
        try:
            await asyncio.wait((seen, sleeper), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _settled(sleeper)

    async def _by_api(self, session: Session) -> Evidence | None:
        try:
            device = await self._api.device(session.device_id)
        except UcmError:
            return None
        if device and device.config_generation == session.generation:
            return _evidence(session, Source.API, f"generation {session.generation} registered", self._clock.now())
        return None


def _by_witness(session: Session, seen: asyncio.Future[Arrival]) -> Evidence | None:
    """Whatever it says: nobody else has its credentials, and on the bench it was never online."""
    if not seen.done():
        return None
    arrival = seen.result()
    return _evidence(session, Source.WITNESS, f"a message on {arrival.topic}", arrival.at)


def _evidence(session: Session, by: Source, what: str, at: float) -> Evidence:
    assert session.generation is not None, "pushed before it appears"
    return Evidence(
        generation=session.generation,
        reported_phase=Phase.IDLE,
        reported_at=at,
        rssi_dbm=0,
        ssid="",
        seen_by=by,
        seen_what=what,
        seen_generation=None,
        seen_at=at,
    )


async def _settled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
