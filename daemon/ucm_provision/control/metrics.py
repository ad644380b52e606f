"""What Prometheus scrapes. It costs nothing as long as nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from ucm_provision.engine.vital_signs import VitalSigns


@dataclass(frozen=True, slots=True)
class BoxSigns:
    """How the daemon and its box fare.

    Attributes:
        loop_lag: The worst delay of the event loop in the last minute, in seconds.
        witness_up: Whether the witness is connected; None: there is none.
        fleet_up: Whether the fleet's broker is connected; None: none is configured.
        fleet_dropped: Events that the fleet never got.
    """

    version: str
    journal_bytes: int
    free_bytes: int
    loop_lag: float
    clock_synchronized: bool
    witness_up: bool | None
    fleet_up: bool | None
    fleet_dropped: int


Signs = Callable[[], Awaitable[tuple[VitalSigns, BoxSigns]]]


class MetricsRoutes:
    """``signs`` tells how everything is now."""

    def __init__(self, signs: Signs) -> None:
        self._signs = signs

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/metrics", self._metrics)

    async def _metrics(self, _: web.Request) -> web.Response:
        engine, box = await self._signs()
        text, content_type = await asyncio.to_thread(_expose, engine, box)
        return web.Response(body=text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def _expose(engine: VitalSigns, box: BoxSigns) -> tuple[bytes, str]:
    from ucm_provision.control.exposition import CONTENT_TYPE, expose  # noqa: PLC0415 -- a daemon starts without it

    return expose(engine, box), CONTENT_TYPE
