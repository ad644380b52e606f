"""What each module should be, beside what it is: one pure function with every cause for a change.

Nothing here changes a module. Who acts on an answer is the engine: campaigns for networks, upkeep for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ucm_provision.core.campaign import Campaign, CampaignState
from ucm_provision.core.errors import Code
from ucm_provision.core.kinds import WITH_CONFIG
from ucm_provision.core.machine import Milestone, Session
from ucm_provision.core.maintenance import rotation_due


class Cause(StrEnum):
    """Why a module should get another configuration, the most urgent cause first."""

    LOST = "lost"  # it does not hold what this box gave it
    CAMPAIGN = "campaign"  # a running campaign wants it on other networks
    CERTIFICATE = "certificate"  # its certificate ends soon
    NETWORKS = "networks"  # the site's profiles have changed since: a campaign is for an operator to begin


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the site wants of its modules at a moment.

    Attributes:
        box_id: The owner of what this box has configured.
        networks: The site's SSIDs in order of preference; none: modules keep theirs.
        campaign: The campaign that is open, if one is.
        rotate_before: How many seconds before its end a certificate is renewed.
        now: Seconds since the epoch, by a clock that can be believed; None: it cannot, and nothing is due.
    """

    box_id: str
    networks: tuple[str, ...]
    campaign: Campaign | None
    rotate_before: float
    now: float | None


def wanted(session: Session, wishes: Wishes) -> Cause | None:
    """Why the module of a session should get another configuration; None: it is as it should be, or not ours."""
    if session.milestone is not Milestone.VERIFIED or session.hold or not _is_ours(session, wishes.box_id):
        return None
    if session.trouble and session.trouble.code is Code.CONFIGURATION_LOST:
        return Cause.LOST
    if _is_for_campaign(session, wishes.campaign):
        return Cause.CAMPAIGN
    if _certificate_is_due(session, wishes):
        return Cause.CERTIFICATE
    if wishes.networks and session.networks and session.networks != wishes.networks:
        return Cause.NETWORKS
    return None


def _is_ours(session: Session, box_id: str) -> bool:
    """Not an adopted module of another box, nor one that gets no configuration."""
    kind = session.arguments.kind if session.arguments else None
    return session.managed_by in ("", box_id) and (kind is None or kind in WITH_CONFIG)


def _is_for_campaign(session: Session, campaign: Campaign | None) -> bool:
    if campaign is None or campaign.state is not CampaignState.RUNNING:
        return False
    moved = session.task is not None and session.task.campaign == campaign.id
    return session.hardware_id in campaign.members and not moved


def _certificate_is_due(session: Session, wishes: Wishes) -> bool:
    intent = session.intent
    if wishes.now is None or intent is None or intent.not_after is None:
        return False
    return rotation_due(intent.not_after, wishes.now, wishes.rotate_before, intent.not_before)
