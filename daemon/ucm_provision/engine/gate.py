"""The one way to the provisioning API, and whether it is worth anybody's while to take it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, Disposition, UcmError
from ucm_provision.core.model import Device, ProvisionArguments, Provisioned
from ucm_provision.core.ports import Clock, ProvisioningApi

log = structlog.get_logger()

T = TypeVar("T")

# With these the API answered, and so it took the token.
_TOKEN_TAKEN = frozenset({Code.API_REJECTED, Code.API_CONFLICT, Code.API_NOT_FOUND, Code.API_RATE_LIMITED})


# The API is away, for everybody. A server that fails at one call is not: it may fail at that module alone.
OUTAGES = frozenset({Code.API_UNREACHABLE, Code.API_TLS, Code.API_NOT_CHOSEN})


@dataclass(frozen=True, slots=True)
class Pause:
    """The site's own fault: no module gets further until then, and after it one alone."""

    error: UcmError
    until: float

    def is_over(self, now: float) -> bool:
        return policy.is_over(self.until, now)


class ApiGate:
    """A :class:`~ucm_provision.core.ports.ProvisioningApi` that remembers whether the site's token is any good.

    A refused token pauses every module rather than burn one after the other. The pause ends with the first
    call that the API takes, be its answer yes or no.

    An API that is away is an outage, from the first call that did not reach it to the first that did.

    Attributes:
        changed: Called when an outage has begun or ended.
    """

    def __init__(self, api: ProvisioningApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._at_once = asyncio.Semaphore(policy.API_CALLS_AT_ONCE)
        self._outages_in_a_row = 0
        self._site = ("", 0.0)
        self.pause: Pause | None = None
        self.outage: Pause | None = None
        self.changed: Callable[[], None] = lambda: None

    @property
    def origin(self) -> str:
        return self._api.origin

    def replace(self, api: ProvisioningApi) -> None:
        """Another API from now on; what was known of the former one is forgotten."""
        self._api = api
        self._site = ("", 0.0)
        self.pause = None
        self._end_outage()

    async def site_id(self) -> str:
        """Remembered for a minute: a thousand modules that come at once belong to one site."""
        known, until = self._site
        if known and not policy.is_over(until, self._clock.now()):
            return known
        found = await self._through(self._api.site_id)
        self._site = (found, self._clock.now() + policy.SITE_ID_REMEMBERED)
        return found

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        return await self._through(lambda: self._api.provision(arguments))

    async def device(self, device_id: str) -> Device | None:
        return await self._through(lambda: self._api.device(device_id))

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        return await self._through(lambda: self._api.rename(device_id, name=name, slug=slug))

    async def _through(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._at_once:
            try:
                answer = await call()
            except UcmError as error:
                self._learn_from(error)
                raise
        self.pause = None
        self._end_outage()
        return answer

    def _learn_from(self, error: UcmError) -> None:
        if error.code in OUTAGES:
            self._note_outage(error)
            return
        self._end_outage()
        if error.failure.disposition is Disposition.PAUSE_ALL:
            seconds = max(policy.PAUSE_ALL_SECONDS, min(error.retry_after or 0.0, policy.BACKOFF_LAST))
            self.pause = Pause(error, self._clock.now() + seconds)
            log.error(str(error), UCM_ERROR=error.code.value, pause_s=seconds, notable="all modules wait")
        elif error.code in _TOKEN_TAKEN:
            self.pause = None

    def _note_outage(self, error: UcmError) -> None:
        """Calls that were under way together are one failure."""
        now = self._clock.now()
        if self.outage and not self.outage.is_over(now):
            return
        doubled = policy.OUTAGE_PROBE_FIRST * 2.0 ** min(self._outages_in_a_row, 16)
        self._outages_in_a_row += 1
        seconds = max(min(doubled, policy.OUTAGE_PROBE_LAST), min(error.retry_after or 0.0, policy.BACKOFF_LAST))
        self.outage = Pause(error, now + seconds)
        log.error(str(error), UCM_ERROR=error.code.value, outage_s=seconds, notable="all modules wait")
        self.changed()

    def _end_outage(self) -> None:
        self._outages_in_a_row = 0
        if self.outage:
            self.outage = None
            log.info("the provisioning API answers again")
            self.changed()


class PatientApi:
    """The API as sessions ask it: in an outage nobody knocks for each of a thousand modules.

    They are identified as ever, and wait with the reason at the point where they need the API. What a
    person asks goes through the gate itself, and is tried at once.
    """

    def __init__(self, gate: ApiGate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._turns = asyncio.Semaphore(policy.API_CALLS_AT_ONCE)

    @property
    def origin(self) -> str:
        return self._gate.origin

    async def site_id(self) -> str:
        async with self._turn() as gate:
            return await gate.site_id()

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        async with self._turn() as gate:
            return await gate.provision(arguments)

    async def device(self, device_id: str) -> Device | None:
        async with self._turn() as gate:
            return await gate.device(device_id)

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        async with self._turn() as gate:
            return await gate.rename(device_id, name=name, slug=slug)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[ApiGate]:
        """The gate, once it is our turn, unless the API is away by then and not yet due to be tried again."""
        async with self._turns:
            outage, now = self._gate.outage, self._clock.now()
            if outage and not outage.is_over(now):
                raise UcmError(outage.error.code, outage.error.detail, retry_after=outage.until - now)
            yield self._gate
