"""Runs one session: opens the link, finds out whose module it is, and goes from step to step."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager

import structlog

from ucm_provision.core.errors import Code, Disposition, UcmError
from ucm_provision.core.events import Absorbed, Announced, Failed, Moved
from ucm_provision.core.machine import Session, next_action
from ucm_provision.core.model import ModuleInfo
from ucm_provision.core.ports import DeviceLink
from ucm_provision.engine.attempt import Attempt, ReservedModule, Site, Work
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.steps import STEPS, identify

log = structlog.get_logger()

# After these the credentials in memory may still be pushed; after any other failure they are dropped.
_RESUMABLE = frozenset(
    {Code.DEVICE_GONE, Code.LINK_SILENT, Code.LINK_GARBAGE, Code.LINK_BROKEN, Code.PORT_BUSY, Code.MODULE_BUSY}
)


class SessionRunner:
    """Takes a session as far as it goes on one open link. Never raises but for cancellation and a dead journal."""

    def __init__(self, site: Site, record: Record, proofs: Proofs) -> None:
        self._site = site
        self._record = record
        self._proofs = proofs
        self._works: dict[str, Work] = defaultdict(Work)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._claimed: Counter[str] = Counter()

    def works_on(self, session_id: str) -> bool:
        """Whether a conversation is under way for the session, be it at its own endpoint or at a new one."""
        return session_id in self._claimed

    async def run(self, session_id: str) -> UcmError | None:
        """Returns the failure that ended the attempt, if one did; it is journalled already."""
        with self._claim(session_id):
            return await self._guard(session_id, self._converse(session_id))

    @contextmanager
    def _claim(self, session_id: str) -> Iterator[None]:
        self._claimed[session_id] += 1
        try:
            yield
        finally:
            self._claimed[session_id] -= 1
            if not self._claimed[session_id]:
                del self._claimed[session_id]
                self._record.idle(session_id)

    async def _guard(self, session_id: str, work: Awaitable[UcmError | None]) -> UcmError | None:
        """Turns whatever ends the work into a journalled failure of the session."""
        try:
            return await work
        except UcmError as error:
            failure = error
        except Exception as error:
            log.exception("session failed unexpectedly", UCM_SESSION=session_id)
            failure = UcmError(Code.INTERNAL, type(error).__name__)
        await self._fail(session_id, failure)
        return failure

    async def _converse(self, session_id: str) -> UcmError | None:
        session = self._record.session(session_id)
        self._record.busy(session_id, "identify")
        async with self._site.links.dial(session.endpoint, self._proofs.lookup(session)) as link:
            hardware_id = (await link.info()).hardware_id
            self._proofs.proved(session, hardware_id)
            # One module has one lock: what its last conversation ended with is journalled before the next begins.
            async with self._locks[hardware_id]:
                info = await link.info()  # again: another conversation may have changed what the module holds
                session = await self._whose(session, info)
                with self._claim(session.id):
                    return await self._guard(session.id, self._work_on(session, link, info))

    async def _work_on(self, session: Session, link: DeviceLink, info: ModuleInfo) -> None:
        async with AsyncExitStack() as stack:
            attempt = self._attempt(session, link, info, stack)
            try:
                await self._steps(attempt)
            except UcmError as error:
                if error.failure.disposition is not Disposition.WAIT_DEVICE:
                    await attempt.reserved.release()  # nothing stays reserved while a session waits
                raise
            await attempt.reserved.release()
        self._forget(session.id)

    async def _whose(self, session: Session, info: ModuleInfo) -> Session:
        """The session that this module belongs to: its own unfinished one, if it came back elsewhere."""
        if session.hardware_id not in (None, info.hardware_id):
            raise UcmError(Code.IDENTITY_MISMATCH, f"{info.hardware_id} answers where {session.hardware_id} was")
        unfinished = self._record.open_for(info.hardware_id, other_than=session.id)
        if unfinished is None:
            return session
        await self._record.add(session.id, Absorbed(unfinished.id))
        return await self._record.add(unfinished.id, Moved(session.endpoint))

    def _attempt(self, session: Session, link: DeviceLink, info: ModuleInfo, stack: AsyncExitStack) -> Attempt:
        site = self._site
        return Attempt(
            site=site,
            record=self._record,
            session=session,
            link=link,
            info=info,
            reserved=ReservedModule(link, site.plan.box_id, site.clock),
            work=self._works[session.id],
            stack=stack,
        )

    async def _steps(self, attempt: Attempt) -> None:
        await identify(attempt)  # on every link anew: nothing is done to a module that was not asked who it is
        while action := next_action(attempt.session, self._site.clock.now()):
            started = time.monotonic()
            await STEPS[action](attempt)
            log.info(
                "step done",
                UCM_SESSION=attempt.session.id,
                UCM_HWID=attempt.hardware_id,
                UCM_STEP=action.value,
                milestone=attempt.session.milestone.value,
                seconds=round(time.monotonic() - started, 3),
            )

    async def _fail(self, session_id: str, error: UcmError) -> None:
        if self._record.session(session_id).milestone.ended:
            log.warning(
                str(error), UCM_SESSION=session_id, UCM_ERROR=error.code.value, too_late="the session has ended"
            )
            return
        await self._keep_announcement(session_id)
        session = await self._record.add(session_id, Failed(error.code, error.detail, error.retry_after))
        if error.code not in _RESUMABLE or session.milestone.ended:
            self._forget(session_id)
        log.warning(
            str(error),
            UCM_SESSION=session_id,
            UCM_HWID=session.hardware_id,
            UCM_ERROR=error.code.value,
            milestone=session.milestone.value,
            waits=session.hold.waits.value if session.hold else None,
        )

    async def _keep_announcement(self, session_id: str) -> None:
        """Who an endpoint says it is helps whoever has to find its label."""
        announced, session = self._proofs.announced(session_id), self._record.session(session_id)
        if announced and session.identity is None and session.announced_id != announced:
            await self._record.add(session_id, Announced(announced))

    def _forget(self, session_id: str) -> None:
        """Drops the credentials that the session held in memory."""
        self._works.pop(session_id, None)
