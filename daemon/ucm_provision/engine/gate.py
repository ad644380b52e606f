"""The one way to the provisioning API, and whether it is worth anybody's while to take it."""

from __future__ import annotations

from collections.abc import Awaitable
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


@dataclass(frozen=True, slots=True)
class Pause:
    """The site's own fault: no module is tried until then, and after it one alone."""

    error: UcmError
    until: float


class ApiGate:
    """A :class:`~ucm_provision.core.ports.ProvisioningApi` that remembers whether the site's token is any good.

    A refused token pauses every module rather than burn one after the other. The pause ends with the first
    call that the API takes, be its answer yes or no.
    """

    def __init__(self, api: ProvisioningApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self.pause: Pause | None = None

    async def site_id(self) -> str:
        return await self._through(self._api.site_id())

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        return await self._through(self._api.provision(arguments))

    async def device(self, device_id: str) -> Device | None:
        return await self._through(self._api.device(device_id))

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        return await self._through(self._api.rename(device_id, name=name, slug=slug))

    async def _through(self, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except UcmError as error:
            self._learn_from(error)
            raise
        self.pause = None
        return answer

    def _learn_from(self, error: UcmError) -> None:
        if error.failure.disposition is Disposition.PAUSE_ALL:
            seconds = max(policy.PAUSE_ALL_SECONDS, min(error.retry_after or 0.0, policy.BACKOFF_LAST))
            self.pause = Pause(error, self._clock.now() + seconds)
            log.error(str(error), UCM_ERROR=error.code.value, pause_s=seconds)
        elif error.code in _TOKEN_TAKEN:
            self.pause = None
