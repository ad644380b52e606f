"""Runs one session: opens the link, finds out whose module it is, and goes from step to step."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from random import SystemRandom

import structlog

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, Disposition, UcmError
from ucm_provision.core.events import Absorbed, Announced, Failed, Moved, SetBack
from ucm_provision.core.machine import Action, Milestone, Session, Waits, next_action
from ucm_provision.core.model import Carrier, ModuleInfo
from ucm_provision.core.ports import DeviceLink
from ucm_provision.engine.attempt import Attempt, ReservedModule, Site, Work
from ucm_provision.engine.locks import GiveWay, ModuleLocks
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.recover import is_set_back
from ucm_provision.engine.steps import STEPS, identify

log = structlog.get_logger()

Step = Callable[[Attempt], Awaitable[None]]

# After these the credentials in memory may still be pushed; after any other failure they are dropped.
_RESUMABLE = frozenset(
    {
        Code.DEVICE_GONE,
        Code.LINK_SILENT,
        Code.LINK_GARBAGE,
        Code.LINK_BROKEN,
        Code.LINK_LOST,
        Code.PORT_BUSY,
        Code.MODULE_BUSY,
    }
)

_random = SystemRandom()


class SessionRunner:
    """Takes a session as far as it goes on one open link. Never raises but for cancellation and a dead journal."""

    def __init__(self, site: Site, record: Record, proofs: Proofs) -> None:
        self._site = site
        self._record = record
        self._proofs = proofs
        self._works: dict[str, Work] = defaultdict(Work)
        self._locks = ModuleLocks()
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
                self._record.touch(session_id)

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

    @asynccontextmanager
    async def meet(self, session: Session) -> AsyncIterator[tuple[DeviceLink, ModuleInfo]]:
        """A conversation with the module at the session's endpoint in which nothing is journalled."""
        with self._claim(session.id):
            async with self._met(session) as (link, info):
                yield link, info

    async def _converse(self, session_id: str) -> UcmError | None:
        session = self._record.session(session_id)
        self._record.busy(session_id, "identify")
        async with self._met(session) as (link, info):
            if self._goes_on_elsewhere(session):
                return None
            session = await self._whose(session, info)
            with self._claim(session.id):
                return await self._guard(session.id, self._work_on(session, link, info))

    @asynccontextmanager
    async def _met(self, session: Session) -> AsyncIterator[tuple[DeviceLink, ModuleInfo]]:
        """A secure session with the module at the session's endpoint, and the module to ourselves."""
        async with self._site.links.dial(session.endpoint, self._proofs.lookup(session)) as link:
            info = await link.info()
            self._check_identity(session, info)
            await self._proofs.proved(session, info.hardware_id)
            # One module has one lock: what its last conversation ended with is journalled before the next begins.
            async with self._locks.of(info.hardware_id).held(session.endpoint.carrier):
                yield link, await link.info()  # again: another conversation may have changed what the module holds

    def _goes_on_elsewhere(self, session: Session) -> bool:
        """Whether another conversation has taken the session over, or ended it, while this one waited."""
        now = self._record.session(session.id)
        return now.milestone.ended or now.endpoint.key != session.endpoint.key

    async def _work_on(self, session: Session, link: DeviceLink, info: ModuleInfo) -> None:
        async with AsyncExitStack() as stack:
            attempt = self._attempt(session, link, info, stack)
            try:
                await self._steps(attempt)
            except GiveWay:
                await attempt.reserved.release()
                return
            except UcmError as error:
                if error.failure.disposition is not Disposition.WAIT_DEVICE:
                    await attempt.reserved.release()  # nothing stays reserved while a session waits
                raise
            await attempt.reserved.release()
        if attempt.session.milestone is Milestone.VERIFIED:
            log.info("module verified", UCM_SESSION=session.id, UCM_HWID=attempt.hardware_id)
        self.drop(session.id)

    def _check_identity(self, session: Session, info: ModuleInfo) -> None:
        announced = session.announced_id if session.endpoint.carrier is Carrier.HTTP else ""
        expected = session.hardware_id or announced or info.hardware_id
        if expected != info.hardware_id:
            raise UcmError(Code.IDENTITY_MISMATCH, f"{info.hardware_id} answers where {expected} was expected")

    async def _whose(self, session: Session, info: ModuleInfo) -> Session:
        """The session that this module belongs to: its own unfinished one, if it came back elsewhere."""
        others = self._record.claiming(info.hardware_id, other_than=session.id)
        unfinished = next((other for other in others if other.identity), None)
        for other in others:
            if other.identity is None and other.endpoint.carrier is Carrier.HTTP:  # the LAN's hint of this very module
                await self._record.add(other.id, Absorbed(unfinished.id if unfinished else session.id))
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
            lock=self._locks.of(info.hardware_id),
        )

    async def _steps(self, attempt: Attempt) -> None:
        await self._step(attempt, identify)  # on every link anew: nothing is done to one that was not asked who it is
        while action := next_action(attempt.session, self._site.clock.now()):
            started = time.monotonic()
            await self._step(attempt, STEPS[action])
            log.info(
                "step done",
                UCM_SESSION=attempt.session.id,
                UCM_HWID=attempt.hardware_id,
                UCM_STEP=action.value,
                milestone=attempt.session.milestone.value,
                seconds=round(time.monotonic() - started, 3),
            )
            if action is Action.VERIFY and attempt.session.milestone is Milestone.IDENTIFIED:
                return  # a network was proved; the module is met afresh for the rest

    async def _step(self, attempt: Attempt, step: Step) -> None:
        """A trial that failed on top of another configuration is journalled, and recovered from by further steps."""
        try:
            await step(attempt)
        except UcmError as error:
            if not is_set_back(attempt.session, error):
                raise
            log.warning(str(error), UCM_SESSION=attempt.session.id, UCM_HWID=attempt.hardware_id)
            await attempt.note(SetBack(error.code, error.detail))

    async def _fail(self, session_id: str, error: UcmError) -> None:
        if self._record.session(session_id).milestone.ended:
            log.warning(
                str(error), UCM_SESSION=session_id, UCM_ERROR=error.code.value, too_late="the session has ended"
            )
            return
        await self._keep_announcement(session_id)
        retry_after = error.retry_after if error.code is not Code.LINK_LOST else self._patience(session_id)
        session = await self._record.add(session_id, Failed(error.code, error.detail, retry_after))
        if error.code not in _RESUMABLE or session.milestone.ended:
            self.drop(session_id)
        log.warning(
            str(error),
            UCM_SESSION=session_id,
            UCM_HWID=session.hardware_id,
            UCM_ERROR=error.code.value,
            milestone=session.milestone.value,
            waits=session.hold.waits.value if session.hold else None,
            notable="module needs a person" if session.hold and session.hold.waits is Waits.OPERATOR else None,
        )

    def _patience(self, session_id: str) -> float:
        """Seconds before a lost session is tried again, drawn anew each time: two boxes must not keep step."""
        session = self._record.session(session_id)
        losses = session.repeated + 1 if session.last_code is Code.LINK_LOST else 1
        return policy.lan_backoff(losses) * _random.uniform(0.5, 1.0)

    async def _keep_announcement(self, session_id: str) -> None:
        """Who a port says it is helps whoever has to find its label. On the LAN its name was known before."""
        announced, session = self._proofs.announced(session_id), self._record.session(session_id)
        if session.endpoint.carrier is Carrier.HTTP:
            return
        if announced and session.identity is None and session.announced_id != announced:
            await self._record.add(session_id, Announced(announced))

    def drop(self, session_id: str) -> None:
        """Drops the credentials that the session held in memory."""
        self._works.pop(session_id, None)
