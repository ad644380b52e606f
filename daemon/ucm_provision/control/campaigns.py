"""Campaigns on the control socket: what would be done, what is done, and an operator's hand on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.campaign import Campaign, CampaignKind
from ucm_provision.engine.campaign_views import campaign_plan, campaign_view, name_in
from ucm_provision.engine.campaigns import Campaigns, Pace
from ucm_provision.engine.record import Record
from ucm_provision.engine.selection import Selection
from ucm_provision.wire import CampaignAnswer, CampaignList, CampaignView

_Count = Annotated[int, msgspec.Meta(ge=1, le=policy.CAMPAIGN_WAVE_LARGEST)]


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    kind: CampaignKind
    ssid: str
    canary: _Count = 1
    wave: _Count = 10
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 2
    dry_run: bool = False


class CampaignRoutes:
    def __init__(self, campaigns: Campaigns, selection: Selection, record: Record) -> None:
        self._campaigns = campaigns
        self._selection = selection
        self._record = record

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/campaigns", self._list)
        app.router.add_post("/v1/campaigns", self._place)
        app.router.add_get("/v1/campaigns/{campaign}", self._show)
        app.router.add_post("/v1/campaigns/{campaign}/pause", self._pause)
        app.router.add_post("/v1/campaigns/{campaign}/resume", self._resume)
        app.router.add_post("/v1/campaigns/{campaign}/abort", self._abort)

    def latest(self) -> CampaignView | None:
        """The one that is open, or the one that was open last."""
        return self._view(found[-1]) if (found := self._campaigns.all()) else None

    async def _list(self, _: web.Request) -> web.Response:
        return json_answer(CampaignList(campaigns=[self._view(campaign) for campaign in self._campaigns.all()]))

    async def _place(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Place, policy.CONTROL_BODY_LARGEST)
        target = self._selection.target(asked.kind, asked.ssid)
        if asked.dry_run:
            return json_answer(campaign_plan(target, self._selection.choose(target)))
        pace = Pace(asked.canary, asked.wave, asked.max_failures)
        return self._answer(await self._campaigns.place(target, pace, actor(request)))

    async def _show(self, request: web.Request) -> web.Response:
        return self._answer(self._campaigns.get(_id(request)))

    async def _pause(self, request: web.Request) -> web.Response:
        return self._answer(await self._campaigns.pause(_id(request), actor(request)))

    async def _resume(self, request: web.Request) -> web.Response:
        return await self._told(request, self._campaigns.resume)

    async def _abort(self, request: web.Request) -> web.Response:
        return await self._told(request, self._campaigns.abort)

    async def _told(self, request: web.Request, order: Callable[[str], Awaitable[Campaign]]) -> web.Response:
        return self._answer(await order(_id(request)))

    def _answer(self, campaign: Campaign) -> web.Response:
        return json_answer(CampaignAnswer(campaign=self._view(campaign)))

    def _view(self, campaign: Campaign) -> CampaignView:
        members, idle = self._campaigns.members(campaign), self._campaigns.is_idle(campaign)
        return campaign_view(campaign, members, self._name, self._selection.why_unreachable, idle=idle)

    def _name(self, hardware_id: str) -> str | None:
        return name_in(self._record.latest_of(hardware_id))


def _id(request: web.Request) -> str:
    """The campaign's number, or nothing for the latest one."""
    return request.match_info["campaign"].removeprefix("latest")
