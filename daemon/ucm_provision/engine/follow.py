"""The box has moved to another Wi-Fi: its modules should follow, if the site knows that network."""

from __future__ import annotations

import structlog

from ucm_provision.core.campaign import CampaignKind
from ucm_provision.core.errors import UcmError
from ucm_provision.core.plan import SitePlan
from ucm_provision.engine.campaigns import Campaigns, Pace
from ucm_provision.engine.selection import Selection

log = structlog.get_logger()

_BY = "the box, which has moved"


class Follower:
    """Proposes a campaign, or begins it where the site's policy says so. Nothing is remembered but the last word."""

    def __init__(self, campaigns: Campaigns, selection: Selection, plan: SitePlan, *, auto: bool) -> None:
        self._campaigns = campaigns
        self._selection = selection
        self._plan = plan
        self._auto = auto
        self.network: str | None = None

    async def moved(self, ssid: str | None) -> None:
        """The box is on this network now; None: on none."""
        self.network = ssid
        known = [network.ssid for network in self._plan.wifi]
        if ssid is None or ssid not in known or ssid == known[0]:
            log.info("the box's own network", ssid=ssid, known=ssid in known)
            return
        try:
            target = self._selection.target(CampaignKind.CHANGE, ssid)
            campaign = await self._campaigns.place(target, Pace(), _BY, proposed=not self._auto)
        except UcmError as error:  # another one is open, or every module is there already
            log.info("the box has moved, no campaign", ssid=ssid, why=str(error))
        else:
            log.warning("the box has moved", ssid=ssid, campaign=campaign.id, state=campaign.state)
